"""What a learner gains on each direction by what it carries: the same target, read with its memory and without.

quantity `carried`, `empty`: mean −log p of the target (nat/token) with the memory as it is at this mark, and with none.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from resonance import params
from resonance.learning.batch import batch
from resonance.networks.network import State
from resonance.params import DIRECTIONS
from resonance.snapshots.experiments.scene import Finding, Scene
from resonance.text.prompt import prompt


def findings(scene: Scene) -> Iterator[Finding]:
    """The four directions of the pair as it is written; only of learners that carry something."""
    learner, tokens = scene.learner, scene.tokens
    if not learner.memory.keeps:
        return
    carried = learner.carried
    windows = range(tokens.windows)

    def cost(direction: params.Direction, memory: State | None) -> float:
        """Mean −log p of the whole target with this memory."""
        learner.carried, nll = memory, []
        for window in windows:
            made = prompt(tokens, direction, learner.settings.marker, window)
            asked = batch(made, direction, window, learner.device)
            nll.append(learner.answer(learner.memory.shown(asked, memory)).nll_N.double())
        return float(torch.cat(nll).mean())

    for direction in DIRECTIONS:
        yield Finding("carried", cost(direction, carried), direction)
        yield Finding("empty", cost(direction, None), direction)
    learner.carried = carried
