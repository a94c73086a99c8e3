from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from resonance.measures import memorisation
from resonance.measures.memorisation import exact_length
from resonance.measures.run import Identity, RunData


@pytest.mark.parametrize(
    ("hits", "prefix", "length"),
    [("1101", 0, 2), ("1101", 2, 0), ("1101", 3, 1), ("0111", 1, 3), ("0000", 0, 0), ("1111", 0, 4), ("1111", 3, 1)],
)
def test_leading_hits_from_the_prefix_on(hits: str, prefix: int, length: int) -> None:
    assert exact_length(np.array([hit == "1" for hit in hits]), prefix) == length


def test_greedy_continuation_is_what_is_counted() -> None:
    """A model whose next token depends on the last one only: continued token by token, against its hits."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 12, 40)
    successor = rng.integers(0, 12, 12)
    successor[target[:-1][:25]] = target[1:26]
    argmax = np.concatenate([[target[0]], successor[target[:-1]]])
    for prefix in (1, 5, 30):
        last, length = target[prefix - 1], 0
        while prefix + length < 40 and successor[last] == target[prefix + length]:
            last, length = successor[last], length + 1
        assert exact_length(argmax == target, prefix) == length


def run_with(correct: list[list[bool]], prefixes: list[int]) -> RunData:
    """A run with one place and these windows."""
    rows = [(window, i, hit) for window, hits in enumerate(correct) for i, hit in enumerate(hits)]
    frame = pd.DataFrame(rows, columns=["window", "position", "correct"])
    run = RunData(Identity("a", "b", "c", 0))
    run.__dict__["evaluations"] = frame.assign(cycle=3, condition="clean", direction="1>1", nll=0.0)
    run.__dict__["metadata"] = {"prefixes": prefixes}
    return run


def test_by_hand_over_windows() -> None:
    run = run_with([[True, True, False, True], [True, True, True, True, True]], [0, 2, 4])
    found = {row.measure: row.value for row in memorisation.measure(run)}
    assert found == {
        "token_accuracy": pytest.approx(8 / 9),
        "exact_length_0": pytest.approx((2 + 5) / 2),
        "exact_continuation_0": pytest.approx((2 / 4 + 1) / 2),
        "extractable_0": 0.5,
        "exact_length_2": pytest.approx((0 + 3) / 2),
        "exact_continuation_2": pytest.approx((0 / 2 + 1) / 2),
        "extractable_2": 0.5,
        "exact_length_4": 1.0,
        "exact_continuation_4": 1.0,
        "extractable_4": 1.0,
    }


def test_a_prefix_as_long_as_the_text_asks_nothing() -> None:
    assert [row.measure for row in memorisation.measure(run_with([[True] * 3], [3]))] == ["token_accuracy"]


def test_changed_inputs_are_asked_too_and_probes_are_not(synthetic: Callable) -> None:
    rows = list(memorisation.measure(synthetic().write()))
    assert {row.condition for row in rows} == {"clean", "input:blank", "input:edited"}
    length = {(r.cycle, r.direction): r.value for r in rows if (r.measure, r.condition) == ("exact_length_8", "clean")}
    assert length[2, "1>2"] == 12
    assert length[0, "1>2"] == 0
    assert length[8, "2>2"] == 61 - 8
