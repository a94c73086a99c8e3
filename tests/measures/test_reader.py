from collections.abc import Callable

import pytest

from resonance.measures import reader


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


def test_a_network_without_a_carried_state_has_no_rows(synthetic: Callable) -> None:
    run = synthetic().write()
    assert list(reader.measure(run)) == []
    run.__dict__["log"] = run.log.assign(state_change=float("nan"))
    assert list(reader.measure(run)) == []
