"""Every measure at the last cycle, learner by learner, with its unit and formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from resonance.measures import BETWEEN, FAMILIES, load_family
from resonance.measures.table import definitions
from resonance.report.findings import number

DRAWN = r"(reliability|confidence|weight)_\d+"
"""Points of a curve, which the figure `reliability` shows; as lines of a table they are many and say little."""


@dataclass(frozen=True)
class MeasureLine:
    """One measure under one condition.

    values: per learner the mean at its last cycle over seeds, directions and layers; empty where there is none.
    """

    name: str
    condition: str
    unit: str
    formula: str
    values: list[str]


@dataclass(frozen=True)
class FamilyTable:
    """All measures of one family, and how many rows the table behind them has."""

    family: str
    rows: int
    lines: list[MeasureLine]

    @property
    def formulas(self) -> dict[str, str]:
        """The formula of each measure, once."""
        return {line.name: line.formula for line in self.lines}


def family_tables(tables: Mapping[str, pd.DataFrame], learners: Sequence[str]) -> list[FamilyTable]:
    """One table per family that has rows, in the order of the families."""
    found = []
    for family in (*FAMILIES, *BETWEEN):
        table = tables.get(family)
        if table is not None and len(table):
            found.append(FamilyTable(family, len(table), _lines(family, table, learners)))
    return found


def _lines(family: str, table: pd.DataFrame, learners: Sequence[str]) -> list[MeasureLine]:
    words = ["learner", "measure", "condition"]
    rows = table.astype(dict.fromkeys(words, object)).fillna({"condition": ""})
    rows = rows[~rows["measure"].astype(str).str.fullmatch(DRAWN)]
    rows = rows[rows["cycle"] == rows.groupby(words)["cycle"].transform("max")]
    means = (
        rows.groupby(["measure", "condition", "learner"])["value"]
        .mean()
        .unstack("learner")
        .reindex(columns=list(learners))
    )
    about = definitions(load_family(family).MEASURES, map(str, means.index.get_level_values("measure")))
    order = {name: place for place, name in enumerate(pd.unique(rows["measure"]))}
    keys = sorted(means.index, key=lambda key: (order[key[0]], key[1]))
    return [
        MeasureLine(
            name=str(measure),
            condition=str(condition),
            unit=about[measure]["unit"],
            formula=about[measure]["formula"],
            values=["" if pd.isna(value) else number(float(value)) for value in means.loc[(measure, condition)]],
        )
        for measure, condition in keys
    ]
