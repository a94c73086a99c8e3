"""Bins of the cycle log."""

import numpy as np
import pytest

from resonance.training.log import DENSE, PER_DOUBLING, Log, bin_end


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
