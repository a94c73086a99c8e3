"""What is declared of a claim before anybody looks at a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["above", "below"]


@dataclass(frozen=True)
class Role:
    """Who takes part in a test.

    Attributes:
        name: of the learner, or of the schedule, where params.yaml (`claims:`) says nothing else.
        side: whether it is what the claim is about, or what that is compared with.
        schedule: it names a schedule, on which the learner of the role `learner` is run.
    """

    name: str
    side: Literal["subject", "control"] = "subject"
    schedule: bool = False


@dataclass(frozen=True)
class Claim:
    """A claim and its one primary test.

    Attributes:
        id, name: as in the table of claims; the name is that of its file.
        title: the claim in the words of the person who made it.
        endpoint: what is measured, when, over what it is averaged; `unit` is its unit.
        contrast: what is compared with what.
        sesoi: the smallest effect of interest: what the interval must lie beyond.
        direction: on which side of it.
        roles: who takes part.
        control: the positive control, which must pass before the claim can be refuted.
        traps: what would fool a simpler test.
        would_change: what would change the mind.
        figure: the kind of figure in which it is seen.
        primary: tested under Holm's correction and confirmatory; all others are exploratory.
    """

    id: str
    name: str
    title: str
    endpoint: str
    unit: str
    contrast: str
    sesoi: float
    direction: Direction
    roles: Mapping[str, Role]
    control: str
    traps: tuple[str, ...]
    would_change: str
    figure: str
    primary: bool = False


SAME = ("1>1", "2>2")
CROSS = ("1>2", "2>1")
