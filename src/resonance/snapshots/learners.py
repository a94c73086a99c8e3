"""From the marks of a chunk back to the learner as it was at each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resonance.learning.learner import Learner
from resonance.networks.tensors import read_tensors
from resonance.training.run import Run
from resonance.training.state import read_marks


def learners(run: Run, marks_file: Path) -> Iterator[tuple[int, Learner]]:
    """(cycle, the learner at that cycle), in ascending order; one learner, restored again and again."""
    learner = run.learner()
    for cycle, mark in sorted(read_marks(marks_file, run.fingerprint).items()):
        learner.restore(mark)
        yield cycle, learner


def last_mark(marks_file: Path) -> int:
    """The cycle of the last mark of a chunk."""
    return max(read_tensors(marks_file)[1]["cycles"])
