"""Training: one job per run and chunk; chunk k starts from the state that chunk k - 1 left.

REQUIRED INPUTS: data/derived/tokens/, data/derived/schedules/, data/derived/bases/.
OUTPUTS: results/states, results/logs and results/marks, each /<learner>/<pair>/<schedule>/<seed>/<stop>;
results/curves/<learner>.tsv for `dvc plots`.
"""


rule train_chunk:
    input:
        tokens=tokens_of_run,
        base=base_of_run,
        schedule=schedule_of_chunk,
        previous=state_before,
        seal=seal_before,
    output:
        state="results/states/{learner}/{pair}/{schedule}/{seed}/{stop}.safetensors",
        seal="results/states/{learner}/{pair}/{schedule}/{seed}/{stop}.json",
        log="results/logs/{learner}/{pair}/{schedule}/{seed}/{stop}.parquet",
        marks="results/marks/{learner}/{pair}/{schedule}/{seed}/{stop}.safetensors",
    log:
        "logs/train_chunk/{learner}/{pair}/{schedule}/{seed}/{stop}.log",
    benchmark:
        "logs/train_chunk/{learner}/{pair}/{schedule}/{seed}/{stop}.time.tsv"
    conda:
        "../envs/resonance.yaml"
    threads: cores()
    resources:
        gpu=gpus,
    params:
        code=training_code,
        name=lambda wildcards: str(run_of(wildcards)),
        run=told,
        weights=published_weights,
        start=lambda wildcards: STUDY.before[wildcards.stop],
        base=lambda wildcards, input: optional("base", input.base),
        previous=lambda wildcards, input: optional("previous", input.previous),
    shell:
        "python -m resonance train-chunk --name {params.name} --run {params.run:q} --tokens {input.tokens} {params.base}"
        " --schedule {input.schedule} {params.previous} --start {params.start} --stop {wildcards.stop}"
        " --state {output.state} --table {output.log} --marks {output.marks}"
        " --scratch scratch/{wildcards.learner}/{wildcards.pair}/{wildcards.schedule}/{wildcards.seed}/{wildcards.stop}"
        " --log {log}"


rule write_curve:
    input:
        lambda wildcards: [
            file
            for run in STUDY.runs(wildcards.learner)
            for file in STUDY.files("logs", "parquet", run)
        ],
    output:
        "results/curves/{learner}.tsv",
    log:
        "logs/write_curve/{learner}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.measures.curve"),
    shell:
        "python -m resonance write-curve --logs {input} --out {output} --log {log}"
