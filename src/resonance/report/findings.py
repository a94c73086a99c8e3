"""What was found, in numbers: a line per learner with where it ended and where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Finding:
    """One column of the table: which rows it is made of.

    Attributes:
        group: heading over neighbouring columns, with their unit.
        heading: of the column.
        family, measure: where the numbers stand.
        wanted: words in further columns, e.g. direction or condition.
        percent: show a share as a percentage.
        last_layer: only the highest layer counts.
    """

    group: str
    heading: str
    family: str
    measure: str
    wanted: Mapping[str, str] = field(default_factory=dict)
    percent: bool = False
    last_layer: bool = False


CLEAN = {"condition": "clean"}

FINDINGS: tuple[Finding, ...] = (
    *(
        Finding("loss (nat/token)", direction.replace(">", "→"), "loss", "nll", CLEAN | {"direction": direction})
        for direction in ("1>2", "2>1", "1>1", "2>2")
    ),
    Finding("recited exactly", "from the start", "memorisation", "exact_continuation_0", CLEAN, percent=True),
    Finding("new text (bit/byte)", "paraphrase", "probes", "bits_per_byte", {"condition": "target:paraphrase"}),
    Finding("new text (bit/byte)", "unrelated", "probes", "bits_per_byte", {"condition": "target:unrelated"}),
    Finding("blank input", "adds nat/token", "probes", "input_effect", {"condition": "input:blank"}),
    Finding("at edited places", "recites", "probes", "store_share", percent=True),
    Finding("at edited places", "copies", "probes", "follow_share", percent=True),
    Finding("drift, last layer", "share of norm", "similarity", "drift", last_layer=True),
    Finding("drift, last layer", "rotation", "similarity", "rotation_share", percent=True, last_layer=True),
    Finding("carried state", "moves per cycle", "reader", "state_change", percent=True),
)


@dataclass(frozen=True)
class Cell:
    """One number of one learner, as it is printed.

    Attributes:
        end: mean over seeds of the value at the last cycle.
        spread: least and greatest seed, empty with one seed.
        start: the same at cycle 0, empty where nothing was measured then.
    """

    end: str
    spread: str = ""
    start: str = ""


@dataclass(frozen=True)
class Findings:
    """A table: columns in groups, and a line of cells per learner (None where a learner has no such number)."""

    columns: list[Finding]
    lines: dict[str, list[Cell | None]]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Heading and number of columns of each group."""
        found: list[tuple[str, int]] = []
        for column in self.columns:
            if found and found[-1][0] == column.group:
                found[-1] = (column.group, found[-1][1] + 1)
            else:
                found.append((column.group, 1))
        return found


def findings(tables: Mapping[str, pd.DataFrame], learners: Sequence[str]) -> Findings:
    """The table of one pair and schedule. A column that no learner has a number for is left out.

    Args:
        tables: per family the rows of this pair and schedule.
        learners: in the order in which they are to stand.
    """
    found = [(finding, _cells(finding, tables.get(finding.family))) for finding in FINDINGS]
    filled = [(finding, cells) for finding, cells in found if cells]
    lines = {name: [cells.get(name) for _, cells in filled] for name in learners}
    return Findings([finding for finding, _ in filled], lines)


def number(value: float, percent: bool = False) -> str:
    """Three digits that matter: 7.62, 0.0102, 1.2e-05, 12,300; a share as 97.3 %."""
    if percent:
        return f"{value:.1%}".replace("%", " %").replace("-", "−")
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−")


def _cells(finding: Finding, table: pd.DataFrame | None) -> dict[str, Cell]:
    """The column's cell of each learner that has one."""
    if table is None:
        return {}
    kept = table["measure"] == finding.measure
    for column, word in finding.wanted.items():
        kept &= table[column] == word
    rows = table[kept & table["value"].notna()]
    rows = rows.astype({"learner": object})
    if finding.last_layer and len(rows):
        rows = rows[rows["layer"] == rows.groupby("learner")["layer"].transform("max")]
    return {str(name): _cell(own, finding.percent) for name, own in rows.groupby("learner", sort=False)}


def _cell(rows: pd.DataFrame, percent: bool) -> Cell:
    last = rows["cycle"] == rows.groupby("seed")["cycle"].transform("max")
    ends = rows[last].groupby("seed")["value"].mean()
    starts = rows[rows["cycle"] == 0]["value"]
    spread = f"{number(ends.min(), percent)} to {number(ends.max(), percent)}" if len(ends) > 1 else ""
    moved = len(starts) > 0 and int(rows["cycle"].max()) > 0
    return Cell(number(float(ends.mean()), percent), spread, number(float(starts.mean()), percent) if moved else "")
