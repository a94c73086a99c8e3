"""The horizontal axis of nearly every figure: cycles, from 0 on, over up to nine decades."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

LABEL = "cycle (0 = before the first cycle; logarithmic from 1 on)"
LINEAR = 0.6
"""Width of the stretch between 0 and 1, in decades."""


def cycle_ticks(last: int, most: int) -> list[int]:
    """0 and at most about `most` further round numbers up to `last`."""
    if last < 20:
        return [tick for tick in (0, 1, 2, 5, 10) if tick <= max(last, 1)]
    decades = int(math.log10(last))
    stride = max(1, math.ceil((decades + 1) / most))
    return [0, *(10**power for power in range(0, decades + 1, stride))]


def in_cycles(number: int) -> str:
    """`1 cycle`, `1,000,000 cycles`."""
    return f"{number:,} cycle{'' if number == 1 else 's'}"


def power(number: float) -> str:
    """100, 1, 0.01, 10⁻³, 10⁵: a power of ten without the help of mathematical typesetting."""
    exponent = round(math.log10(number))
    if -3 < exponent < 4:
        return f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def short(number: float) -> str:
    """1, 10, 100, 1k, 16.4k, ... 1G: as short as a tick label must be."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"


def cycle_axis(axes: Axes, last: int, most: int = 6) -> None:
    """Let `axes` run from cycle 0 to `last`: linear between 0 and 1, logarithmic from there on.

    Args:
        axes: the panel.
        last: the last cycle that is shown.
        most: room for that many tick labels.
    """
    axes.set_xscale("symlog", linthresh=1, linscale=LINEAR)
    axes.xaxis.set_major_locator(FixedLocator(cycle_ticks(last, most)))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    # a little room on both sides, the same in print whatever the number of decades
    end = max(last, 1)
    axes.set_xlim(-0.06 * (1 + math.log10(end)), end * 10 ** (0.03 * (1 + math.log10(end))))
