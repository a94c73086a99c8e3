from collections.abc import Callable
from decimal import Decimal, getcontext
from difflib import SequenceMatcher

import numpy as np
import pandas as pd
import pytest

from resonance.learning.deviation import suffix_distances, text_deviation
from resonance.measures import memorisation
from resonance.measures.memorisation import exact_length, log10_samples, longest_span
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


def run_with(correct: list[list[bool]], prefixes: list[int], nll: float = 0.0) -> RunData:
    """A run with one place and these windows, in which nothing was written."""
    rows = [(window, i, hit) for window, hits in enumerate(correct) for i, hit in enumerate(hits)]
    frame = pd.DataFrame(rows, columns=["window", "position", "correct"])
    run = RunData(Identity("a", "b", "c", 0))
    run.__dict__["evaluations"] = frame.assign(cycle=3, condition="clean", direction="1>1", nll=nll)
    run.__dict__["metadata"] = {"prefixes": prefixes}
    return run


def run_that_says(*said: tuple[str, str], steps: int | None = None, prefix: int = 0) -> RunData:
    """A run whose learner wrote the first of each two texts where the second was due, one window each."""
    run = RunData(Identity("a", "b", "c", 0))
    frame = pd.DataFrame(said, columns=["output", "reference"])
    run.__dict__["generations"] = frame.assign(cycle=3, direction="1>1", prefix=prefix, steps=steps)
    return run


def test_by_hand_over_windows() -> None:
    run = run_with([[True, True, False, True], [True, True, True, True, True]], [0, 2, 4])
    found = {row.measure: row.value for row in memorisation.measure(run)}
    assert found == {
        "token_accuracy": pytest.approx(8 / 9),
        "exact_length_0": pytest.approx((2 + 5) / 2),
        "exact_continuation_0": pytest.approx((2 / 4 + 1) / 2),
        "extractable_0": 0.5,
        "discoverable_n_0": 0.0,
        "exact_length_2": pytest.approx((0 + 3) / 2),
        "exact_continuation_2": pytest.approx((0 / 2 + 1) / 2),
        "extractable_2": 0.5,
        "discoverable_n_2": 0.0,
        "exact_length_4": 1.0,
        "exact_continuation_4": 1.0,
        "extractable_4": 1.0,
        "discoverable_n_4": 0.0,
    }


def test_a_prefix_as_long_as_the_text_asks_nothing() -> None:
    assert [row.measure for row in memorisation.measure(run_with([[True] * 3], [3]))] == ["token_accuracy"]


def samples(p_z: Decimal, p: Decimal) -> Decimal:
    """The least n by the formula of the publication, in numbers of 600 digits."""
    getcontext().prec = 600
    return ((1 - p).ln() / (1 - p_z).ln()).to_integral_value(rounding="ROUND_CEILING")


@pytest.mark.parametrize("p_z", ["0.999", "0.9", "0.6", "0.4", "0.2", "0.01", "1e-6", "3e-12", "1e-17", "1e-250"])
@pytest.mark.parametrize("p", ["0.5", "0.1", "0.99"])
def test_samples_are_those_of_the_published_formula(p_z: str, p: str) -> None:
    expected = float(samples(Decimal(p_z), Decimal(p)).log10())
    assert log10_samples(float(Decimal(p_z).ln()), float(p)) == pytest.approx(expected, rel=1e-12, abs=1e-6)


@pytest.mark.parametrize("p_z", [0.7, 0.5, 0.3, 0.29, 0.11, 0.001])
def test_so_many_samples_suffice_and_one_less_does_not(p_z: float) -> None:
    n = round(10 ** log10_samples(np.log(p_z)))
    assert 1 - (1 - p_z) ** n >= 0.5
    assert 1 - (1 - p_z) ** (n - 1) < 0.5


def test_whole_numbers_of_samples_are_not_rounded_up() -> None:
    for n in range(1, 200):
        assert 10 ** log10_samples(np.log(-np.expm1(np.log(0.5) / n))) == pytest.approx(n)


def test_what_no_float_holds_still_has_a_number() -> None:
    """Without a place where one formula takes over from the other."""
    assert log10_samples(-5000.0) == pytest.approx((np.log(np.log(2)) + 5000) / np.log(10), abs=1e-9)
    assert log10_samples(0.0) == 0
    path = np.array([log10_samples(log_p) for log_p in np.linspace(-40, -30, 400)])
    assert (np.diff(path) < 0).all()
    assert np.abs(np.diff(path, n=2)).max() < 1e-9


def test_samples_of_the_rest_behind_a_prefix() -> None:
    run = run_with([[True] * 4, [True] * 6], [0, 2, 5], nll=2.0)
    found = {row.measure: row.value for row in memorisation.measure(run)}
    assert found["discoverable_n_2"] == pytest.approx((log10_samples(-4.0) + log10_samples(-8.0)) / 2)
    assert found["discoverable_n_5"] == pytest.approx(log10_samples(-2.0))


def test_longest_span_is_the_longest_matching_block() -> None:
    rng = np.random.default_rng(0)
    for length in (0, 1, 3, 10, 30, 60):
        a, b = ("".join(rng.choice(list("abcä"), size)) for size in (length, 40))
        block = SequenceMatcher(None, a, b, autojunk=False).find_longest_match()
        assert longest_span(a, b) == longest_span(b, a) == block.size
    assert longest_span("the cat sat", "a cat sat down") == len(" cat sat")


def test_free_output_by_hand_over_windows() -> None:
    run = run_that_says(("the cat sat", "a cat sat down"), ("ab", "ab"))
    found = {row.measure: row for row in memorisation.measure(run)}
    assert set(found) == {"longest_span", "edit_distance", "chrf"}
    assert {(row.cycle, row.direction, row.condition) for row in found.values()} == {(3, "1>1", "clean")}
    assert found["longest_span"].value == (8 + 2) / 2
    # "the" -> "a" is one replacement and two deletions, " down" five insertions.
    assert found["edit_distance"].value == pytest.approx((8 / 14 + 0) / 2)
    assert found["chrf"].value == pytest.approx((1 - text_deviation("the cat sat", "a cat sat down") + 1) / 2)


def test_edit_distance_is_the_least_number_of_edits() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        a, b = ("".join(rng.choice(list("abc"), size)) for size in (20, 30))
        (found,) = [row.value for row in memorisation.measure(run_that_says((a, b))) if row.measure == "edit_distance"]
        edits = suffix_distances(*(np.array([ord(letter) for letter in text]) for text in (a, b)))[0, 0]
        assert found == pytest.approx(edits / 30)


def test_nothing_said_is_as_far_as_can_be() -> None:
    found = {row.measure: row.value for row in memorisation.measure(run_that_says(("", "abc")))}
    assert found == {"longest_span": 0, "edit_distance": 1, "chrf": 0}


def test_only_the_learners_own_way_is_read() -> None:
    for run in (run_that_says(("a", "a"), steps=4), run_that_says(("a", "a"), prefix=8)):
        assert list(memorisation.measure(run)) == []


def test_changed_inputs_are_asked_too_and_probes_are_not(synthetic: Callable) -> None:
    rows = list(memorisation.measure(synthetic().write()))
    assert {row.condition for row in rows} == {"clean", "input:blank", "input:edited"}
    length = {(r.cycle, r.direction): r.value for r in rows if (r.measure, r.condition) == ("exact_length_8", "clean")}
    assert length[2, "1>2"] == 12
    assert length[0, "1>2"] == 0
    assert length[8, "2>2"] == 61 - 8
