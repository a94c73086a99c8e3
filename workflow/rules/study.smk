"""What all rules share: the study that params.yaml asks for, and the functions that rules name in their params.

REQUIRED INPUTS: params.yaml. OUTPUTS: none.
"""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir, "src")))
sys.setrecursionlimit(
    20_000
)  # a chain of more than 480 jobs overflows Python's default
# Rules run the `python` that runs Snakemake, also where its environment is not activated.
# Sums of numpy depend on its threads as those of torch do: one, on every machine.
shell.prefix(
    f'set -euo pipefail; export PATH="{Path(sys.executable).parent}:$PATH" PYTHONPATH="$PWD/src"'
    " PYTHONHASHSEED=0 OPENBLAS_NUM_THREADS=1; "
)

from resonance.errors import UserError
from resonance.figures.captions import ACROSS, PER_PAIR, PER_RUNS, TEXTS
from resonance.housekeeping import set_aside, unrecorded
from resonance.measures import BETWEEN, KINDS
from resonance.params import canonical, load
from resonance.plan import RunKey, Study
from resonance.provenance import code, folder

try:
    STUDY = Study(load("params.yaml"))
    STUDY.check()
except UserError as error:
    raise WorkflowError(str(error))

PARAMS = STUDY.params
FAMILIES = STUDY.families
ALL_TABLES = expand("results/tables/{family}.parquet", family=STUDY.tables)
FIGURES = list(PER_RUNS)


wildcard_constraints:
    learner="|".join(PARAMS.learners),
    pair="|".join(PARAMS.pairs),
    tokenizer="|".join(STUDY.tokenizers()),
    schedule="|".join(PARAMS.schedules),
    seed=r"\d+",
    stop=r"\d{12}",
    network="|".join(STUDY.networks()) or "none",
    base=r"shared|\d+",
    family="|".join(STUDY.tables),


def run_of(wildcards):
    return RunKey(
        wildcards.learner, wildcards.pair, wildcards.schedule, int(wildcards.seed)
    )


def told(wildcards):
    return canonical(STUDY.run(run_of(wildcards)))


def run_modules(wildcards):
    return STUDY.run_modules(wildcards.learner)


def training_code(wildcards):
    return code(*run_modules(wildcards))


def published_weights(wildcards):
    return STUDY.published(PARAMS.learners[wildcards.learner].network)


def tokens_of_run(wildcards):
    return STUDY.tokens(run_of(wildcards))


def base_of_run(wildcards):
    return STUDY.base(run_of(wildcards)) or []


def optional(name, files):
    return f"--{name} {files}" if files else ""


def gpus(wildcards):
    return int(STUDY.on_gpu)


def cores(wildcards=None):
    return 1 if STUDY.on_gpu else PARAMS.compute.threads


def schedule_of_chunk(wildcards):
    return STUDY.schedule(run_of(wildcards), wildcards.stop)


def state_before(wildcards):
    start = STUDY.before[wildcards.stop]
    if not start:
        return []
    return f"results/states/{run_of(wildcards)}/{start:012d}.safetensors"


def seal_before(wildcards):
    return [
        file.replace(".safetensors", ".json")
        for file in [state_before(wildcards)]
        if file
    ]


def recorded(kind):
    return lambda wildcards: STUDY.recorded(kind, run_of(wildcards))


def compared(wildcards):
    runs = STUDY.compared(
        wildcards.pair, wildcards.schedule, wildcards.tokenizer, int(wildcards.seed)
    )
    files = [STUDY.files("snapshots", "parquet", run) for run in runs]
    return [file for own in files for file in dict.fromkeys([own[0], own[-1]])]


def measures_of_family(wildcards):
    if wildcards.family in BETWEEN:
        return STUDY.comparisons()
    return [
        f"results/measures/{run}/{wildcards.family}.parquet" for run in STUDY.runs()
    ]


def measures_of_learner(wildcards):
    return [
        f"results/measures/{run}/{family}.parquet"
        for run in STUDY.runs(wildcards.learner)
        for family in FAMILIES
    ]


if workflow.is_main_process:
    if unrecorded():
        raise WorkflowError(
            "results/ or data/derived/ is here but .snakemake/metadata is not, so nothing says what made them: "
            "run `git checkout -- .snakemake/metadata`, or move both folders away."
        )
    # Under `dvc repro` only (DVC sets DVC_STAGE), so that each stage records folders that hold what is called for.
    if "DVC_STAGE" in os.environ:
        set_aside(STUDY.wanted())
        # DVC asks for every folder of a stage, also where no run has a base
        # and where no steps are taken or no runs compared.
        Path("data/derived/bases").mkdir(parents=True, exist_ok=True)
        Path("results/between").mkdir(parents=True, exist_ok=True)
        for learner in PARAMS.learners:
            Path("results/transfer", learner).mkdir(parents=True, exist_ok=True)
