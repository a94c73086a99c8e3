from __future__ import annotations

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from resonance.figures.cycles import cycle_axis, cycle_ticks, in_cycles, power, short


@pytest.mark.parametrize("last", [0, 1, 4, 19, 20, 512, 10**6, 10**9])
@pytest.mark.parametrize("most", [3, 6])
def test_ticks_begin_with_0_and_are_few(last: int, most: int) -> None:
    ticks = cycle_ticks(last, most)
    assert ticks[:2] == [0, 1]
    assert ticks == sorted(set(ticks))
    assert max(ticks) <= max(last, 1)
    assert len(ticks) <= max(most + 2, 5)


@pytest.mark.parametrize("last", [0, 1, 512, 10**9])
def test_cycle_0_and_the_last_cycle_are_inside(last: int) -> None:
    axes = Figure().subplots()
    cycle_axis(axes, last)
    low, high = axes.get_xlim()
    assert low < 0
    assert high > last


def test_one_decade_is_as_wide_as_another() -> None:
    figure = Figure()
    axes = figure.subplots()
    cycle_axis(axes, 1000)
    at = [axes.transData.transform((cycle, 0))[0] for cycle in (0, 1, 10, 100, 1000)]
    decades = [b - a for a, b in pairwise(at[1:])]
    assert decades == pytest.approx([decades[0]] * 3)
    assert 0.3 * decades[0] < at[1] - at[0] < 0.8 * decades[0]


def test_numbers_as_words() -> None:
    assert [short(n) for n in (0, 1, 512, 1000)] == ["0", "1", "512", "1k"]
    assert [short(n) for n in (16384, 4194304, 10**9)] == ["16.4k", "4.19M", "1G"]
    assert [power(n) for n in (100, 1, 0.01, 1e-5, 1e6)] == ["100", "1", "0.01", "10⁻⁵", "10⁶"]
    assert [in_cycles(n) for n in (0, 1, 1000)] == ["0 cycles", "1 cycle", "1,000 cycles"]
