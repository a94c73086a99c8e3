"""Measures: tidy tables, one family per file, from what was recorded of each run; and a few numbers for `dvc metrics`.

REQUIRED INPUTS: results/logs, results/evaluations, results/snapshots, results/stability, results/critiques,
results/generations, results/interventions, results/transfer.
OUTPUTS: results/measures/<run>/<family>.parquet, results/between/<pair>/<schedule>/<tokenizer>/<seed>.parquet,
results/tables/<family>.parquet, results/metrics/<learner>.json.
"""


rule measure_run:
    input:
        **{kind: recorded(kind) for kind in KINDS},
    output:
        expand(
            "results/measures/{{learner}}/{{pair}}/{{schedule}}/{{seed}}/{family}.parquet",
            family=FAMILIES,
        ),
    log:
        "logs/measure_run/{learner}/{pair}/{schedule}/{seed}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code(
            "resonance.measures.table",
            *(f"resonance.measures.{family}" for family in FAMILIES),
        ),
        name=lambda wildcards: str(run_of(wildcards)),
        families=list(FAMILIES),
        files=lambda wildcards, input: " ".join(
            optional(kind, input[kind]) for kind in KINDS
        ),
    shell:
        "python -m resonance measure-run --name {params.name} --families {params.families} {params.files}"
        " --out results/measures/{params.name} --log {log}"


# A rule of its own, so that another learner changes no measure of a run: only this is made again.
rule compare_runs:
    input:
        compared,
    output:
        "results/between/{pair}/{schedule}/{tokenizer}/{seed}.parquet",
    log:
        "logs/compare_runs/{pair}/{schedule}/{tokenizer}/{seed}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.measures.between"),
    shell:
        "python -m resonance compare-runs --seed {wildcards.seed} --snapshots {input} --out {output} --log {log}"


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
