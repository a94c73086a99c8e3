from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import pytest
from figures.synthetic_tables import tables

from resonance.figures import loss
from resonance.figures.style import DIRECTIONS, series


def test_directions_differ_in_colour_dash_and_marker() -> None:
    for one, other in combinations(DIRECTIONS.values(), 2):
        assert one.colour != other.colour
        assert one.dash != other.dash
        assert one.marker != other.marker


def test_directions_differ_for_the_colour_blind() -> None:
    """Simulated deuteranopia and protanopia (Viénot et al. 1999) keep every pair of colours apart."""
    for matrix in (
        ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
        ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    ):
        seen = [
            [sum(m * (c**2.2) for m, c in zip(row, mpl.colors.to_rgb(mark.colour), strict=True)) for row in matrix]
            for mark in DIRECTIONS.values()
        ]
        for one, other in combinations(seen, 2):
            assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.05


def test_series_are_all_different() -> None:
    marks = series(f"line {i}" for i in range(210))
    assert len({(mark.colour, mark.dash, mark.marker) for mark in marks.values()}) == 210
    assert [mark.label for mark in marks.values()] == list(marks)


def test_a_users_settings_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = loss.draw(tables(1))
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "lines.linewidth": 9}):
        same = loss.draw(tables(1))
        assert mpl.rcParams["font.size"] == 30
    for one, other in zip(plain.axes[0].lines, same.axes[0].lines, strict=True):
        assert one.get_linewidth() == other.get_linewidth()
    assert plain.axes[0].get_facecolor() == same.axes[0].get_facecolor()
    assert plain.axes[0].xaxis.label.get_size() == same.axes[0].xaxis.label.get_size()
