"""Figures and the report: what a visitor looks at.

REQUIRED INPUTS: results/tables, results/verdicts.json, results/snapshots, results/evaluations, results/generations,
results/states (their seals), tokens.
OUTPUTS: results/figures/*.svg and *.png, results/explorer/<run>.json, results/report.html.
"""

from resonance.report.explored import explored


rule draw_pair:
    input:
        tokens="data/derived/tokens/{pair}/pair/tokens.parquet",
    output:
        svg=[f"results/figures/{kind}-{{pair}}.svg" for kind in TEXTS],
        png=[
            report(
                f"results/figures/{kind}-{{pair}}.png",
                caption=f"../report/{kind}.rst",
                category="{pair}",
                labels={"figure": kind, "schedule": "–"},
            )
            for kind in TEXTS
        ],
    log:
        "logs/draw_pair/{pair}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.figures.gallery"),
    shell:
        "python -m resonance draw-pair --tokens {input.tokens} --out results/figures --log {log}"


rule draw_across:
    input:
        tables=ALL_TABLES,
    output:
        svg=[f"results/figures/{kind}-{{pair}}.svg" for kind in ACROSS],
        png=[
            report(
                f"results/figures/{kind}-{{pair}}.png",
                caption="../report/across.rst",
                category="{pair}",
                labels={"figure": kind, "schedule": "all"},
            )
            for kind in ACROSS
        ],
    log:
        "logs/draw_across/{pair}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.figures.gallery"),
        learners=list(PARAMS.learners),
    shell:
        "python -m resonance draw-across --pair {wildcards.pair} --learners {params.learners}"
        " --tables {input.tables} --out results/figures --log {log}"


rule draw_verdicts:
    input:
        verdicts="results/verdicts.json",
    output:
        svg="results/figures/verdicts.svg",
        png=report(
            "results/figures/verdicts.png",
            caption="../report/verdicts.rst",
            category="claims",
            labels={"figure": "verdicts", "schedule": "all"},
        ),
    log:
        "logs/draw_verdicts.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.figures.gallery"),
    shell:
        "python -m resonance draw-verdicts --verdicts {input.verdicts} --out results/figures --log {log}"


rule draw_figures:
    input:
        tables=ALL_TABLES,
        snapshots=lambda wildcards: [
            file
            for run in STUDY.runs(pair=wildcards.pair, schedule=wildcards.schedule)
            for file in STUDY.files("snapshots", "parquet", run)
        ],
    output:
        svg=[f"results/figures/{kind}-{{pair}}-{{schedule}}.svg" for kind in FIGURES],
        png=[
            report(
                f"results/figures/{kind}-{{pair}}-{{schedule}}.png",
                caption="../report/figure.rst",
                category="{pair}",
                labels={"figure": kind, "schedule": "{schedule}"},
            )
            for kind in FIGURES
        ],
    log:
        "logs/draw_figures/{pair}/{schedule}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.figures.gallery"),
        learners=list(PARAMS.learners),
    shell:
        "python -m resonance draw-figures --pair {wildcards.pair} --schedule {wildcards.schedule}"
        " --learners {params.learners} --tables {input.tables} --snapshots {input.snapshots}"
        " --out results/figures --log {log}"


rule explore_run:
    input:
        tokens=tokens_of_run,
        snapshots=lambda wildcards: STUDY.files(
            "snapshots", "parquet", run_of(wildcards)
        ),
        evaluations=lambda wildcards: STUDY.files(
            "evaluations", "parquet", run_of(wildcards)
        ),
    output:
        "results/explorer/{learner}/{pair}/{schedule}/{seed}.json",
    log:
        "logs/explore_run/{learner}/{pair}/{schedule}/{seed}.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code("resonance.report.explorer"),
        name=lambda wildcards: str(run_of(wildcards)),
    shell:
        "python -m resonance explore-run --name {params.name} --tokens {input.tokens} --snapshots {input.snapshots}"
        " --evaluations {input.evaluations} --out {output} --log {log}"


rule render_report:
    input:
        glance="results/figures/verdicts.svg",
        tables=ALL_TABLES,
        pairs=expand(
            "results/figures/{kind}-{pair}.svg", kind=PER_PAIR, pair=PARAMS.pairs
        ),
        figures=expand(
            "results/figures/{kind}-{pair}-{schedule}.svg",
            kind=FIGURES,
            pair=PARAMS.pairs,
            schedule=PARAMS.schedules,
        ),
        seals=[STUDY.files("states", "json", run)[-1] for run in STUDY.runs()],
        generations=[
            file
            for run in STUDY.runs()
            for file in STUDY.files("generations", "parquet", run)
        ],
        verdicts="results/verdicts.json",
        explorer=[f"results/explorer/{run}.json" for run in explored(STUDY.runs())],
        metrics=expand("results/metrics/{learner}.json", learner=PARAMS.learners),
    output:
        "results/report.html",
    log:
        "logs/render_report.log",
    conda:
        "../envs/resonance.yaml"
    params:
        code=code(
            "resonance.report.render",
            "resonance.report.provenance",
            "resonance.report.verdicts",
            "resonance.report.embedding",
        ),
        style=folder("src/resonance/report", ".jinja", ".css", ".js"),
        study=PARAMS.model_dump_json(),
    shell:
        "python -m resonance render-report --params {params.study:q} --tables {input.tables} --figures results/figures"
        " --seals {input.seals} --generations {input.generations} --verdicts {input.verdicts}"
        " --explorer {input.explorer} --out {output} --log {log}"
