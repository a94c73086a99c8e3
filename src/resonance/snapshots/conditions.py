"""What is asked of a learner at every mark: its four directions, counterfactual inputs, probes as targets.

Blank, shuffled and edited inputs keep their first tokens, which tell which of the two texts the input is: with the
marker `relation` that bit is needed even to recite, so without it a pure reciter would look as if it read its input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from resonance import params
from resonance.learning.batch import Batch, batch
from resonance.params import DIRECTIONS
from resonance.text.counterfactual import blank, edited, shuffled
from resonance.text.prompt import prompt
from resonance.text.tokens import Tokens

SEED = 0
"""Counterfactual inputs are the same for every learner and every seed of a study."""
ROLE = {"1": "article", "2": "meta"}
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """One sequence to evaluate.

    alternative: where the input was edited and the target is the same text, the token that stands at each target offset
    in the edited input, −1 elsewhere; None where there is no such thing.
    """

    batch: Batch
    alternative: Ids | None = None


def questions(
    tokens: Tokens, settings: params.Evaluation, marker: params.Marker, device: torch.device
) -> Iterator[Question]:
    """All questions of a study, in a fixed order."""
    for direction in DIRECTIONS:
        source, _, goal = direction.partition(">")
        for window in range(tokens.windows):

            def ask(
                condition: str,
                input_ids: Ids | None = None,
                target_ids: Ids | None = None,
                direction: params.Direction = direction,
                window: int = window,
            ) -> Batch:
                made = prompt(tokens, direction, marker, window, input_ids=input_ids, target_ids=target_ids)
                return batch(made, direction, window, device, condition)

            read = tokens.ids(source, window)
            yield Question(ask("clean"))
            yield Question(ask("input:blank", blank(read, settings.kept, tokens.markers["[BLANK]"][0])))
            yield Question(ask("input:shuffled", shuffled(read, settings.kept, SEED)))
            changed, sites = edited(read, settings.kept, settings.edits, SEED)
            question = ask("input:edited", changed)
            yield Question(question, followed(changed, sites, question) if source == goal else None)
            if window == 0:
                for condition, text in probes(tokens, source, goal):
                    ids = tokens.ids(text)
                    instead = (ids, None) if condition.startswith("input:") else (None, ids)
                    yield Question(ask(condition, *instead))


def followed(changed: Ids, sites: NDArray[np.int64], asked: Batch) -> Ids:
    """The edited tokens at their offsets in the target, −1 elsewhere."""
    alternative = np.full(asked.target_BT.shape[1], -1, np.int64)
    alternative[sites] = changed[sites]
    return alternative


def probes(tokens: Tokens, source: str, goal: str) -> Iterator[tuple[str, str]]:
    """(condition, text) of every probe that the pair has."""
    own = {f"paraphrase-{role}" for role in ROLE.values()} | {f"shuffled-{text}" for text in ROLE}
    named = [
        ("input:paraphrase", f"paraphrase-{ROLE[source]}"),
        ("target:paraphrase", f"paraphrase-{ROLE[goal]}"),
        ("target:shuffled", f"shuffled-{goal}"),
    ]
    others = [(f"target:{text}", text) for text in tokens.texts if text not in own | set(ROLE)]
    return (probe for probe in [*named, *others] if probe[1] in tokens.texts)
