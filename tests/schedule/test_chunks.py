import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance.schedule.chunks import edges, name, snapshot_cycles, snapshots_between


@pytest.mark.parametrize(
    ("cycles", "first", "longest", "expected"),
    [
        (1024, 64, 10_000_000, [64, 128, 256, 512, 1024]),
        (1000, 64, 10_000_000, [64, 128, 256, 512, 1000]),
        (30, 2, 6, [2, 4, 8, 14, 20, 26, 30]),
        (64, 4, 8, [4, 8, 16, 24, 32, 40, 48, 56, 64]),
        (10, 8, 3, [3, 6, 9, 10]),
        (5, 64, 100, [5]),
        (64, 64, 100, [64]),
    ],
)
def test_cuts_double_until_a_chunk_would_be_too_long(
    cycles: int, first: int, longest: int, expected: list[int]
) -> None:
    assert edges(cycles, first, longest) == expected


def test_a_billion_cycles_are_few_jobs() -> None:
    cuts = edges(10**9, 64, 10**7)
    assert len(cuts) <= 125
    assert cuts[-1] == 10**9
    assert max(np.diff([0, *cuts])) == 10**7


@given(st.integers(1, 20_000), st.integers(0, 20_000), st.integers(1, 300), st.integers(1, 3000))
def test_a_longer_study_keeps_the_cuts_of_a_shorter_one(cycles: int, more: int, first: int, longest: int) -> None:
    short, long = edges(cycles, first, longest), edges(cycles + more, first, longest)
    assert short[-1] == cycles
    assert long[: len(short) - 1] == short[:-1]
    assert (cycles in long) == (long[: len(short)] == short)
    assert all(0 < length <= longest for length in np.diff([0, *long]))


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_no_cuts_without_cycles(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        edges(*wrong)


def test_names_sort_as_numbers() -> None:
    assert name(64) == "000000000064"
    assert [name(cycle) for cycle in (9, 10, 10**9)] == sorted(name(cycle) for cycle in (10**9, 10, 9))


def test_snapshots_are_log_spaced() -> None:
    assert snapshot_cycles(100, 1) == [0, 1, 2, 4, 8, 16, 32, 64]
    assert snapshot_cycles(16, 2) == [0, 1, 2, 3, 4, 6, 8, 11, 16]
    assert snapshot_cycles(0, 1) == [0]


@pytest.mark.parametrize("per_doubling", [1, 3, 64])
def test_snapshots_are_the_rounded_powers(per_doubling: int) -> None:
    grid = {round(2 ** (k / per_doubling)) for k in range(30 * per_doubling + 1)}
    assert snapshot_cycles(2**30, per_doubling) == sorted(grid | {0})


@given(st.lists(st.integers(0, 5000), max_size=6), st.integers(1, 64))
def test_snapshots_of_chunks_are_those_of_the_whole(cuts: list[int], per_doubling: int) -> None:
    cuts = sorted({0, *cuts, 5000})
    joined = [int(n) for i in range(len(cuts) - 1) for n in snapshots_between(cuts[i], cuts[i + 1], per_doubling)]
    assert joined == snapshot_cycles(5000, per_doubling)


def test_snapshots_beyond_the_precision_of_floats() -> None:
    (cycle,) = snapshots_between(2**61, 2**61 + 2**60, 2)
    assert abs(int(cycle) ** 2 - 2**123) <= cycle


@pytest.mark.parametrize("wrong", [(-1, 2, 1), (3, 2, 1), (0, 2, 0)])
def test_no_snapshots_of_an_impossible_stretch(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no snapshots"):
        snapshots_between(*wrong)
