"""All claims of a study on one page: verdict, effect against the smallest that would matter, positive control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resonance.figures.notice import notice
from resonance.figures.sheet import sheet, shortened, wrapped
from resonance.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    PURPLE,
    SMALL,
    TEXT,
    TITLE,
    VERMILLION,
    WIDTH,
    Mark,
    styled,
)

SIGNS = {
    "supported": Mark(GREEN, "-", "", "✓"),
    "refuted": Mark(VERMILLION, "-", "", "✗"),
    "not identifiable": Mark(PURPLE, "-", "", "≈"),
    "undecided": Mark(GREY, "-", "", "…"),
}
OUTCOMES = {
    "passed": Mark(GREEN, "-", "", "✓"),
    "failed": Mark(VERMILLION, "-", "", "✗"),
    "not run": Mark(GREY, "-", "", "–"),
}
VERDICT, CLAIM, LEFT, RIGHT, EFFECT, CONTROL = 0.0, 1.25, 3.6, 5.02, 5.14, 6.42
"""Where the columns begin, in inches; the axis of the effects runs from LEFT to RIGHT."""
LOW, HIGH = -1.0, 3.0
"""The axis of the effects, in smallest effects of interest; what lies beyond is an arrow at its end."""
ROW = 0.46
"""Inches of a row."""


@styled
def draw(read: Mapping[str, Any]) -> Figure:
    """One row per claim: verdict (sign and word), claim, effect with its interval, its number and units, control.

    The effect is divided by the smallest effect of interest of that claim, so 1 is where it begins to matter, whatever
    its unit, and right is the side of the claim. It is that of the first criterion; a claim may have more.

    Args:
        read: what stands in results/verdicts.json.
    """
    claims: Sequence[Mapping[str, Any]] = read.get("claims") or []
    if not claims:
        return notice("The claims", "results/verdicts.json holds no claim.")
    study = read.get("study") or {}
    page = sheet(
        [""],
        title=headline(claims),
        subtitle=about(study) + "point: effect, line: its 95 % interval, both in smallest effects of interest (SESOI)",
        columns=1,
        height=ROW * (len(claims) + 1.3),
        frame=0.1,
    )
    axes = page.panels[0]
    axes.set_axis_off()
    axes.set_xlim(-0.02, WIDTH - 0.16)
    axes.set_ylim(len(claims) + 0.55, -0.75)
    for x, words in ((VERDICT, "verdict"), (CLAIM, "claim"), (EFFECT, "effect"), (CONTROL, "control")):
        axes.text(x, -0.45, words, size=SMALL, weight="bold", va="center")
    for value, words in ((0.0, "0"), (1.0, "SESOI")):
        for end in (-0.45, len(claims) + 0.25):
            axes.text(place(value), end, words, size=SMALL, color=GREY, ha="center", va="center")
        axes.plot(
            [place(value)] * 2,
            [-0.2, len(claims)],
            color=INK if value else GREY,
            linewidth=0.8,
            linestyle="-" if value else (0, (2, 2)),
        )
    axes.fill_between([place(1.0), RIGHT], -0.2, len(claims), color=GREEN, alpha=0.08, linewidth=0)
    for row, claim in enumerate(claims):
        axes.plot([0, WIDTH - 0.16], [row, row], color=LIGHT, linewidth=0.5)
        _row(axes, row + 0.5, claim)
    return page.figure


def headline(claims: Sequence[Mapping[str, Any]]) -> str:
    """How many claims there are of each verdict."""
    counts = {word: sum(claim["verdict"] == word for claim in claims) for word in SIGNS}
    return f"Of {len(claims)} claims: " + ", ".join(f"{number} {word}" for word, number in counts.items())


def about(study: Mapping[str, Any]) -> str:
    """Which study: its pairs and cycles."""
    pairs = study.get("pairs") or []
    parts = [f"pair{'s' if len(pairs) > 1 else ''} {', '.join(map(str, pairs))}"] if pairs else []
    parts += [f"{study['cycles']:,} cycles"] if study.get("cycles") else []
    return "".join(f"{part} · " for part in parts)


def place(value: float) -> float:
    """Where an effect, in smallest effects of interest, lies on the page, in inches; beyond the axis: at its end."""
    inside = min(max(value, LOW), HIGH)
    return LEFT + (inside - LOW) / (HIGH - LOW) * (RIGHT - LEFT)


def said(value: float | None) -> str:
    """A number of three digits with a true minus."""
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def _row(axes: Axes, middle: float, claim: Mapping[str, Any]) -> None:
    sign = SIGNS[str(claim["verdict"])]
    axes.text(
        VERDICT + 0.08, middle, sign.label, size=TITLE, color=sign.colour, weight="bold", ha="center", va="center"
    )
    axes.text(VERDICT + 0.2, middle, str(claim["verdict"]), size=TEXT, va="center")
    name = f"{claim['id']} {claim.get('name', '')}"
    width = LEFT - CLAIM - 0.12
    lines = wrapped(str(claim.get("title", "")), width, SMALL - 0.5)
    if len(lines) > 2:
        lines = [lines[0], shortened(" ".join(lines[1:]), width, SMALL - 0.5, end=False)]
    axes.text(CLAIM, middle - 0.3, name, size=SMALL, weight="bold", va="center")
    axes.text(CLAIM, middle - 0.1, "\n".join(lines), size=SMALL - 0.5, color=GREY, va="top", linespacing=1.05)
    _effect(axes, middle, claim)
    control = claim.get("control") or {}
    outcome = OUTCOMES.get(str(control.get("outcome")), OUTCOMES["not run"])
    axes.text(CONTROL + 0.06, middle, outcome.label, size=TEXT, color=outcome.colour, ha="center", va="center")
    axes.text(CONTROL + 0.16, middle, str(control.get("outcome", "not run")), size=SMALL, va="center")


def _effect(axes: Axes, middle: float, claim: Mapping[str, Any]) -> None:
    """The effect on the axis, and beside it in numbers."""
    effect, endpoint = claim.get("effect") or {}, claim.get("endpoint") or {}
    value, low, high = (effect.get(key) for key in ("value", "low", "high"))
    sesoi = endpoint.get("sesoi")
    if value is None:
        axes.text(EFFECT, middle, "not known", size=SMALL, color=GREY, va="center")
        return
    if sesoi:
        ends = [each / sesoi for each in (low, high) if each is not None]
        if ends:
            axes.plot(
                [place(min(ends)), place(max(ends))], [middle] * 2, color=BLUE, linewidth=2.0, solid_capstyle="butt"
            )
        x = value / sesoi
        shape = ">" if x > HIGH else "<" if x < LOW else "o"
        axes.plot([place(x)], [middle], color=BLUE, marker=shape, markersize=6, clip_on=False)
    interval = f" [{said(low)}, {said(high)}]" if low is not None and high is not None else ""
    units = f"n = {effect.get('n', '?')} {effect.get('unit', '')}{'' if effect.get('n') == 1 else 's'}"
    width = CONTROL - EFFECT - 0.08
    lines = [f"{said(value)}{interval}", shortened(str(endpoint.get("unit", "")), width, SMALL - 0.5, end=False), units]
    for line, (text, colour) in enumerate(zip(lines, (INK, GREY, GREY), strict=True)):
        axes.text(EFFECT, middle - 0.3 + 0.3 * line, text, size=SMALL - 0.5 * bool(line), color=colour, va="center")
