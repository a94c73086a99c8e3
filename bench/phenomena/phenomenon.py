"""What a known phenomenon is to the page: what is expected, by whom, how it is run, what it would mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict


class Found(TypedDict):
    """One number beside what was expected of it. measured, holds: None where nothing was measured."""

    expected: str
    measured: float | None
    holds: bool | None


Measures = dict[str, Found]


@dataclass(frozen=True)
class Phenomenon:
    """A phenomenon as it stands in its file, which has one of these as PHENOMENON.

    source: where the expectation comes from. checked: what of the source was read, and what could not be.
    setup: what is run, in words. holds, fails: what it means for the study that all measures came out as expected, and
    that some did not. run: makes the measures; its arguments are sizes, so that a test can make it tiny. changed: what
    was changed, and because of which look at which numbers; the expectations stay as they were before.
    """

    title: str
    source: str
    checked: str
    setup: str
    holds: str
    fails: str
    run: Callable[..., Measures]
    changed: str = ""


def above(measured: float | None, least: float, unit: str = "") -> Found:
    """Expected: at least `least`. What never happened is None, and does not hold."""
    return Found(expected=f"≥ {least:g}{unit}", measured=measured, holds=measured is not None and measured >= least)


def below(measured: float | None, most: float, unit: str = "") -> Found:
    """Expected: at most `most`."""
    return Found(expected=f"≤ {most:g}{unit}", measured=measured, holds=measured is not None and measured <= most)


def near(measured: float | None, value: float, margin: float, unit: str = "") -> Found:
    """Expected: `value`, give or take `margin`."""
    holds = measured is not None and abs(measured - value) <= margin
    return Found(expected=f"{value:.4g} ± {margin:.2g}{unit}", measured=measured, holds=holds)


def told(measured: float | None, about: str = "no expectation; for comparison") -> Found:
    """A number that helps to read the others and decides nothing."""
    return Found(expected=about, measured=measured, holds=None)
