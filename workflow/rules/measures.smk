"""Measures: tidy tables, one family per file, from what was recorded of each run; and a few numbers for `dvc metrics`.

REQUIRED INPUTS: results/logs, results/evaluations, results/snapshots, results/stability, results/critiques,
results/generations.
OUTPUTS: results/measures/<run>/<family>.parquet, results/tables/<family>.parquet, results/metrics/<learner>.json.
"""


rule measure_run:
    input:
        logs=recorded("logs"),
        evaluations=recorded("evaluations"),
        snapshots=recorded("snapshots"),
        stability=recorded("stability"),
        critiques=recorded("critiques"),
        generations=recorded("generations"),
    output:
        "results/measures/{learner}/{pair}/{schedule}/{seed}/{family}.parquet",
    log:
        "logs/measure_run/{learner}/{pair}/{schedule}/{seed}/{family}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=lambda wildcards: code(
            "resonance.measures.table", f"resonance.measures.{wildcards.family}"
        ),
        name=lambda wildcards: str(run_of(wildcards)),
        logs=lambda wildcards, input: optional("logs", input.logs),
        evaluations=lambda wildcards, input: optional("evaluations", input.evaluations),
        snapshots=lambda wildcards, input: optional("snapshots", input.snapshots),
        stability=lambda wildcards, input: optional("stability", input.stability),
        critiques=lambda wildcards, input: optional("critiques", input.critiques),
        generations=lambda wildcards, input: optional("generations", input.generations),
    shell:
        "python -m resonance measure-run --name {params.name} --family {wildcards.family} {params.logs}"
        " {params.evaluations} {params.snapshots} {params.stability} {params.critiques} {params.generations}"
        " --out {output} --log {log}"


rule collect_table:
    input:
        measures_of_family,
    output:
        "results/tables/{family}.parquet",
    log:
        "logs/collect_table/{family}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.measures.table"),
    shell:
        "python -m resonance collect-table --measures {input} --out {output} --log {log}"


rule summarise_learner:
    input:
        measures_of_learner,
    output:
        "results/metrics/{learner}.json",
    log:
        "logs/summarise_learner/{learner}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.measures.summary"),
    shell:
        "python -m resonance summarise-learner --learner {wildcards.learner} --measures {input}"
        " --out {output} --log {log}"
