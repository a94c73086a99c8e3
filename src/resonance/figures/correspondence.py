"""Which forms correspond: linked segments, rewordings and roles found again, beside what needs no learning."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resonance.figures.cycles import LABEL, cycle_axis, in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, draw_seeds, learners, rows
from resonance.figures.sheet import UNBROKEN, of, sheet
from resonance.figures.style import (
    BLUE,
    DASHED,
    DOTTED,
    GREEN,
    GREY,
    MIXED,
    PURPLE,
    SOLID,
    VERMILLION,
    Mark,
    styled,
)

TEXTS, LEXICAL, NULL = "mrr_texts", "mrr_texts_lexical", "mrr_texts_null"
LINES = {
    ("correspondence", TEXTS): Mark(BLUE, SOLID, "o", "linked segments, by states"),
    ("matching", "mrr_likelihood"): Mark(VERMILLION, DASHED, "s", "linked segments, by likelihood"),
    ("matching", "mrr_hidden"): Mark(PURPLE, MIXED, "D", "hidden links, by likelihood"),
    ("correspondence", "mrr_paraphrase"): Mark(GREEN, MIXED, "^", "reworded segments, by states"),
    ("correspondence", "mrr_roles"): Mark(GREY, DOTTED, "v", "same segment in two roles"),
}
WORDS = Mark(GREY, (0, (1, 1)), "", "common words (BM25), no network")
BAND = 0.15


@styled
def draw(tables: Tables) -> Figure:
    """One panel per learner: mean reciprocal rank of the right segment among all, over cycles; means over layers.

    Beside the lines stand what common words alone find (level line) and, as a grey band, what the states find once the
    segments of one text are shifted against those of the other.

    Args:
        tables: families `correspondence` (`mrr_texts`, its null with low and high, `mrr_texts_lexical`,
            `mrr_paraphrase`, `mrr_roles` of the condition `input-target`) and `matching` (`mrr_likelihood`,
            `mrr_hidden`).
    """
    found = {key: _rows(tables, *key) for key in LINES}
    lexical, null = (rows(tables, "correspondence", measure=measure) for measure in (LEXICAL, NULL))
    held = [table for table in found.values() if len(table)]
    if not held:
        why = "the tables correspondence and matching hold no ranks: the pair has no links, or fewer than 10."
        return notice("Which forms correspond", why)
    shown = pd.concat(held)
    names = list(dict.fromkeys(name for table in held for name in learners(table)))
    words = [WORDS] if len(lexical) else []
    page = sheet(
        names,
        title=headline(found["correspondence", TEXTS], lexical),
        subtitle=describe(shown) + " · means over layers, sides and directions"
        + (" · grey band: shifted segments" if len(null) else ""),
        legend=[mark for key, mark in LINES.items() if len(found[key])] + words,
    )  # fmt: skip
    last = int(shown["cycle"].max())
    for name, axes in zip(names, page.panels, strict=True):
        _baselines(axes, lexical[lexical["learner"] == name], null[null["learner"] == name])
        for key, mark in LINES.items():
            draw_seeds(axes, found[key][found[key]["learner"] == name], mark)
        cycle_axis(axes, last, most=5 if page.columns < 3 else 3)
    page.panels[0].set_ylim(0, 1)
    page.label(LABEL, "mean reciprocal rank of the right segment")
    return page.figure


def _rows(tables: Tables, family: str, measure: str) -> pd.DataFrame:
    """The rows of a line; roles only where the same text is input in one and target in the other."""
    found = rows(tables, family, measure=measure)
    return found[found["condition"] == "input-target"] if measure == "mrr_roles" else found


def _baselines(axes: Axes, lexical: pd.DataFrame, null: pd.DataFrame) -> None:
    if len(null):
        means = null.groupby("cycle")[["low", "high"]].mean().sort_index()
        cycles = means.index.to_numpy(float)
        axes.fill_between(
            cycles, means["low"].to_numpy(float), means["high"].to_numpy(float), color=GREY, alpha=BAND, lw=0
        )
    if len(lexical):
        axes.axhline(float(lexical["value"].mean()), color=WORDS.colour, linestyle=WORDS.dash, linewidth=1.0)


def headline(table: pd.DataFrame, lexical: pd.DataFrame) -> str:
    """How well linked segments find each other before and after, beside common words."""
    if table.empty:
        return "Ranks of the right segment among all"
    last = int(table["cycle"].max())
    ends = table.groupby(["learner", "cycle"], sort=False)["value"].mean()
    moved = {name: ends[name].sort_index() for name in learners(table)}
    said = {name: f"{path.iloc[0]:.2f}{UNBROKEN}→{UNBROKEN}{path.iloc[-1]:.2f}" for name, path in moved.items()}
    words = f"; common words alone: {lexical['value'].mean():.2f}" if len(lexical) else ""
    if len(moved) == 1:
        ((name, text),) = said.items()
        return f"{name} finds linked segments with a reciprocal rank of {text} in {in_cycles(last)}{words}"
    least, most = (pick(moved, key=lambda name: float(moved[name].iloc[-1])) for pick in (min, max))
    return (
        f"Reciprocal rank of linked segments in {in_cycles(last)}: {of(said[least], least)} to "
        f"{of(said[most], most)}{words}"
    )
