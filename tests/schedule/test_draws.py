import numpy as np
import pytest

from resonance.schedule.draws import below, raw


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4, 5, 1023, 10**9 + 3])
def test_a_slice_of_a_stream_is_addressed_by_its_place(start: int) -> None:
    aligned = start - start % 4
    whole = raw(7, "test", aligned, aligned + 40)
    assert np.array_equal(raw(7, "test", start, start + 11), whole[start - aligned :][:11])
    assert len(raw(7, "test", start, start)) == 0


def test_the_counter_counts_blocks_as_numpys_advance_does() -> None:
    key = 12345
    stream = np.random.Philox(key=key)
    stream.advance(5)
    assert np.array_equal(stream.random_raw(8), np.random.Philox(key=key, counter=5).random_raw(8))


def test_the_stream_never_changes() -> None:
    """Made once with numpy 2.4; another value here would change every schedule that was ever written."""
    assert raw(0, "shuffled", 0, 3).tolist() == [11530142164680680505, 11734725181587857116, 1281548348375855842]


def test_seeds_and_purposes_name_different_streams() -> None:
    streams = [raw(seed, purpose, 0, 4).tobytes() for seed in (0, 1, 2**64, 2**200) for purpose in ("a", "b")]
    assert len(set(streams)) == len(streams)


def test_below_maps_the_ends_of_the_range_to_the_first_and_last() -> None:
    words = np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)
    for n in (1, 2, 24, 256, 2**16):
        assert below(n, words).tolist() == [0, n // 2, n - 1]


@pytest.mark.parametrize("n", [0, 2**16 + 1])
def test_below_refuses_what_does_not_fit(n: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        below(n, np.zeros(1, dtype=np.uint64))
