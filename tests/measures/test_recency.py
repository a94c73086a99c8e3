from __future__ import annotations

from pathlib import Path

import pytest
from measures.test_transfer import cycles, gains, lines, run_of

from resonance.measures import recency
from resonance.measures.recency import ago
from resonance.params import DIRECTIONS


def test_how_long_ago_is_counted_from_the_last_slot() -> None:
    order = "1>1 2>2 1>2 2>1"
    assert [ago(order, direction) for direction in ("2>1", "1>2", "2>2", "1>1")] == [0, 1, 2, 3]


def test_what_is_shown_last_is_known_best(tmp_path: Path) -> None:
    """Planted: a loss grows by 0.1 with every slot since its direction was shown."""
    found = list(recency.measure(run_of(tmp_path, *cycles(64, 0.1), *cycles(32, 0.0))))
    assert [row.cycle for row in found] == [32] * 20 + [64] * 20
    late = {(row.measure, row.direction, row.condition): row.value for row in found if row.cycle == 64}
    for direction in DIRECTIONS:
        for slots in range(4):
            assert late["loss_by_recency", direction, f"ago:{slots}"] == pytest.approx(0.1 * (slots - 1.5))
        assert late["recency_spread", direction, None] == pytest.approx(0.1 * 1.25**0.5)
    assert [row.value for row in found if row.cycle == 32] == pytest.approx([0] * 20)


def test_no_row_where_a_cycle_is_one_step(tmp_path: Path) -> None:
    assert list(recency.measure(run_of(tmp_path, *lines(64, gains())))) == []
    assert list(recency.measure(run_of(tmp_path))) == []
