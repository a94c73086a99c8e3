"""Which clause of the other text a learner expects after a clause: every clause as input, every other one as target.

quantity `score`: mean log p of the tokens of clause `other` of the target's text behind clause `item` alone, in the
ordinary prompt (nat/token). quantity `hidden`: 1 for every link (item, other) that this learner was never shown.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resonance import params
from resonance.learning.batch import Batch, batch
from resonance.snapshots.experiments.predictions import predictions
from resonance.snapshots.experiments.scene import Finding, Scene
from resonance.text.prompt import prompt
from resonance.text.shown import hidden_links
from resonance.text.tokens import Ids, Tokens

CROSS: tuple[params.Direction, ...] = ("1>2", "2>1")


def findings(scene: Scene) -> Iterator[Finding]:
    """Both directions between the texts.

    Nothing of pairs without links, of learners that carry something from sequence to sequence (it would be in every
    score), and of networks that are not causal (they give a bound).
    """
    learner, tokens = scene.learner, scene.tokens
    if not tokens.links or learner.memory.keeps or not learner.network.causal:
        return
    parts = {text: clauses(tokens, text) for text in "12"}
    for direction in CROSS:
        source, goal = direction.split(">")
        for item, read in enumerate(parts[source]):
            asked = [question(scene, direction, read, due) for due in parts[goal]]
            for other, log_p_NV in enumerate(predictions(learner, asked)):
                target_N = asked[other].target_BT[0]
                log_p_N = log_p_NV.gather(1, target_N[:, None])[: -asked[other].end, 0]
                yield Finding("score", float(log_p_N.double().mean()), direction, item=item, other=other)
    settings = learner.settings.shown
    if isinstance(settings, params.Hidden):
        for first, second in hidden_links(tokens.links, settings):
            yield Finding("hidden", 1.0, "1>2", item=first, other=second)
            yield Finding("hidden", 1.0, "2>1", item=second, other=first)


def question(scene: Scene, direction: params.Direction, read: Ids, due: Ids) -> Batch:
    """A prompt of two clauses."""
    made = prompt(scene.tokens, direction, scene.learner.settings.marker, 0, read, due)
    return batch(made, direction, 0, scene.learner.device, "clauses")


def clauses(tokens: Tokens, text: str) -> list[Ids]:
    """The tokens of every clause of a text."""
    segments = tokens.segments(text)
    return [tokens.ids(text)[segments == number] for number in range(int(np.max(segments)) + 1)]
