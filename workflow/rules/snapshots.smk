"""Snapshots and evaluations: what a learner holds inside, predicts, thinks of its output, and what experiments find.

REQUIRED INPUTS: results/marks/, data/derived/tokens/, data/derived/bases/.
OUTPUTS: results/snapshots, results/evaluations, results/generations, results/stability, results/critiques and
results/interventions, each /<learner>/<pair>/<schedule>/<seed>/<stop>.
"""


rule snapshot_states:
    input:
        tokens=tokens_of_run,
        base=base_of_run,
        marks="results/marks/{learner}/{pair}/{schedule}/{seed}/{stop}.safetensors",
    output:
        "results/snapshots/{learner}/{pair}/{schedule}/{seed}/{stop}.parquet",
    log:
        "logs/snapshot_states/{learner}/{pair}/{schedule}/{seed}/{stop}.log",
    conda:
        "../envs/resonance.yaml"
    threads: cores()
    resources:
        gpu=gpus,
    params:
        code=lambda wildcards: code(
            "resonance.snapshots.states", *run_modules(wildcards)
        ),
        name=lambda wildcards: str(run_of(wildcards)),
        run=told,
        weights=published_weights,
        base=lambda wildcards, input: optional("base", input.base),
    shell:
        "python -m resonance snapshot-states --name {params.name} --run {params.run:q} --tokens {input.tokens} {params.base}"
        " --marks {input.marks} --out {output} --log {log}"


rule evaluate_marks:
    input:
        tokens=tokens_of_run,
        base=base_of_run,
        marks="results/marks/{learner}/{pair}/{schedule}/{seed}/{stop}.safetensors",
    output:
        table="results/evaluations/{learner}/{pair}/{schedule}/{seed}/{stop}.parquet",
        spoken="results/generations/{learner}/{pair}/{schedule}/{seed}/{stop}.parquet",
        stability="results/stability/{learner}/{pair}/{schedule}/{seed}/{stop}.parquet",
        critiques="results/critiques/{learner}/{pair}/{schedule}/{seed}/{stop}.parquet",
        changed="results/interventions/{learner}/{pair}/{schedule}/{seed}/{stop}.parquet",
    log:
        "logs/evaluate_marks/{learner}/{pair}/{schedule}/{seed}/{stop}.log",
    conda:
        "../envs/resonance.yaml"
    threads: cores()
    resources:
        gpu=gpus,
    params:
        code=lambda wildcards: code(
            "resonance.snapshots.evaluation", *run_modules(wildcards)
        ),
        name=lambda wildcards: str(run_of(wildcards)),
        run=told,
        weights=published_weights,
        evaluation=canonical(PARAMS.evaluation),
        base=lambda wildcards, input: optional("base", input.base),
    shell:
        "python -m resonance evaluate-marks --name {params.name} --run {params.run:q} --tokens {input.tokens} {params.base}"
        " --marks {input.marks} --evaluation {params.evaluation:q} --out {output.table} --spoken {output.spoken}"
        " --stability {output.stability} --critiques {output.critiques} --changed {output.changed}"
        " --log {log}"
