"""The command line: one verb per rule of the workflow, each a few lines that call one typed function.

Heavy libraries are imported by the verb that needs them, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from resonance import params
from resonance.errors import UserError
from resonance.measures import KINDS

if TYPE_CHECKING:
    from resonance.training.run import Run

log = logging.getLogger("resonance")
Verb = Callable[[argparse.Namespace], None]
VERBS: dict[str, tuple[Verb, Callable[[argparse.ArgumentParser], None]]] = {}


def verb(*arguments: str) -> Callable[[Verb], Verb]:
    """Register a function as a verb; arguments are options `--name`, with `?` where optional and `*` where many."""

    def declare(parser: argparse.ArgumentParser) -> None:
        for argument in arguments:
            name = argument.rstrip("?*")
            parser.add_argument(f"--{name}", required="?" not in argument, nargs="+" if "*" in argument else None)
        parser.add_argument("--log", help="write the log to this file")

    def register(function: Verb) -> Verb:
        VERBS[function.__name__.replace("_", "-")] = (function, declare)
        return function

    return register


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; a fault of the user's is one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="resonance", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, (function, declare) in VERBS.items():
        declare(verbs.add_parser(name, help=(function.__doc__ or "").splitlines()[0]))
    arguments = parser.parse_args(argv)
    set_up_logging(arguments.log)
    try:
        VERBS[arguments.verb][0](arguments)
    except UserError as error:
        log.error("%s", error)
        return 1
    except Exception:
        log.exception("This is a fault of the program.")
        return 2
    return 0


def set_up_logging(file: str | None) -> None:
    """Everything into the log file where there is one; on the terminal warnings and errors, or everything."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("resonance: %(message)s"))
    log.handlers, log.propagate = [terminal], False
    log.setLevel(logging.INFO)
    logging.raiseExceptions = False  # a full disk is said once, in a sentence
    if file:
        terminal.setLevel(logging.WARNING)
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        lines = logging.FileHandler(file, mode="w", encoding="utf-8")
        lines.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
        log.addHandler(lines)


@verb("packages*", "bytes", "record", "out")
def extract_corpus(a: argparse.Namespace) -> None:
    """Collect the docstrings of installed packages."""
    from resonance.storage import write_table
    from resonance.text import corpus, facts, record

    table = corpus.extract_corpus(a.packages, int(a.bytes))
    record.check_corpus(facts.facts(table), a.record)
    write_table(a.out, table, facts.facts(table))


@verb("pair", "corpus?", "vocabulary?", "context", "hub?", "out")
def tokenize_pair(a: argparse.Namespace) -> None:
    """Cut a pair and its probes into tokens, with a tokenizer trained for it or that of a published network."""
    from resonance.text.files import tokenize_as_published, tokenize_pair

    hub = params.Hub.model_validate_json(a.hub) if a.hub else None
    if hub is not None:
        tokenize_as_published(Path(a.pair), hub, int(a.context), Path(a.out))
    else:
        tokenize_pair(Path(a.pair), Path(a.corpus), int(a.vocabulary), int(a.context), Path(a.out))


@verb("tokens", "order", "seed", "start", "stop", "out")
def build_schedule(a: argparse.Namespace) -> None:
    """Write the order of every cycle of a chunk."""
    from resonance.schedule.files import write_schedule
    from resonance.storage import read_made_by

    windows, order = read_made_by(a.tokens)["windows"], params.order(a.order)
    write_schedule(a.out, order, order.seed_of(int(a.seed)), windows, int(a.start), int(a.stop))


@verb("network", "base", "seed", "compute", "corpus", "tokens", "out")
def train_base(a: argparse.Namespace) -> None:
    """Train a network on prose, before it meets the pair."""
    from resonance.training.base import Prose, train_base

    train_base(
        params.network(a.network),
        params.Base.model_validate_json(a.base),
        int(a.seed),
        params.Compute.model_validate_json(a.compute),
        Prose(Path(a.corpus), Path(a.tokens)),
        Path(a.out),
    )


@verb("name", "run", "tokens", "base?", "schedule", "previous?", "start", "stop", "state", "table", "marks", "scratch")
def train_chunk(a: argparse.Namespace) -> None:
    """Train one chunk of a run."""
    from resonance.training.chunk import train_chunk
    from resonance.training.state import Files

    files = Files(Path(a.state), Path(a.table), Path(a.marks))
    previous = Path(a.previous) if a.previous else None
    train_chunk(_run(a), Path(a.schedule), previous, files, Path(a.scratch), int(a.start), int(a.stop))


@verb("name", "run", "tokens", "base?", "marks", "out")
def snapshot_states(a: argparse.Namespace) -> None:
    """Write the hidden states of a learner at every mark of a chunk."""
    from resonance.snapshots.states import snapshot_states

    snapshot_states(_run(a), Path(a.marks), Path(a.out))


@verb("name", "run", "tokens", "base?", "marks", "evaluation", "out", "spoken", "stability", "critiques", "changed")
def evaluate_marks(a: argparse.Namespace) -> None:
    """Ask a learner, at every mark of a chunk, what it predicts, says and thinks, and whether its state forgets."""
    from resonance.snapshots.evaluation import evaluate_marks

    settings = params.Evaluation.model_validate_json(a.evaluation)
    written = (Path(path) for path in (a.out, a.spoken, a.stability, a.critiques, a.changed))
    evaluate_marks(_run(a), Path(a.marks), settings, *written)


@verb("name", "run", "tokens", "base?", "states*", "sharpness", "out")
def step_states(a: argparse.Namespace) -> None:
    """Take, from every state of a run, one step on each direction, and see what it does to all of them."""
    from resonance.snapshots.steps import step_states

    step_states(_run(a), list(map(Path, a.states)), int(a.sharpness), Path(a.out))


@verb("name", "run", "tokens", "base?", "marks", "cycle", "out")
def export_loreft(a: argparse.Namespace) -> None:
    """Write a LoReFT learner, as it was at a mark, in the forms of transformers and pyreft."""
    from resonance.learning.export import export_loreft
    from resonance.snapshots.learners import learners

    cycles = []
    for cycle, learner in learners(_run(a), Path(a.marks)):
        cycles.append(str(cycle))
        if cycles[-1] == a.cycle:
            return export_loreft(learner, Path(a.out))
    raise UserError(f"{a.marks} has no mark of cycle {a.cycle}; it has {', '.join(cycles)}.")


@verb("name", "families*", *(f"{kind}*?" for kind in KINDS), "out")
def measure_run(a: argparse.Namespace) -> None:
    """Measure all families of measures of one run, a file each."""
    from resonance.measures.run import Identity, RunData
    from resonance.measures.table import write_family
    from resonance.plan import RunKey

    files = {f"{kind}_files": tuple(map(Path, getattr(a, kind) or ())) for kind in KINDS}
    run = RunData(Identity(**asdict(RunKey.parse(a.name))), **files)
    for family in a.families:
        write_family(Path(a.out, f"{family}.parquet"), family, run)


@verb("seed", "snapshots*", "out")
def compare_runs(a: argparse.Namespace) -> None:
    """Measure how alike the runs of a seed are, and each to that of its learner with another seed."""
    from resonance.measures.between import write_comparison

    write_comparison(a.out, int(a.seed), a.snapshots)


@verb("measures*", "out")
def collect_table(a: argparse.Namespace) -> None:
    """Join the measures of one family over all runs."""
    from resonance.measures.table import concatenate

    concatenate(a.measures, a.out)


@verb("params", "tables*", "out", "page")
def judge_claims(a: argparse.Namespace) -> None:
    """Judge every claim: a verdict with its interval, its controls and the runs compared."""
    from resonance.claims.judge import judge_claims
    from resonance.measures.table import read_families

    judge_claims(json.loads(a.params), read_families(a.tables), Path(a.out), Path(a.page))


@verb("logs*", "out")
def write_curve(a: argparse.Namespace) -> None:
    """Write the loss of a learner over cycles, for DVC."""
    from resonance.measures.curve import write_curve

    write_curve(a.logs, a.out)


@verb("learner", "measures*", "out")
def summarise_learner(a: argparse.Namespace) -> None:
    """Write a few final numbers of a learner, for DVC."""
    from resonance.measures.summary import write_metrics

    write_metrics(a.learner, a.measures, a.out)


@verb("tokens", "out")
def draw_pair(a: argparse.Namespace) -> None:
    """Draw the two texts and what says what."""
    from resonance.figures.gallery import draw_pair

    draw_pair(a.tokens, a.out)


@verb("pair", "schedule", "learners*", "tables*", "snapshots*", "out")
def draw_figures(a: argparse.Namespace) -> None:
    """Draw all figures of one pair and one schedule."""
    from resonance.figures.gallery import draw_runs
    from resonance.measures.table import read_families

    draw_runs(a.pair, a.schedule, a.learners, read_families(a.tables), a.snapshots, a.out)


@verb("pair", "learners*", "tables*", "out")
def draw_across(a: argparse.Namespace) -> None:
    """Draw what compares the schedules of one pair."""
    from resonance.figures.gallery import draw_across
    from resonance.measures.table import read_families

    draw_across(a.pair, a.learners, read_families(a.tables), a.out)


@verb("verdicts", "out")
def draw_verdicts(a: argparse.Namespace) -> None:
    """Draw the claims of a study at a glance."""
    from resonance.figures.gallery import draw_verdicts

    draw_verdicts(json.loads(Path(a.verdicts).read_text(encoding="utf-8")), a.out)


@verb("name", "tokens", "snapshots*", "evaluations*", "out")
def explore_run(a: argparse.Namespace) -> None:
    """Write what the explorer of the report shows of one run."""
    from resonance.report.explorer import write_explorer

    snapshots, evaluations = (list(map(Path, paths)) for paths in (a.snapshots, a.evaluations))
    write_explorer(a.out, a.name, Path(a.tokens), snapshots, evaluations)


@verb("params", "tables*", "figures", "seals*", "generations*", "verdicts?", "explorer*?", "out")
def render_report(a: argparse.Namespace) -> None:
    """Write the report: one file with everything in it."""
    from resonance.measures.table import read_families
    from resonance.report.embedding import read_explorer
    from resonance.report.provenance import provenance, read_generations
    from resonance.report.render import render
    from resonance.report.verdicts import read_verdicts

    tables, spoken = read_families(a.tables), read_generations(a.generations)
    judged = read_verdicts(a.verdicts) if a.verdicts else None
    explored = [read_explorer(path) for path in a.explorer or ()]
    render(a.out, json.loads(a.params), tables, a.figures, provenance(a.seals), spoken, judged, explored)


@verb("params?")
def plan(a: argparse.Namespace) -> None:
    """Say what a study will cost: seconds per cycle and mark, measured on this machine, times its runs."""
    from resonance.costs import costs, page
    from resonance.plan import Study

    told = params.load(a.params or "params.yaml")
    study = Study(told)
    cores = 1 if study.on_gpu else max(1, len(os.sched_getaffinity(0)) // told.compute.threads)
    print(page(told, list(costs(study)), cores))


@verb("out")
def reference(a: argparse.Namespace) -> None:
    """Write docs/params.md, the page of all parameters."""
    from resonance.reference import markdown
    from resonance.storage import write_text

    write_text(a.out, markdown())


@verb("out")
def systems(a: argparse.Namespace) -> None:
    """Write docs/systems.md, the page of all systems."""
    from resonance.storage import write_text
    from resonance.systems import markdown

    write_text(a.out, markdown())


def _run(a: argparse.Namespace) -> Run:
    from resonance.plan import RunKey
    from resonance.training.run import Run

    base = Path(a.base) if a.base else None
    return Run(params.Run.model_validate_json(a.run), Path(a.tokens), base, asdict(RunKey.parse(a.name)))
