from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from resonance.measures import changes
from resonance.storage import write_table


def test_a_jump_has_its_cycle_and_its_size() -> None:
    cycles = np.arange(1, 65)
    loss = 4.0 / cycles * np.where(cycles >= 33, 8.0, 1.0)
    (change,) = changes.changes(cycles.tolist(), loss)
    assert change.cycle == 33
    assert change.size == pytest.approx(np.log(8))
    assert changes.changes(cycles.tolist(), 1000 * loss) == [pytest.approx(change)]


def test_a_steeper_fall_is_measured_one_doubling_later() -> None:
    cycles = np.arange(1, 65)
    (change,) = changes.changes(cycles.tolist(), np.where(cycles < 16, 4.0, 4.0 * (cycles / 16.0) ** -3))
    assert change.cycle in (16, 17)
    assert change.size == pytest.approx(-3 * np.log(2), rel=0.15)


def rows(synthetic: Callable[..., Any], loss: Callable[[np.ndarray], np.ndarray], stop: int = 64) -> list[Any]:
    """Of a run whose log holds this loss."""
    made = synthetic(stops=(stop,), cycles=(0, stop))
    run = made.write()
    table = made.log(stop).to_pandas()
    for column in ("loss", "loss_min", "loss_max", "loss_last"):
        table[column] = loss(table["cycle"].to_numpy(float))
    path = made.folder / "own.parquet"
    write_table(path, pa.Table.from_pandas(pd.DataFrame(table), preserve_index=False), {})
    return list(changes.measure(replace(run, logs_files=(path,))))


def test_rows_are_per_direction_at_the_last_cycle(synthetic: Callable[..., Any]) -> None:
    found = rows(synthetic, lambda cycle: np.where(cycle < 20, 4.0, np.where(cycle < 40, 1.0, 2.0)))
    assert {(row.cycle, row.direction) for row in found} == {(64, d) for d in ("1>2", "2>1", "1>1", "2>2")}
    own = {row.measure: row for row in found if row.direction == "2>1"}
    assert own["change_points"].value == 2
    assert (own["change_at"].value, own["change_at"].low, own["change_at"].high) == (20, 20, 40)
    assert own["change_size"].value == own["change_size"].low == pytest.approx(-np.log(4))
    assert own["change_size"].high == pytest.approx(np.log(2))


def test_a_power_law_does_not_break(synthetic: Callable[..., Any]) -> None:
    found = {(row.measure, row.value) for row in rows(synthetic, lambda cycle: 4 / cycle)}
    assert found == {("change_points", 0.0), ("change_at", None), ("change_size", None)}


def test_what_has_no_logarithm_is_left_out(synthetic: Callable[..., Any]) -> None:
    found = rows(synthetic, lambda cycle: np.where(cycle > 40, 0.0, 4 / cycle))
    assert {(row.cycle, row.value) for row in found if row.measure == "change_points"} == {(64, 0.0)}


def test_a_short_run_says_nothing(synthetic: Callable[..., Any]) -> None:
    assert rows(synthetic, lambda cycle: 4 / cycle, stop=11) == []
