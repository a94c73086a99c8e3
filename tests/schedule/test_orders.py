from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare

from resonance.params import (
    DIRECTIONS,
    All,
    Block,
    Blocked,
    CrossOnly,
    Fixed,
    OneDirection,
    Rotating,
    SameOnly,
    Shuffled,
    Weighted,
)
from resonance.schedule import orders
from resonance.schedule.orders import indices, period, window_indices, words

ORDERS = (
    Shuffled(),
    Fixed(order=None),
    Fixed(order="2>2 1>1 1>2 2>1"),
    Rotating(),
    Blocked(length=1),
    Blocked(length=7),
    Blocked(length=1000),
    Weighted(weights={"1>2": 4, "2>1": 3, "1>1": 2, "2>2": 1}),
    SameOnly(),
    CrossOnly(),
    OneDirection(direction="2>1"),
)
DRAWN = tuple(order for order in ORDERS if not isinstance(order, Rotating | OneDirection) and order != ORDERS[2])
N = 200_000


def cycles(order: Block, seed: int, start: int, stop: int) -> list[str]:
    known = words(order)
    return [known[index] for index in indices(order, seed, start, stop)]


def counts(order: Block, seed: int = 1) -> NDArray[np.int64]:
    return np.bincount(indices(order, seed, 0, N), minlength=len(words(order)))


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_words_are_few_distinct_and_hold_four_directions(order: Block) -> None:
    known = words(order)
    assert len(set(known)) == len(known) <= 256
    assert all(len(word.split()) == 4 and set(word.split()) <= set(DIRECTIONS) for word in known)


@settings(deadline=None)
@given(st.sampled_from(ORDERS), st.integers(0, 2**70), st.integers(0, 3000), st.integers(0, 3000))
def test_a_slice_made_alone_is_the_slice_of_the_whole(order: Block, seed: int, one: int, other: int) -> None:
    start, stop = sorted((one, other))
    whole = indices(order, seed, 0, 3000)
    assert whole.dtype == np.uint8
    assert np.array_equal(indices(order, seed, start, stop), whole[start:stop])


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_slices_agree_across_the_steps_in_which_they_are_made(order: Block) -> None:
    border = orders._AT_ONCE
    whole = indices(order, 3, 0, border + 100)
    assert np.array_equal(whole[border - 50 :], indices(order, 3, border - 50, border + 100))


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_a_slice_a_billion_cycles_in_is_made_at_once(order: Block) -> None:
    far = 10**9
    assert np.array_equal(indices(order, 3, far + 5, far + 9), indices(order, 3, far, far + 20)[5:9])


@pytest.mark.parametrize("order", DRAWN, ids=str)
def test_seeds_differ(order: Block) -> None:
    assert len({indices(order, seed, 0, 4000).tobytes() for seed in range(20)}) > 10


def test_the_schedules_of_a_seed_never_change() -> None:
    """Another value here means that every schedule that was ever written would change."""
    assert cycles(Shuffled(), 0, 0, 3) == ["1>1 2>1 2>2 1>2", "1>1 2>1 2>2 1>2", "1>2 2>1 2>2 1>1"]


@pytest.mark.parametrize("order", [Shuffled(), SameOnly(), CrossOnly()], ids=str)
def test_uniform_orders_are_uniform(order: Block) -> None:
    assert chisquare(counts(order)).pvalue > 0.01


def test_neighbouring_shuffled_cycles_are_independent() -> None:
    drawn = indices(Shuffled(), 2, 0, N).astype(int)
    pairs = np.bincount(24 * drawn[:-1:2] + drawn[1::2], minlength=24 * 24)
    assert chisquare(pairs).pvalue > 0.01


def test_weighted_words_have_the_product_of_their_weights() -> None:
    tenths = dict(zip(DIRECTIONS, (4, 3, 2, 1), strict=True))
    order = Weighted(weights={direction: float(tenth) for direction, tenth in tenths.items()})
    chance = {str(direction): tenth / 10 for direction, tenth in tenths.items()}
    expected = np.array([np.prod([chance[direction] for direction in word.split()]) for word in words(order)])
    assert len(expected) == 256
    assert chisquare(counts(order), expected * N).pvalue > 0.01


def test_weighted_draws_turn_at_the_exact_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights 1 : 2 cut the range of a stream word at 2^64 / 81, not a word earlier or later."""
    bound = 2**64 // 81
    ends = np.array([0, bound, bound + 1, 2**64 - 1], dtype=np.uint64)
    monkeypatch.setattr(orders, "raw", lambda *_: ends)
    assert indices(Weighted(weights={"1>2": 1.0, "2>1": 2.0}), 0, 0, 4).tolist() == [0, 0, 1, 15]


def test_a_direction_without_weight_never_comes() -> None:
    assert words(Weighted(weights={"1>2": 1.0, "2>2": 0.0})) == ["1>2 1>2 1>2 1>2"]
    assert counts(Weighted(weights={"1>2": 1.0, "2>2": 1e-300}))[1:].sum() == 0


def test_shuffled_has_all_permutations() -> None:
    assert {tuple(word.split()) for word in words(Shuffled())} == set(permutations(DIRECTIONS))


def test_fixed_is_the_order_given() -> None:
    assert set(cycles(Fixed(order="2>2  1>1 1>2 2>1"), 5, 10, 30)) == {"2>2 1>1 1>2 2>1"}


def test_fixed_is_drawn_once_by_the_seed() -> None:
    drawn = [cycles(Fixed(order=None), seed, 0, 50) for seed in range(300)]
    assert all(len(set(run)) == 1 for run in drawn)
    assert {run[0] for run in drawn} == set(words(Fixed(order=None)))


def test_rotating_goes_around() -> None:
    assert cycles(Rotating(), 0, 0, 5) == [
        "1>2 2>1 1>1 2>2",
        "2>1 1>1 2>2 1>2",
        "1>1 2>2 1>2 2>1",
        "2>2 1>2 2>1 1>1",
        "1>2 2>1 1>1 2>2",
    ]


@pytest.mark.parametrize("length", [1, 3, 1000])
def test_blocked_has_one_direction_per_block_and_each_once_in_four(length: int) -> None:
    drawn = indices(Blocked(length=length), 4, 0, 4 * 50 * length).reshape(50, 4, length)
    assert (drawn == drawn[:, :, :1]).all()
    assert (np.sort(drawn[:, :, 0], axis=1) == np.arange(4)).all()
    assert len(np.unique(drawn[:, :, 0], axis=0)) > 10
    assert words(Blocked(length=length)) == [" ".join([direction] * 4) for direction in DIRECTIONS]


@pytest.mark.parametrize(("order", "pair"), [(SameOnly(), ["1>1", "2>2"]), (CrossOnly(), ["1>2", "2>1"])], ids=str)
def test_controls_hold_their_two_directions_twice(order: Block, pair: list[str]) -> None:
    assert len(words(order)) == 6
    assert all(sorted(word.split()) == sorted(pair * 2) for word in words(order))


def test_one_direction_is_alone() -> None:
    assert set(cycles(OneDirection(direction="2>1"), 0, 0, 9)) == {"2>1 2>1 2>1 2>1"}


def test_windows_are_uniform_and_independent_of_slot() -> None:
    drawn = window_indices(1, 3, 0, N)
    assert drawn.shape == (N, 4)
    assert drawn.dtype == np.uint16
    joint = np.bincount(drawn @ np.array([27, 9, 3, 1]), minlength=81)
    assert chisquare(joint).pvalue > 0.01


def test_windows_are_independent_of_the_order() -> None:
    joint = np.bincount(24 * window_indices(1, 2, 0, N)[:, 0] + indices(Shuffled(), 1, 0, N), minlength=48)
    assert chisquare(joint).pvalue > 0.01


@settings(deadline=None)
@given(st.integers(0, 2**70), st.integers(1, 2**16), st.integers(0, 2000), st.integers(0, 2000))
def test_windows_of_a_slice_are_those_of_the_whole(seed: int, windows: int, one: int, other: int) -> None:
    start, stop = sorted((one, other))
    whole = window_indices(seed, windows, 0, 2000)
    assert whole.max() < windows
    assert np.array_equal(window_indices(seed, windows, start, stop), whole[start:stop])


PERIODS = {"fixed": 1, "one-direction": 1, "rotating": 4}


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_an_order_that_does_not_draw_begins_again_after_its_period_and_not_before(order: Block) -> None:
    found = period(order, 1)
    assert found == PERIODS.get(order.tag)
    assert period(order, 2) is None, "windows are drawn"
    run = indices(order, 7, 0, 20_000)
    for shift in range(1, 20 if found is None else found):
        assert (run[shift:] != run[:-shift]).any()
    if found is not None:
        assert (run[found:] == run[:-found]).all()


def test_what_is_not_an_order_has_no_words() -> None:
    with pytest.raises(TypeError, match="All is not an order"):
        words(All())
