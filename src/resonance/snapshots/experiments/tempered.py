"""What probes cost at other temperatures: a network that is only too sure of itself has not lost a skill.

quantity `nll:<probe>`: sum of −log softmax(z / τ) over one half of the probe (nat). item: the half, 0 or 1.
other: the temperature in quarters of an octave: τ = 2^(other / 4).
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from resonance.learning.batch import batch
from resonance.snapshots.conditions import probes
from resonance.snapshots.experiments.scene import Finding, Scene
from resonance.text.prompt import prompt

QUARTERS = range(-4, 13)
"""Quarters of an octave: temperatures from 1/2 to 8."""


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
            for other in QUARTERS:
                nll_N = nll(log_p_NV, target_N, 2.0 ** (other / 4))[: -asked.end]
                middle = len(nll_N) // 2
                for item, half_N in enumerate((nll_N[:middle], nll_N[middle:])):
                    yield Finding(f"nll:{condition}", float(half_N.double().sum()), item=item, other=other)


def nll(log_p_NV: Tensor, target_N: Tensor, temperature: float) -> Tensor:
    """−log p of the targets where all log p are divided by the temperature and normalised anew, [N]."""
    return -(log_p_NV / temperature).log_softmax(-1).gather(1, target_N[:, None])[:, 0]
