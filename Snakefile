# The study, in the order of its data. Everything that a user sets stands in params.yaml; DVC reads the same file.
include: "workflow/rules/study.smk"
include: "workflow/rules/text.smk"
include: "workflow/rules/schedule.smk"
include: "workflow/rules/bases.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/snapshots.smk"
include: "workflow/rules/steps.smk"
include: "workflow/rules/measures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/figures.smk"


# The last state and the snapshots are asked for by name, so that a clone that has only the small results in git
# computes the rest instead of finding nothing to do.
rule all:
    default_target: True
    input:
        "results/report.html",
        expand("results/curves/{learner}.tsv", learner=PARAMS.learners),
        [STUDY.files("states", "safetensors", run)[-1] for run in STUDY.runs()],
        [
            file
            for run in STUDY.runs()
            for file in STUDY.files("snapshots", "parquet", run)
        ],
