import math
from collections.abc import Callable
from typing import Any

import pytest

from resonance.measures import loss


def test_marks_and_log(synthetic: Callable) -> None:
    rows = list(loss.measure(synthetic().write()))
    nll = {(r.cycle, r.direction): r.value for r in rows if r.measure == "nll"}
    assert len(nll) == 5 * 4
    assert nll[0, "1>2"] == pytest.approx(4.0)
    assert nll[8, "2>2"] == pytest.approx(4 / 9)
    bits = {(r.cycle, r.direction): r.value for r in rows if r.measure == "bits_per_byte"}
    assert bits[1, "2>1"] == pytest.approx(60 * 2.0 / math.log(2) / 241)
    online = {(r.cycle, r.direction): (r.value, r.low, r.high) for r in rows if r.measure == "loss_online"}
    assert len(online) == 8 * 4
    assert online[4, "1>1"] == (1.0, 1.0, 1.0)
    assert {r.condition for r in rows if r.measure == "nll"} == {"clean"}


def test_each_target_has_its_own_bytes(synthetic: Callable) -> None:
    run = synthetic().write()
    run.metadata["bytes"]["2"] = 482
    bits: dict[Any, Any] = {
        r.direction: r.value for r in loss.measure(run) if r.measure == "bits_per_byte" and r.cycle == 0
    }
    assert bits["1>1"] == bits["2>1"] == pytest.approx(2 * bits["1>2"])
