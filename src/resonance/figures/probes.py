"""What is beyond recitation: texts that were never trained on, and inputs that were tampered with."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from resonance.figures.blocks import Column, blocks
from resonance.figures.cycles import LABEL, cycle_axis, in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, draw_seeds, last_values, learners, rows
from resonance.figures.sheet import of
from resonance.figures.style import (
    BLACK,
    BLUE,
    DASHED,
    DOTTED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
    SOLID,
    VERMILLION,
    Mark,
    styled,
)


@dataclass(frozen=True)
class Lines:
    """One column of panels: its heading, the unit of its vertical axis, and which rows are which line.

    `lines` names (measure, condition) of the family `probes`.
    """

    heading: str
    unit: str
    lines: dict[tuple[str, str], Mark]


COLUMNS = (
    Lines(
        "new text as target",
        "bit/byte",
        {
            ("bits_per_byte", "target:paraphrase"): Mark(BLUE, SOLID, "o", "paraphrase"),
            ("bits_per_byte", "target:unrelated"): Mark(ORANGE, DASHED, "s", "unrelated text"),
            ("bits_per_byte", "target:shuffled"): Mark(GREY, DOTTED, "^", "shuffled target"),
        },
    ),
    Lines(
        "changed input",
        "loss added (nat/token)",
        {
            ("input_effect", "input:blank"): Mark(BLACK, SOLID, "o", "blank input"),
            ("input_effect", "input:shuffled"): Mark(SKY, DASHED, "s", "shuffled input"),
            ("input_effect", "input:edited"): Mark(VERMILLION, DOTTED, "^", "edited input"),
        },
    ),
    Lines(
        "answer at edited places",
        "share of these places",
        {
            ("store_share", "input:edited"): Mark(PURPLE, SOLID, "o", "as trained (recites)"),
            ("follow_share", "input:edited"): Mark(GREEN, DASHED, "s", "as edited (copies)"),
            ("other_share", "input:edited"): Mark(GREY, DOTTED, "^", "neither"),
        },
    ),
)


@styled
def draw(tables: Tables) -> Figure:
    """One row of panels per learner: new texts as target, changed inputs, answers at edited places.

    Args:
        tables: family `probes`: `bits_per_byte` per probe, `input_effect` per changed input, `store_share`,
            `follow_share`, `other_share`; means over directions.
    """
    table = rows(tables, "probes", measure=sorted({measure for column in COLUMNS for measure, _ in column.lines}))
    if table.empty:
        return notice("New texts and changed inputs", "the table probes holds no row of the measures that are drawn.")
    names = learners(table)
    page = blocks(
        names,
        [Column(column.heading, column.unit, list(column.lines.values())) for column in COLUMNS],
        title=headline(table),
        subtitle=describe(table) + " · mean over directions",
        across=LABEL,
    )
    last = int(table["cycle"].max())
    for name in names:
        own = table[table["learner"] == name]
        for column, axes in zip(COLUMNS, page.of[name], strict=True):
            for (measure, condition), mark in column.lines.items():
                draw_seeds(axes, own[(own["measure"] == measure) & (own["condition"] == condition)], mark)
            if not axes.lines:
                axes.text(0.5, 0.5, "not asked", size=SMALL, color=GREY, ha="center", transform=axes.transAxes)
        page.of[name][1].axhline(0, color=GREY, linewidth=0.7)
    for axes in page.of[names[0]]:
        cycle_axis(axes, last, most=page.ticks)
    first, _, third = page.of[names[0]]
    first.set_ylim(bottom=0)
    third.set_ylim(0, 1)
    third.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return page.figure


def headline(table: pd.DataFrame) -> str:
    """Who recites at edited places; without edits, how many bits the unrelated text costs."""
    last = int(table["cycle"].max())
    for measure, condition, said in (
        ("store_share", "input:edited", "of edited places recited as trained"),
        ("bits_per_byte", "target:unrelated", "bit/byte on unrelated text"),
    ):
        ends = last_values(table[(table["measure"] == measure) & (table["condition"] == condition)])
        if not ends:
            continue
        least, most = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
        shown = {name: f"{end:.0%}" if measure == "store_share" else f"{end:.3g}" for name, end in ends.items()}
        if len(ends) == 1:
            return f"{most}, after {in_cycles(last)}: {shown[most]} {said}"
        return f"After {in_cycles(last)}: {of(shown[least], least)} to {of(shown[most], most)} {said}"
    return f"New texts and changed inputs over {in_cycles(last)}"
