"""What a study will cost: a few cycles and one mark of every learner, measured here before any of it is run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from resonance.errors import UserError
from resonance.params import Params
from resonance.plan import RunKey, Study
from resonance.schedule.chunks import snapshots_between

WARM, TIMED = 1, 3
"""Cycles that are run before the clock, and by the clock."""


@dataclass(frozen=True)
class Cost:
    """Of one learner on one pair. cycle, mark: seconds, on one core or the GPU. runs, cycles, marks: how many."""

    learner: str
    pair: str
    runs: int
    cycles: int
    marks: int
    cycle: float
    mark: float

    @property
    def seconds(self) -> float:
        """All its runs, one after the other."""
        return self.runs * (self.cycles * self.cycle + self.marks * self.mark)


def costs(study: Study) -> Iterator[Cost]:
    """Every learner of a study on every pair, measured one after the other.

    Raises:
        UserError: a pair is not cut into tokens yet.
    """
    marks = 1 + len(snapshots_between(0, study.params.cycles, study.params.snapshots.per_doubling))
    keys = sorted(study.runs(), key=lambda key: (list(study.params.learners).index(key.learner), key.pair))
    for (learner, pair), runs in groupby(keys, key=lambda key: (key.learner, key.pair)):
        first, *others = runs
        cycle, mark = measured(study, first)
        yield Cost(learner, pair, 1 + len(others), study.params.cycles, marks, cycle, mark)


def measured(study: Study, key: RunKey) -> tuple[float, float]:
    """Seconds per cycle, and per mark (all that is asked there but hidden states), of a learner with fresh weights."""
    import torch

    from resonance.params import Run as Settings
    from resonance.snapshots.conditions import questions
    from resonance.snapshots.evaluation import evaluate
    from resonance.snapshots.experiments.scene import Scene
    from resonance.snapshots.interventions import interventions
    from resonance.training.run import Run
    from resonance.training.step import Trainer

    file = Path(study.tokens(key))
    if not file.is_file():
        raise UserError(f"{file} is not there yet: run `snakemake -- texts` first (a minute), then ask again.")
    told = study.run(key)
    learner = told.learner if told.learner.network.published else told.learner.model_copy(update={"init": "random"})
    run = Run(Settings(**{**dict(told), "learner": learner}), file, None)
    made = run.learner()
    trainer, examples = Trainer(made), list(run.batches(made.device).values())[:4]

    def clocked(first: int, last: int) -> float:
        began = time.perf_counter()
        for cycle in range(first, last):
            trainer.cycle(cycle, examples)
        if made.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    clocked(1, 1 + WARM)
    cycle = clocked(1 + WARM, 1 + WARM + TIMED) / TIMED
    began = time.perf_counter()
    settings = study.params.evaluation
    for question in questions(run.tokens, settings, learner.marker, made.device):
        evaluate(made, question, 0)
    interventions(Scene(made, made, 0, run.tokens, examples, settings, run.tokenizer))
    return cycle, time.perf_counter() - began


def page(params: Params, found: list[Cost], cores: int) -> str:
    """The costs as a table, dearest first, and what the whole takes with that many cores."""
    lines = [f"{'learner':24} {'pair':14} {'runs':>5} {'cycles':>13} {'s/cycle':>8} {'s/mark':>7} {'hours':>9}"]
    for cost in sorted(found, key=lambda cost: -cost.seconds):
        lines.append(
            f"{cost.learner:24} {cost.pair:14} {cost.runs:5} {cost.cycles:13,} {cost.cycle:8.3f} {cost.mark:7.2f} "
            f"{cost.seconds / 3600:9.2f}"
        )
    whole = sum(cost.seconds for cost in found) / 3600
    runs = sum(cost.runs for cost in found)
    lines.append(
        f"{runs} runs of {params.cycles:,} cycles: {whole:.1f} hours of one core or GPU, {whole / cores:.1f} on the "
        f"{cores} of this machine; bases, starts of jobs, figures and the report come on top."
    )
    return "\n".join(lines)
