"""What an experiment is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.text.tokenizer import Tokenizer
from resonance.text.tokens import Tokens


class Finding(NamedTuple):
    """One number; `item` and `other` count what the experiment names (clauses, anchors, temperatures), from 0."""

    quantity: str
    value: float
    direction: str | None = None
    layer: int | None = None
    item: int | None = None
    other: int | None = None


@dataclass(frozen=True)
class Scene:
    """A learner at a mark.

    learner: as it is after `cycle` cycles; an experiment leaves it as it was. start: the same learner, untouched.
    tokens: the pair as it is written, whatever this learner is shown. examples: its clean prompts.
    tokenizer: what made the tokens; experiments that need it cannot do without.
    """

    learner: Learner
    start: Learner
    cycle: int
    tokens: Tokens
    examples: Sequence[Batch]
    settings: params.Evaluation
    tokenizer: Tokenizer | None = None
