"""Schedules: the order of the four directions in every cycle, one small file per chunk.

REQUIRED INPUTS: data/derived/tokens/ (for the number of windows).
OUTPUTS: data/derived/schedules/<pair>/<tokenizer>/<schedule>/<seed>/<stop>.parquet.
"""


rule build_schedule:
    input:
        tokens="data/derived/tokens/{pair}/{tokenizer}/tokens.parquet",
    output:
        "data/derived/schedules/{pair}/{tokenizer}/{schedule}/{seed}/{stop}.parquet",
    log:
        "logs/build_schedule/{pair}/{tokenizer}/{schedule}/{seed}/{stop}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.schedule.files"),
        order=lambda wildcards: canonical(PARAMS.schedules[wildcards.schedule]),
        start=lambda wildcards: STUDY.before[wildcards.stop],
    shell:
        "python -m resonance build-schedule --tokens {input.tokens} --order {params.order:q} --seed {wildcards.seed}"
        " --start {params.start} --stop {wildcards.stop} --out {output} --log {log}"


rule texts:
    input:
        expand("data/derived/tokens/{pair}/pair/tokens.parquet", pair=PARAMS.pairs),
        [STUDY.tokens(run) for run in STUDY.runs()],
        [STUDY.schedule(run, chunk) for run in STUDY.runs() for chunk in STUDY.chunks],
