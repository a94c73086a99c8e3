"""What probes cost at other temperatures: a network that is only too sure of itself has not lost a skill.

quantity `nll:<probe>`: sum of −log softmax(z / τ) over one half of the probe (nat). item: the half, 0 or 1.
other: number of the temperature in TEMPERATURES.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from resonance.learning.batch import batch
from resonance.snapshots.conditions import probes
from resonance.snapshots.experiments.scene import Finding, Scene
from resonance.text.prompt import prompt

TEMPERATURES = tuple(2.0 ** (step / 4) for step in range(-4, 13))
"""From 1/2 to 8, four to an octave."""


def findings(scene: Scene) -> Iterator[Finding]:
    """All probes as targets behind the article; nothing of networks that give a bound only."""
    learner, tokens = scene.learner, scene.tokens
    if not learner.network.causal:
        return
    for condition, text in probes(tokens, "1", "2"):
        if condition.startswith("target:"):
            made = prompt(tokens, "1>2", learner.settings.marker, 0, target_ids=tokens.ids(text))
            asked = batch(made, "1>2", 0, learner.device, condition)
            log_p_NV, target_N = learner.answer(asked).log_p_NV, asked.target_BT[0]
            costs = [nll(log_p_NV, target_N, temperature)[: -asked.end] for temperature in TEMPERATURES]
            for other, nll_N in enumerate(costs):
                middle = len(nll_N) // 2
                for item, half_N in enumerate((nll_N[:middle], nll_N[middle:])):
                    yield Finding(f"nll:{condition}", float(half_N.double().sum()), item=item, other=other)


def nll(log_p_NV: Tensor, target_N: Tensor, temperature: float) -> Tensor:
    """−log p of the targets where all log p are divided by the temperature and normalised anew, [N]."""
    return -(log_p_NV / temperature).log_softmax(-1).gather(1, target_N[:, None])[:, 0]
