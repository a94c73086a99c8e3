"""What a learner gains on each direction by what it carries: the same target, read with its memory and without.

quantity `carried`, `empty`: mean −log p of the target (nat/token) with the memory as it is at this mark, and with none.
"""

from __future__ import annotations

from collections.abc import Iterator

from resonance.snapshots.experiments.scene import Finding, Scene
from resonance.text.prompt import prompt
from resonance.learning.batch import batch
from resonance.params import DIRECTIONS


def findings(scene: Scene) -> Iterator[Finding]:
    """The four directions of the pair as it is written; only of learners that carry something."""
    learner, tokens = scene.learner, scene.tokens
    if not learner.memory.keeps:
        return
    carried = learner.carried
    for direction in DIRECTIONS:
        for name, memory in (("carried", carried), ("empty", None)):
            learner.carried = memory
            costs = [
                learner.answer(learner.memory.shown(asked, memory)).nll_N.double()
                for window in range(tokens.windows)
                for asked in [
                    batch(prompt(tokens, direction, learner.settings.marker, window), direction, window, learner.device)
                ]
            ]
            total = sum(float(cost.sum()) for cost in costs)
            yield Finding(name, total / sum(len(cost) for cost in costs), direction)
    learner.carried = carried
