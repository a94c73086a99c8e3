"""Bins of the cycle log."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import resonance.training.log as log_module
from resonance.params import DIRECTIONS
from resonance.training.log import DENSE, PER_DOUBLING, Log, Repeated, bin_end


def test_every_cycle_has_its_own_row_at_first():
    assert [bin_end(cycle) for cycle in (1, 2, DENSE)] == [1, 2, DENSE]


@pytest.mark.parametrize("doubling", [DENSE, 8 * DENSE, 2**29])
def test_bins_are_512_per_doubling_and_tile_it(doubling):
    width = doubling // PER_DOUBLING
    ends = {bin_end(doubling + 1 + k * width) for k in range(PER_DOUBLING)}
    assert ends == {doubling + (k + 1) * width for k in range(PER_DOUBLING)}
    assert bin_end(doubling + width) == doubling + width
    assert bin_end(doubling + width + 1) == doubling + 2 * width
    assert bin_end(2 * doubling) == 2 * doubling


def test_a_bin_holds_mean_min_max_last_of_each_direction():
    log = Log()
    start = DENSE  # bins of 8 cycles from here
    for cycle in range(start + 1, start + 9):
        log.add(cycle, ["1>1", "1>2"], ["loss"], np.array([[cycle - start], [0.5]], float))
    rows = log.table().to_pylist()
    assert [row["direction"] for row in rows] == ["1>2", "1>1"]
    one = rows[1]
    assert (one["cycle"], one["visits"], one["loss"], one["loss_min"], one["loss_max"], one["loss_last"]) == (
        start + 8, 8, 4.5, 1.0, 8.0, 8.0
    )  # fmt: skip
    assert log.open == {}


def test_rows_come_back_from_their_table():
    log = Log()
    for cycle in (1, 2, 3):
        log.add(cycle, ["1>2"], ["loss", "grad_norm"], np.array([[1 / 3 * cycle, np.nan]]))
    again = Log()
    again.restore(log.table())
    assert again.table().equals(log.table())
    assert np.array_equal(np.stack([r[2] for r in again.rows]), np.stack([r[2] for r in log.rows]), equal_nan=True)


def test_an_empty_log_is_a_table():
    table = Log().table()
    assert table.num_rows == 0
    assert table.column_names == ["cycle", "visits", "direction"]


@pytest.fixture
def coarse(monkeypatch):
    """Dense to cycle 64, then 8 bins per doubling."""
    monkeypatch.setattr(log_module, "DENSE", 64)
    monkeypatch.setattr(log_module, "PER_DOUBLING", 8)


def drawn(period: int, seed: int, start: int) -> Repeated:
    """A period of drawn words, some without some directions, with values of all sizes, infinite or no number."""
    rng = np.random.default_rng(seed)
    words = [tuple(rng.choice(DIRECTIONS, 4, p=[0.7, 0.1, 0.1, 0.1])) for _ in range(period)]
    rows = rng.standard_normal((period, 4, 3)) * np.array([1e-9, 1.0, 1e9])
    rows[rng.random(rows.shape) < 0.05] = np.nan
    rows[rng.random(rows.shape) < 0.05] = np.inf
    return Repeated(start, ["a", "b", "c"], words, rows)


def logged(known: Repeated, cuts: list[int], stop: int) -> Log:
    """Cycles up to known.start one by one, then at once up to each cut."""
    log = Log()
    for cycle in range(1, known.start + 1):
        log.add(cycle, *known.cycle(cycle))
    for left, right in pairwise([known.start, *cuts, stop]):
        log.repeat(known, left, right)
    return log


@pytest.mark.parametrize(("period", "start"), [(1, 10), (4, 64), (7, 70), (30, 101), (300, 400)])
def test_what_is_repeated_is_what_is_added(coarse, period, start):
    stop = 2048
    known = drawn(period, period, start)
    one_by_one = Log()
    for cycle in range(1, stop + 1):
        one_by_one.add(cycle, *known.cycle(cycle))
    assert one_by_one.open == {}
    table, expected = (log.table().to_pandas() for log in (logged(known, [], stop), one_by_one))
    means = ["a", "b", "c"]
    exact = [column for column in expected if column not in means]
    pd.testing.assert_frame_equal(table[exact], expected[exact], check_exact=True)
    pd.testing.assert_frame_equal(table[means], expected[means], rtol=1e-12, atol=0)
    dense = [[row[2].tobytes() for row in log.rows if row[0] <= 64] for log in (logged(known, [], stop), one_by_one)]
    assert dense[0] == dense[1]


@pytest.mark.parametrize("period", [1, 7, 300])
def test_where_it_is_cut_does_not_matter(coarse, period):
    known, stop = drawn(period, period, 70), 3000
    whole = logged(known, [], stop)
    rng = np.random.default_rng(0)
    for cuts in ([], list(range(71, stop)), sorted(rng.integers(71, stop, 9).tolist())):
        log = logged(known, cuts, stop)
        assert log.table().equals(whole.table())
        assert log.open.keys() == whole.open.keys()


def test_an_open_bin_keeps_what_was_measured_before(coarse):
    """The bin of cycles 97 to 104: four were computed, more are known; they are added when it ends, not before."""
    known = Repeated(100, ["a"], [("1>2",)], np.full((1, 1, 1), 3.0))
    log = Log()
    for cycle in range(1, 101):
        log.add(cycle, ["1>2"], ["a"], np.ones((1, 1)))
    log.repeat(known, 100, 103)
    assert log.open["1>2"][:, 0].tolist() == [4, 4, 1, 1, 1]
    log.repeat(known, 103, 104)
    assert log.rows[-1][2][:, 0].tolist() == [8, 2, 1, 3, 3]


def test_a_dense_row_is_the_cycle_to_the_sign_of_a_zero():
    log = Log()
    log.repeat(Repeated(1, ["a"], [("1>2",)], np.full((1, 1, 1), -0.0)), 1, 3)
    assert [row[2][1:].tobytes() for row in log.rows] == [np.full((4, 1), -0.0).tobytes()] * 2


def test_a_table_without_rows_has_the_columns_all_the_same():
    known, log = drawn(2, 0, 2 * DENSE), Log()
    log.repeat(known, 2 * DENSE, 2 * DENSE + 1)
    assert log.table().num_rows == 0
    assert [name for name in log.table().column_names if name.endswith("_last")] == ["a_last", "b_last", "c_last"]


def test_a_billion_cycles_are_a_loop_over_bins():
    known, log = drawn(3, 1, 10), Log()
    log.repeat(known, 10, 10**9)
    ends = [11]
    while bin_end(ends[-1] + 1) <= 10**9:
        ends.append(bin_end(ends[-1] + 1))
    assert sorted({row[0] for row in log.rows}) == ends
    assert sum(row[2][0, 0] for row in log.rows) == 4 * (ends[-1] - 10)
