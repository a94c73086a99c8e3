"""The study at a glance: what was composed of what, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resonance.params import Block, Nothing, Params


@dataclass(frozen=True)
class LearnerLine:
    """One learner, part by part, as a row of a table."""

    name: str
    network: str
    train: str
    objective: str
    heads: str
    optimizer: str
    start: str
    marker: str


def learner_lines(params: Params, names: Sequence[str]) -> list[LearnerLine]:
    """The learners of these names, in their order."""
    return [
        LearnerLine(
            name=name,
            network=words(learner.network, whole=True),
            train=words(learner.train, whole=not isinstance(learner.train, Nothing)),
            objective=many(learner.objective),
            heads=many(learner.heads),
            optimizer="–" if isinstance(learner.train, Nothing) else words(learner.optimizer, always=("lr",)),
            start=learner.init,
            marker=learner.marker,
        )
        for name, learner in ((name, params.learners[name]) for name in names)
    ]


def schedule_lines(params: Params) -> list[tuple[str, str]]:
    """Name of each schedule and how it orders the cycles."""
    return [(name, words(order, whole=True)) for name, order in params.schedules.items()]


def words(block: Block, whole: bool = False, always: Sequence[str] = ()) -> str:
    """`rwkv7 (width 128, layers 4)`: the tag of a block, and of its settings those that are not the default.

    Args:
        whole: say the defaults too.
        always: settings that are said even where they are the default.
    """
    fields = type(block).model_fields
    said = [
        f"{key.replace('_', ' ')} {_value(value)}"
        for key, value in block.model_dump(mode="json").items()
        if key != "tag" and value is not None and (whole or key in always or getattr(block, key) != fields[key].default)
    ]
    tag = str(fields["tag"].default)
    return f"{tag} ({', '.join(said)})" if said else tag


def many(blocks: Sequence[Block]) -> str:
    """Several blocks, or a dash for none."""
    return " + ".join(words(block) for block in blocks) or "–"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
