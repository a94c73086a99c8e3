"""From effects to a verdict: four words, and the rules by which one of them is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any, Literal

from resonance.claims import statistics
from resonance.claims.claim import Claim
from resonance.claims.effect import Criterion, Effect

Word = Literal["supported", "refuted", "not identifiable", "undecided"]
ALPHA = 0.05


@dataclass(frozen=True)
class Control:
    """A positive control: the instrument must see what is surely there."""

    text: str
    outcome: Literal["passed", "failed", "not run"]
    value: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Secondary:
    """A further number, exploratory; its effect is None where some runs have none.

    tested: against 0, by Student's test; not where 0 means nothing. p: of another test, where there was one.
    """

    text: str
    effect: Effect | None
    tested: bool = False
    p: float | None = None

    @property
    def chance(self) -> float | None:
        """p of whichever test there was."""
        alone = self.effect is None or self.effect.n < 2 or not self.tested
        return self.p if alone or self.effect is None else self.effect.p_t


@dataclass(frozen=True)
class Ruling:
    """What the judge of one claim found, before claims are corrected for each other.

    Attributes:
        criteria: all must hold; the first is the declared endpoint.
        control: the positive control.
        barrier: why the design cannot tell, where it cannot.
        lacking: what is missing, where nothing could be judged.
        secondary: further numbers that no verdict depends on; taken when somebody looks, and once.
        unit: what is replicated, where that is neither seed nor pair as in all other claims.
    """

    criteria: tuple[Criterion, ...] = ()
    control: Control = Control("", "not run")
    barrier: str = ""
    lacking: str = ""
    secondary: Iterable[Secondary] = ()
    unit: str = ""

    @property
    def p(self) -> float:
        """Of all criteria together, the largest: each of them must hold (intersection-union, Berger 1982)."""
        return self._largest([criterion.p for criterion in self.criteria])

    @property
    def p_t(self) -> float:
        """The same of Student's tests."""
        return self._largest([criterion.p_t for criterion in self.criteria])

    def _largest(self, p: Sequence[float]) -> float:
        return 1.0 if not p or any(map(isnan, p)) else max(p)


def decide(ruling: Ruling, adjusted: float = 0.0, primary: bool = False) -> tuple[Word, str]:
    """The verdict and why.

    Args:
        adjusted: p of the ruling after correction for the other claims: Holm's for primary ones, else Benjamini and
            Hochberg's.
        primary: whether the claim is confirmatory.

    In this order: nothing measured → undecided; the design cannot tell → not identifiable; fewer than two units, or too
    few for a confirmatory claim → undecided; positive control failed → undecided; all criteria hold and the corrected
    p ≤ 0.05 → supported; one criterion fails and the positive control passed → refuted; everything else → undecided.
    """
    if ruling.barrier:
        return "not identifiable", ruling.barrier
    if ruling.lacking:
        return "undecided", ruling.lacking
    units = min(criterion.effect.n for criterion in ruling.criteria)
    needed = max(criterion.effect.needed for criterion in ruling.criteria)
    if units < 2:
        enough = f"a confirmatory verdict at least {needed}" if primary else "a usual spread some five"
        return "undecided", f"One unit has no interval. Two give one, {enough}: add seeds to params.yaml."
    if primary and units < needed:
        return "undecided", f"A confirmatory verdict needs {needed} units, and there are {units}: add seeds."
    if ruling.control.outcome == "failed":
        return "undecided", f"The positive control failed, so the instrument may be blind here: {ruling.control.text}."
    if all(criterion.holds for criterion in ruling.criteria):
        if adjusted <= ALPHA:
            return "supported", _say([criterion for criterion in ruling.criteria if criterion.holds], "lies beyond")
        return (
            "undecided",
            f"The interval lies beyond the bound, but corrected for the other claims p is {adjusted:.2g}.",
        )
    if failing := [criterion for criterion in ruling.criteria if criterion.fails and criterion.refutes]:
        if ruling.control.outcome == "passed":
            return "refuted", _say(failing, "lies short of")
        return "undecided", f"{_say(failing, 'lies short of')} Without its positive control that refutes nothing."
    return "undecided", _open(next(criterion for criterion in ruling.criteria if not criterion.holds))


def _say(criteria: Sequence[Criterion], lies: str) -> str:
    parts = []
    for each in criteria:
        effect = each.effect
        low, high = (effect.low, effect.high) if lies == "lies beyond" else (effect.least, effect.most)
        level = 95 if lies == "lies beyond" else 90
        parts.append(
            f"{each.text}: {number(effect.value)} {each.unit}, {level} % interval {number(low)} to {number(high)}, "
            f"{lies} {number(each.bound)}."
        )
    return " ".join(parts)


def _open(criterion: Criterion) -> str:
    """Why an interval decides nothing, and how many units would."""
    if criterion.fails:
        return f"{_say([criterion], 'lies short of')} That takes the claim's support away, and does not refute it."
    effect = criterion.effect
    text = f"{criterion.text}: the interval {number(effect.low)} to {number(effect.high)} {criterion.unit} holds "
    text += f"{number(criterion.bound)}."
    units = statistics.units_needed(effect.value - criterion.bound, effect.spread)
    return text + (f" At this spread it would take some {max(units, effect.n + 1)} units." if units else "")


def number(value: float) -> str:
    """Three digits that matter, with a true minus sign."""
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value + 0.0:.3g}"
    return text.replace("-", "−")


@dataclass(frozen=True)
class Verdict:
    """A claim with its verdict, and all that led to it.

    Attributes:
        adjusted: p after correction, Holm's for a primary claim, else that of Benjamini and Hochberg.
        unit: what is replicated.
        runs: by side the runs that were compared.
        q: of each secondary number, corrected over all claims; None where it was not tested.
        scope: of what it speaks.
    """

    claim: Claim
    verdict: Word
    why: str
    ruling: Ruling
    adjusted: float
    unit: str
    runs: dict[str, list[str]]
    q: Sequence[float | None]
    scope: str

    def record(self) -> dict[str, Any]:
        """For verdicts.json; numbers to ten digits, null where there is none."""
        claim, criteria, control = self.claim, self.ruling.criteria, self.ruling.control
        about = {
            "text": claim.endpoint,
            "unit": claim.unit,
            "sesoi": _digits(claim.sesoi),
            "direction": claim.direction,
        }
        effects = [
            _effect(each.effect, self.unit) | {"text": each.text, "bound": _digits(each.bound)} for each in criteria
        ]
        corrected = {"p": _digits(self.ruling.p), "p_t": _digits(self.ruling.p_t)}
        corrected |= {"p_holm" if claim.primary else "q": _digits(self.adjusted)}
        return {
            "id": claim.id,
            "name": claim.name,
            "title": claim.title,
            "primary": claim.primary,
            "verdict": self.verdict,
            "why": self.why,
            "endpoint": about | {"contrast": claim.contrast},
            "effect": effects[0] | corrected if effects else None,
            "also": effects[1:],
            "control": {
                "text": control.text or claim.control,
                "outcome": control.outcome,
                "value": _digits(control.value),
                "why": control.why,
            },
            "runs": self.runs,
            "secondary": [
                {"text": line.text}
                | (_effect(line.effect, self.unit) if line.effect else {"value": None, "low": None, "high": None})
                | {"p": _digits(line.chance), "q": _digits(q)}
                for line, q in zip(self.ruling.secondary, self.q, strict=True)
            ],
            "traps": list(claim.traps),
            "figure": claim.figure,
            "would_change": claim.would_change,
            "scope": self.scope,
        }


def _effect(effect: Effect, unit: str) -> dict[str, Any]:
    bounds = {name: _digits(getattr(effect, name)) for name in ("value", "low", "high")}
    return bounds | {"level": 0.95, "n": effect.n, "unit": unit, "values": [_digits(each) for each in effect.values]}


def _digits(value: float | None) -> float | None:
    """Ten significant digits, so that the last bits of a sum do not change a file; None for what is no number."""
    return None if value is None or not isfinite(value) else float(f"{value:.10g}")
