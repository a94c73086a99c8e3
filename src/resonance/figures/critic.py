"""Do heads know where their network errs? How well they tell right from wrong tokens, beside what needs no head."""

from __future__ import annotations

from math import isfinite

import pandas as pd
from matplotlib.figure import Figure

from resonance.figures.cycles import LABEL, cycle_axis, in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, draw_seeds, learners, rows
from resonance.figures.sheet import of, sheet
from resonance.figures.style import BLUE, DASHED, DOTTED, GREY, MIXED, ORANGE, PURPLE, SMALL, SOLID, Mark, styled

LINES = {
    "auroc": Mark(BLUE, SOLID, "o", "the head's estimate"),
    "auroc_confidence": Mark(ORANGE, DASHED, "s", "low confidence"),
    "auroc_entropy": Mark(PURPLE, MIXED, "^", "high entropy"),
    "auroc_surprisal": Mark(GREY, DOTTED, "D", "an unlikely token"),
}
OWN = ":own"


@styled
def draw(tables: Tables) -> Figure:
    """One panel per learner and head: AUROC of wrong against right tokens of its own greedy output, over cycles.

    The line at ½ is chance. A point is missing where there were fewer than 20 wrong or 20 right tokens.

    Args:
        tables: family `critics`, condition `<head>:own`: `auroc` and its baselines `auroc_confidence`, `auroc_entropy`
            and `auroc_surprisal`; `auroc_gain` for the corner.
    """
    table = rows(tables, "critics", measure=[*LINES, "auroc_gain"])
    own = table[table["measure"].isin(list(LINES)) & table["condition"].astype(str).str.endswith(OWN)]
    if own.empty:
        why = "no learner has a head (`heads:` in params.yaml), or no output had 20 wrong and 20 right tokens."
        return notice("What critics know", why)
    panels = list(dict.fromkeys(zip(own["learner"], own["condition"].str.removesuffix(OWN), strict=True)))
    alone = len({head for _, head in panels}) == 1
    page = sheet(
        [name if alone or name == head else f"{name}: {head.removeprefix(f'{name}:')}" for name, head in panels],
        title=headline(own),
        subtitle=describe(own) + " · tokens of its own greedy output" + (f" · head: {panels[0][1]}" if alone else ""),
        legend=[mark for measure, mark in LINES.items() if (own["measure"] == measure).any()],
    )
    last = int(own["cycle"].max())
    for (name, head), axes in zip(panels, page.panels, strict=True):
        rows_of = own[(own["learner"] == name) & (own["condition"] == f"{head}{OWN}")]
        for measure, mark in LINES.items():
            draw_seeds(axes, rows_of[rows_of["measure"] == measure], mark)
        axes.axhline(0.5, color=GREY, linewidth=0.7)
        axes.text(0.13, 0.48, "chance", size=SMALL, color=GREY, va="top", transform=axes.get_yaxis_transform())
        gain = table[(table["learner"] == name) & (table["condition"] == f"{head}:later")]["value"]
        if len(gain):
            said = f"{gain.mean():+.2f}".replace("-", "−")
            page.corner(axes, f"beyond place and confidence, later: {said}", f"gain: {said}")
        cycle_axis(axes, last, most=5 if page.columns < 3 else 3)
    page.panels[0].set_ylim(min(0.3, float(own["value"].min()) - 0.05), 1)
    page.label(LABEL, "AUROC (wrong against right tokens)")
    return page.figure


def headline(table: pd.DataFrame) -> str:
    """The head that is furthest above what needs no head, at its last mark, beside the best of these at that mark."""
    found: dict[str, tuple[float, float, int]] = {}
    for name in learners(table):
        for head, own in table[table["learner"] == name].groupby("condition", sort=False):
            wide = own.pivot_table(index="cycle", columns="measure", values="value", aggfunc="mean")
            if "auroc" not in wide or wide["auroc"].dropna().empty:
                continue
            end = wide[wide["auroc"].notna()].iloc[-1]
            label = name if name == str(head).removesuffix(OWN) else f"{name}, {str(head).removesuffix(OWN)}"
            found[label] = (float(end["auroc"]), float(end.drop("auroc").max()), int(str(end.name)))
    if not found:
        return "AUROC of wrong against right tokens"
    best = max(found, key=lambda label: found[label][0] - found[label][1])
    head_value, base, cycle = found[best]
    known = f"AUROC {head_value:.2f}"
    if isfinite(base):
        known += f" against {base:.2f} of the best measure without a head"
    return f"{of('Wrong tokens told from right ones', best)} after {in_cycles(cycle)}: {known}"
