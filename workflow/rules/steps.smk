"""Steps: what the optimizer's own next step on one direction does to all four, at every chunk edge; one job per run.

REQUIRED INPUTS: results/states/, data/derived/tokens/, data/derived/bases/.
OUTPUTS: results/transfer/<learner>/<pair>/<schedule>/<seed>/steps.parquet.
"""


rule step_states:
    input:
        tokens=tokens_of_run,
        base=base_of_run,
        states=lambda wildcards: STUDY.files("states", "safetensors", run_of(wildcards)),
        seals=lambda wildcards: STUDY.files("states", "json", run_of(wildcards)),
    output:
        "results/transfer/{learner}/{pair}/{schedule}/{seed}/steps.parquet",
    log:
        "logs/step_states/{learner}/{pair}/{schedule}/{seed}.log",
    conda:
        "../envs/resonance.yaml"
    threads: cores()
    resources:
        gpu=gpus,
    params:
        code=lambda wildcards: code(
            "resonance.snapshots.steps", *run_modules(wildcards)
        ),
        name=lambda wildcards: str(run_of(wildcards)),
        run=told,
        weights=published_weights,
        sharpness=PARAMS.evaluation.sharpness,
        base=lambda wildcards, input: optional("base", input.base),
    shell:
        "python -m resonance step-states --name {params.name} --run {params.run:q} --tokens {input.tokens} {params.base}"
        " --states {input.states} --sharpness {params.sharpness} --out {output} --log {log}"
