"""What was found, in numbers: where each learner ended, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from resonance.params import DIRECTIONS


@dataclass(frozen=True)
class Finding:
    """One line of the table: which rows of the tables it is made of.

    Attributes:
        name, unit: as printed; without a unit a share is printed as a percentage.
        family, measure: where the numbers stand.
        wanted: words in further columns, e.g. direction or condition.
        last_layer: only the highest layer counts.
    """

    name: str
    unit: str
    family: str
    measure: str
    wanted: Mapping[str, str] = field(default_factory=dict)
    last_layer: bool = False


CLEAN = {"condition": "clean"}
EDITED = {"condition": "input:edited"}
NORM = "of the norm at cycle 0"

FINDINGS: tuple[Finding, ...] = (
    *(
        Finding(f"loss {way.replace('>', '→')}", "nat/token", "loss", "nll", CLEAN | {"direction": way})
        for way in DIRECTIONS
    ),
    Finding("recited exactly from the start", "", "memorisation", "exact_continuation_0", CLEAN),
    Finding("paraphrase of the target", "bit/byte", "probes", "bits_per_byte", {"condition": "target:paraphrase"}),
    Finding("unrelated text", "bit/byte", "probes", "bits_per_byte", {"condition": "target:unrelated"}),
    Finding("a blank input adds", "nat/token", "probes", "input_effect", {"condition": "input:blank"}),
    Finding("recites at edited places", "", "probes", "store_share", EDITED),
    Finding("copies at edited places", "", "probes", "follow_share", EDITED),
    Finding("drift of the last layer", NORM, "similarity", "drift", last_layer=True),
    Finding("rotation in that drift, squared", "", "similarity", "rotation_share", last_layer=True),
    Finding("the same for pure noise", "", "similarity", "rotation_share_null", last_layer=True),
    Finding("carried state moves per cycle", "of its length", "reader", "state_change"),
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
class Line:
    """A finding with a cell per learner, None where a learner has no such number."""

    finding: Finding
    cells: list[Cell | None]


def findings(tables: Mapping[str, pd.DataFrame], learners: Sequence[str]) -> list[Line]:
    """The table of one pair and schedule. A line for which no learner has a number is left out.

    Args:
        tables: per family the rows of this pair and schedule.
        learners: in the order in which they are to stand.
    """
    found = [(finding, _cells(finding, tables.get(finding.family))) for finding in FINDINGS]
    return [Line(finding, [cells.get(name) for name in learners]) for finding, cells in found if cells]


def number(value: float, percent: bool = False) -> str:
    """Three digits that matter: 7.60, 0.0102, 1.23e−05, 12,300; a share as 97.3%."""
    if percent:
        text = f"{round(value, 3) + 0.0:.1%}"
    elif value == 0:
        text = "0"
    else:
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".removesuffix(".")
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
    return {str(name): _cell(own, percent=not finding.unit) for name, own in rows.groupby("learner", sort=False)}


def _cell(rows: pd.DataFrame, percent: bool) -> Cell:
    last = rows["cycle"] == rows.groupby("seed")["cycle"].transform("max")
    ends = rows[last].groupby("seed")["value"].mean()
    starts = rows[rows["cycle"] == 0]["value"]
    spread = f"{number(ends.min(), percent)} to {number(ends.max(), percent)}" if len(ends) > 1 else ""
    moved = len(starts) > 0 and int(rows["cycle"].max()) > 0
    return Cell(number(float(ends.mean()), percent), spread, number(float(starts.mean()), percent) if moved else "")
