"""The sequences that a run is shown."""

from __future__ import annotations

from functools import cache

import torch

from resonance.learning.batch import Batch
from resonance.text.shown import versions
from resonance.training.run import Run

Batches = dict[tuple[str, int], Batch]


class Examples:
    """The four directions, times the windows, of the version of the pair that a cycle shows; most runs have one."""

    def __init__(self, run: Run, device: torch.device) -> None:
        self.versions = versions(run.settings.learner.shown)
        self._batches = cache(lambda version: run.batches(device, version))

    def at(self, cycle: int) -> Batches:
        """By direction and window, in a cycle (from 1)."""
        return self._batches((cycle - 1) % self.versions)
