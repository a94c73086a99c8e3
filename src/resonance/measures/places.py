"""The evaluations, one question at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from resonance.measures.table import Row


class Place(NamedTuple):
    """What was asked, in which direction, at which mark."""

    cycle: int
    condition: str
    direction: str

    def row(self, measure: str, value: float, low: float | None = None, high: float | None = None) -> Row:
        """A number about this place."""
        return Row(self.cycle, measure, value, low, high, direction=self.direction, condition=self.condition)


def places(rows: pd.DataFrame) -> Iterator[tuple[Place, pd.DataFrame]]:
    """The rows of each place, places in ascending order."""
    if rows.empty:
        return
    for key, own in rows.groupby(list(Place._fields), observed=True):
        cycle, condition, direction = key
        yield Place(int(str(cycle)), str(condition), str(direction)), own
