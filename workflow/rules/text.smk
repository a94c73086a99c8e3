"""Texts: the prose that bases read, and the pair and its probes as tokens.

REQUIRED INPUTS: data/pairs/<pair>/, data/corpus.yaml, the installed packages.
OUTPUTS: data/derived/corpus.parquet, data/derived/tokens/<pair>/<tokenizer>/tokens.parquet and tokenizer.json.
"""


rule extract_corpus:
    output:
        "data/derived/corpus.parquet",
    log:
        "logs/extract_corpus.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.text.corpus", "resonance.text.record"),
        packages=list(PARAMS.text.packages),
        bytes=PARAMS.text.corpus_bytes,
    shell:
        "python -m resonance extract-corpus --packages {params.packages} --bytes {params.bytes}"
        " --record data/corpus.yaml --out {output} --log {log}"


rule tokenize_pair:
    input:
        corpus="data/derived/corpus.parquet",
    output:
        tokens="data/derived/tokens/{pair}/pair/tokens.parquet",
        tokenizer="data/derived/tokens/{pair}/pair/tokenizer.json",
    log:
        "logs/tokenize_pair/{pair}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.text.files"),
        pair=lambda wildcards: folder(f"data/pairs/{wildcards.pair}", ".txt", ".yaml"),
        vocabulary=PARAMS.text.vocabulary,
        context=PARAMS.text.context,
    shell:
        "python -m resonance tokenize-pair --pair data/pairs/{wildcards.pair} --corpus {input.corpus}"
        " --vocabulary {params.vocabulary} --context {params.context} --out {output.tokens} --log {log}"


rule tokenize_pair_as_published:
    output:
        tokens="data/derived/tokens/{pair}/{tokenizer}/tokens.parquet",
    log:
        "logs/tokenize_pair/{pair}/{tokenizer}.log",
    wildcard_constraints:
        tokenizer="hub-.*",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.text.files"),
        pair=lambda wildcards: folder(f"data/pairs/{wildcards.pair}", ".txt", ".yaml"),
        context=PARAMS.text.context,
        hub=lambda wildcards: canonical(STUDY.tokenizers()[wildcards.tokenizer]),
        weights=lambda wildcards: STUDY.published(
            STUDY.tokenizers()[wildcards.tokenizer]
        ),
    shell:
        "python -m resonance tokenize-pair --pair data/pairs/{wildcards.pair} --hub {params.hub:q}"
        " --context {params.context} --out {output.tokens} --log {log}"
