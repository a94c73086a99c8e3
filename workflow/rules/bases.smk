"""Bases: networks that have read the corpus, so that a frozen one knows a language to begin with.

REQUIRED INPUTS: data/derived/corpus.parquet, data/derived/tokens/<pair>/pair/.
OUTPUTS: data/derived/bases/<pair>/<network>/<base>.safetensors and .json.
"""


rule train_base:
    input:
        corpus="data/derived/corpus.parquet",
        tokens="data/derived/tokens/{pair}/pair/tokens.parquet",
        tokenizer="data/derived/tokens/{pair}/pair/tokenizer.json",
    output:
        weights="data/derived/bases/{pair}/{network}/{base}.safetensors",
        seal="data/derived/bases/{pair}/{network}/{base}.json",
    log:
        "logs/train_base/{pair}/{network}/{base}.log",
    benchmark:
        "logs/train_base/{pair}/{network}/{base}.time.tsv"
    conda:
        "../envs/resonance.yaml"
    threads: cores()
    resources:
        gpu=gpus,
    params:
        code=lambda wildcards: code(
            *STUDY.base_modules(STUDY.networks()[wildcards.network])
        ),
        network=lambda wildcards: canonical(STUDY.networks()[wildcards.network]),
        base=canonical(PARAMS.base),
        seed=lambda wildcards: STUDY.base_seed(wildcards.base),
        compute=canonical(PARAMS.compute),
    shell:
        "python -m resonance train-base --network {params.network:q} --base {params.base:q} --seed {params.seed}"
        " --compute {params.compute:q} --corpus {input.corpus} --tokens {input.tokens}"
        " --out {output.weights} --log {log}"


rule bases:
    input:
        [base for run in STUDY.runs() if (base := STUDY.base(run))],
