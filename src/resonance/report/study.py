"""The study at a glance: what was composed of what, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resonance.params import Params


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


def learner_lines(params: Params) -> list[LearnerLine]:
    """The learners in the order of params.yaml."""
    return [
        LearnerLine(
            name=name,
            network=words(settings["network"]),
            train=words(settings["train"]),
            objective=many(settings["objective"]),
            heads=many(settings["heads"]),
            optimizer=words(settings["optimizer"]),
            start=settings["init"],
            marker=settings["marker"],
        )
        for name, settings in params.model_dump(mode="json")["learners"].items()
    ]


def schedule_lines(params: Params) -> list[tuple[str, str]]:
    """Name of each schedule and how it orders the cycles."""
    return [(name, words(order)) for name, order in params.model_dump(mode="json")["schedules"].items()]


def words(block: Mapping[str, Any]) -> str:
    """`{tag: rwkv7, width: 128, layers: 4}` → `rwkv7 (width 128, layers 4)`; what is not set is not said."""
    settings = ", ".join(
        f"{key.replace('_', ' ')} {_value(value)}" for key, value in block.items() if key != "tag" and value is not None
    )
    return f"{block['tag']} ({settings})" if settings else str(block["tag"])


def many(blocks: list[dict[str, Any]]) -> str:
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
