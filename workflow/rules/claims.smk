"""Claims: what the tables of all runs say about each claim of the study.

REQUIRED INPUTS: results/tables.
OUTPUTS: results/verdicts.json, results/verdicts.md.
"""


rule judge_claims:
    input:
        ALL_TABLES,
    output:
        verdicts="results/verdicts.json",
        page="results/verdicts.md",
    log:
        "logs/judge_claims.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.claims.judge"),
        study=PARAMS.model_dump_json(),
    shell:
        "python -m resonance judge-claims --params {params.study:q} --tables {input} --out {output.verdicts}"
        " --page {output.page} --log {log}"
