"""Which runs the explorer of the report shows: all of a small study, of a large one the first of each kind."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Protocol, TypeVar

MANY = 32
"""Runs. Of more, not all are shown: a page must stay small enough to be opened."""


class Named(Protocol):
    """What a run is called."""

    @property
    def learner(self) -> str:
        """The learner's name."""
        ...

    @property
    def pair(self) -> str:
        """The pair's name."""
        ...

    @property
    def schedule(self) -> str:
        """The schedule's name."""
        ...


Run = TypeVar("Run", bound=Named)


def explored(runs: Iterable[Run]) -> list[Run]:
    """All runs where they are few; else the first seed of each learner, pair and schedule; where these are many too,
    the first seed and schedule of each learner and pair. Their order stays.
    """
    found = list(runs)
    if len(found) > MANY:
        found = _first(found, [(run.learner, run.pair, run.schedule) for run in found])
    if len(found) > MANY:
        found = _first(found, [(run.learner, run.pair) for run in found])
    return found


def _first(runs: list[Run], keys: list[Hashable]) -> list[Run]:
    """The first run of every key."""
    return [run for place, run in enumerate(runs) if keys.index(keys[place]) == place]
