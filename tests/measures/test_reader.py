from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resonance.measures import reader
from resonance.measures.run import RunData
from resonance.measures.table import write_family
from resonance.storage import read_table


def test_a_state_that_settles(synthetic: Callable) -> None:
    rows = list(reader.measure(synthetic(state_change=True).write()))
    change = {r.cycle: r.value for r in rows if r.measure == "state_change"}
    assert change == pytest.approx({cycle: 0.5**cycle for cycle in range(1, 9)})
    since = {(r.cycle, r.direction): r.value for r in rows if r.measure == "loss_since_first_pass"}
    assert since[1, "2>1"] == 0
    assert since[4, "2>1"] == pytest.approx(1.0 - 4.0)


def test_the_first_pass_is_that_of_the_direction(synthetic: Callable) -> None:
    run = synthetic(state_change=True).write()
    late = (run.log["direction"] == "1>1") & (run.log["cycle"] < 4)
    run.__dict__["log"] = run.log[~late]
    since = {(r.cycle, r.direction): r.value for r in reader.measure(run) if r.measure == "loss_since_first_pass"}
    assert since[4, "1>1"] == 0
    assert since[8, "1>1"] == pytest.approx(0.5 - 1.0)
    assert since[8, "2>2"] == pytest.approx(0.5 - 4.0)


def test_growth_of_differences_at_every_mark(synthetic: Callable) -> None:
    rows = {(r.cycle, r.measure): r for r in reader.measure(synthetic(state_change=True).write())}
    first = rows[2, "lyapunov_1"]
    assert (first.value, first.low, first.high) == (-2.0, -2.5, -1.5)
    token = rows[2, "lyapunov_per_token_1"]
    assert (token.value, token.low, token.high) == pytest.approx((-0.01, -0.0125, -0.0075))
    assert rows[0, "spectral_radius"].value == 0.5
    assert sorted(cycle for cycle, measure in rows if measure == "spectral_radius") == [0, 1, 2, 4, 8]


def test_growth_that_was_not_resolved_is_null(synthetic: Callable, tmp_path: Path) -> None:
    write_family(tmp_path / "reader", "reader", synthetic(state_change=True).write())
    table = read_table(tmp_path / "reader").to_pandas().set_index(["cycle", "measure"])
    for measure in ("lyapunov_2", "lyapunov_per_token_2"):
        assert table.loc[(4, measure), ["value", "low", "high"]].isna().all()
        assert table.loc[(2, measure), ["value", "low", "high"]].notna().all()
    assert np.isnan(table.loc[(2, "spectral_radius"), "low"])


def test_a_network_without_a_carried_state_has_no_rows(synthetic: Callable) -> None:
    run = synthetic().write()
    assert list(reader.measure(run)) == []
    run.__dict__["log"] = run.log.assign(state_change=float("nan"))
    assert list(reader.measure(run)) == []


def orbit_rows(run: RunData) -> dict[str, tuple[int, float | None]]:
    return {r.measure: (r.cycle, r.value) for r in reader.measure(run) if r.measure.startswith("orbit")}


def test_an_orbit_is_what_the_last_file_of_the_log_says(synthetic: Callable) -> None:
    run = synthetic(state_change=True, orbit={"entered": 3, "period": 2}).write()
    assert orbit_rows(run) == {"orbit_entered": (8, 3), "orbit_period": (8, 2), "orbit_searched": (8, 5)}


def test_no_orbit_within_so_many_cycles_is_a_number_too(synthetic: Callable) -> None:
    run = synthetic(state_change=True, orbit={"none_within": 8}).write()
    assert orbit_rows(run) == {"orbit_searched": (8, 8)}


def test_an_orbit_of_nothing_has_rows_without_a_state(synthetic: Callable) -> None:
    run = synthetic(orbit={"entered": 0, "period": 1}).write()
    assert [(r.measure, r.value) for r in reader.measure(run)] == [
        ("orbit_entered", 0),
        ("orbit_period", 1),
        ("orbit_searched", 1),
    ]
    assert orbit_rows(synthetic(state_change=True).write()) == {}, "not searched"
