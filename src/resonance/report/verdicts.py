"""What was judged of the claims, as the report tells it: from `results/verdicts.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resonance.errors import UserError
from resonance.report.findings import number
from resonance.report.pictures import Picture
from resonance.storage import damaged

SIGNS = {"supported": "✓", "refuted": "✗", "not identifiable": "≈", "undecided": "…"}
"""The verdicts that there are, in the order in which they are counted, each with its sign."""

MEANINGS = {
    "supported": "the whole interval lies beyond the smallest effect that would matter",
    "refuted": "the whole interval lies short of it, and the positive control shows that it would have been seen",
    "not identifiable": "this design cannot tell the claim from its rival; why is said below",
    "undecided": "everything else, such as too few runs or a control that failed",
}
"""What each verdict says."""


@dataclass(frozen=True)
class Scale:
    """An effect as a picture: places from 0 to 100 along a line.

    Attributes:
        value: the effect; range: its interval, None without one; units: the effect in each unit, one by one.
        zero: no effect. sesoi: the smallest effect of interest. beyond: from where to where the claim would hold.
    """

    value: float
    range: tuple[float, float] | None
    units: list[float]
    zero: float
    sesoi: float | None
    beyond: tuple[float, float] | None


@dataclass(frozen=True)
class Fact:
    """One secondary finding, as printed."""

    text: str
    value: str
    interval: str
    chance: str


@dataclass(frozen=True)
class Claim:
    """One claim, as printed; an empty text where nothing is known.

    Attributes:
        verdict: one of SIGNS. sign: its symbol. kind: its name as a class of CSS.
        standing: primary or exploratory, where that is said.
        effect, interval, unit: of the endpoint; effect_text: what it is an effect on. level: of the interval. chance:
            p-values.
        also: what else must hold, as facts with the bound in the place of chance. traps: what must be kept in mind.
        sesoi: the smallest effect of interest in words, `above 0.9 nat/token`; least: its number.
        units: how many independent units there were, with their name; unit_word: that name.
        control, control_text, control_value, control_why: outcome of the positive control, what it is, what it gave.
        figure: a word for it and where it stands in the page; picture: a figure that stands nowhere else.
    """

    id: str
    name: str
    title: str
    verdict: str
    sign: str
    kind: str
    standing: str
    why: str
    effect: str
    effect_text: str
    interval: str
    unit: str
    level: str
    chance: str
    units: str
    control: str
    control_text: str
    control_value: str
    control_why: str
    endpoint: str
    contrast: str
    sesoi: str
    least: str
    unit_word: str
    scale: Scale | None
    runs: list[tuple[str, list[str]]]
    also: list[Fact]
    secondary: list[Fact]
    traps: list[str]
    figure: str
    picture: Picture | None
    would_change: str
    scope: str


@dataclass(frozen=True)
class Verdicts:
    """All claims, and how many there are of each verdict."""

    claims: list[Claim]
    counts: list[tuple[str, str, int]]
    study: list[tuple[str, str]]

    @property
    def open(self) -> bool:
        """Whether nothing has been decided yet."""
        return all(claim.verdict == "undecided" for claim in self.claims)


Find = Callable[[str], str | Picture | None]
"""From the name of a figure to where it stands in the page, or to a picture that has no place yet, or to nothing."""


def read_verdicts(path: str | Path) -> dict[str, Any]:
    """The verdicts as they were written.

    Raises:
        UserError: the file is missing, damaged or something else.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} is missing: run `snakemake -- {path}` to make it.")
    try:
        read = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        raise damaged(path) from None
    if not isinstance(read, dict) or not isinstance(read.get("claims"), list):
        raise damaged(path)
    return read


def verdicts(read: Mapping[str, Any], find: Find) -> Verdicts:
    """The verdicts as the page tells them.

    Args:
        read: what `read_verdicts` returns; a claim may lack all but `id` and `verdict`.
        find: where a figure is.

    Raises:
        ValueError: a verdict is none of SIGNS.
    """
    claims = [_claim(each, find) for each in read["claims"]]
    counts = [(word, sign, sum(claim.verdict == word for claim in claims)) for word, sign in SIGNS.items()]
    study = read.get("study") or {}
    return Verdicts(claims, counts, [(str(name), _said(value)) for name, value in study.items()])


def _claim(read: Mapping[str, Any], find: Find) -> Claim:
    verdict = str(read["verdict"])
    if verdict not in SIGNS:
        raise ValueError(f"claim {read['id']}: verdict {verdict!r} is none of {', '.join(SIGNS)}")
    endpoint, effect, control = ((read.get(key) or {}) for key in ("endpoint", "effect", "control"))
    figure = str(read.get("figure") or "")
    found = find(figure) if figure else None
    n = effect.get("n")
    unit = str(effect.get("unit") or "unit")
    sesoi = endpoint.get("sesoi")
    side = {"above": "above", "below": "below"}.get(str(endpoint.get("direction")), "")
    measured = str(endpoint.get("unit") or "")
    return Claim(
        id=str(read["id"]),
        name=str(read.get("name") or ""),
        title=str(read.get("title") or ""),
        verdict=verdict,
        sign=SIGNS[verdict],
        kind=verdict.replace(" ", "-"),
        standing={"True": "primary", "False": "exploratory"}.get(str(read.get("primary")), ""),
        why=str(read.get("why") or ""),
        effect=_number(effect.get("value"), _places(effect)),
        effect_text=str(effect.get("text") or ""),
        interval=_interval(effect),
        unit=measured,
        level=f"{effect['level']:.0%}" if effect.get("level") is not None else "",
        chance=_chance(effect, (("p", "p"), ("p_holm", "Holm"), ("q", "q"))),
        units="" if n is None else f"{n:,} {unit}{'' if n == 1 else 's'}",
        control=str(control.get("outcome") or ""),
        control_text=str(control.get("text") or ""),
        control_value=_number(control.get("value")),
        control_why=str(control.get("why") or ""),
        endpoint=str(endpoint.get("text") or ""),
        contrast=str(endpoint.get("contrast") or ""),
        sesoi=" ".join(part for part in (side, _short(sesoi), measured) if part) if sesoi is not None else "",
        least=_short(sesoi),
        unit_word=unit,
        scale=_scale(effect, sesoi, side),
        runs=[(str(role), [str(name) for name in names]) for role, names in (read.get("runs") or {}).items() if names],
        also=[
            _fact(fact, f"bound {_short(fact['bound'])}" if "bound" in fact else "") for fact in read.get("also") or ()
        ],
        secondary=[_fact(fact, _chance(fact, (("p", "p"), ("q", "q")))) for fact in read.get("secondary") or ()],
        traps=[str(trap) for trap in read.get("traps") or ()],
        figure=found if isinstance(found, str) else "",
        picture=found if isinstance(found, Picture) else None,
        would_change=str(read.get("would_change") or ""),
        scope=str(read.get("scope") or ""),
    )


def _fact(read: Mapping[str, Any], chance: str) -> Fact:
    value = _number(read.get("value"), _places(read))
    return Fact(text=str(read.get("text") or ""), value=value, interval=_interval(read), chance=chance)


def _number(value: Any, places: int | None = None) -> str:
    """A number, with so many digits behind the point or three that matter; a text as it is, nothing for nothing."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _said(value)
    if places is not None:
        return f"{round(value, places) + 0.0:,.{places}f}".replace("-", "−")
    return f"{value:,}".replace("-", "−") if isinstance(value, int) else number(value)


def _short(value: Any) -> str:
    """A number that somebody chose, as they would write it: 0.1, 3."""
    return f"{value:g}".replace("-", "−") if isinstance(value, int | float) else _number(value)


def _places(read: Mapping[str, Any]) -> int | None:
    """Digits behind the point, so that the width of the interval has two that matter; None without an interval."""
    low, high = read.get("low"), read.get("high")
    if not (isinstance(low, int | float) and isinstance(high, int | float) and low < high < math.inf > -low):
        return None
    return min(max(1 - math.floor(math.log10(high - low)), 0), 9)


def _interval(read: Mapping[str, Any]) -> str:
    low, high = (_number(read.get(key), _places(read)) for key in ("low", "high"))
    return f"[{low}, {high}]" if low and high else ""


def _chance(read: Mapping[str, Any], keys: Sequence[tuple[str, str]]) -> str:
    """`p 0.012, Holm 0.048`: two digits that matter."""
    return ", ".join(f"{word} {read[key]:.2g}" for key, word in keys if read.get(key) is not None)


def _scale(effect: Mapping[str, Any], sesoi: Any, side: str) -> Scale | None:
    """The effect, its interval, its units, the least effect that matters and 0, along one line."""
    value, low, high, least = (_finite(each) for each in (*map(effect.get, ("value", "low", "high")), sesoi))
    if value is None:
        return None
    units = [unit for unit in map(_finite, effect.get("values") or ()) if unit is not None]
    marks = [0.0, value, *units, *(each for each in (low, high, least) if each is not None)]
    first, last = min(marks), max(marks)
    margin = 0.08 * (last - first) or 1.0

    def place(x: float) -> float:
        return round(100 * (x - first + margin) / (last - first + 2 * margin), 2)

    at = None if least is None else place(least)
    return Scale(
        value=place(value),
        range=None if low is None or high is None else (place(low), place(high)),
        units=[place(unit) for unit in units],
        zero=place(0.0),
        sesoi=at,
        beyond=None if at is None else {"above": (at, 100.0), "below": (0.0, at)}.get(side),
    )


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _said(value: Any) -> str:
    """A value in words: a short list with commas, of a long one how many, anything deeper as JSON."""
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(map(str, value)) if len(value) <= 3 else str(len(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
