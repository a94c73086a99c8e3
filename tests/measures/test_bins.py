import numpy as np
import pandas as pd
import pytest

from resonance.measures.bins import Bin, bin_ends, thinned


def test_every_cycle_to_64_then_32_per_doubling() -> None:
    assert bin_ends(np.arange(1, 65)).tolist() == list(range(1, 65))
    assert bin_ends(np.array([65, 66, 67, 128, 129, 132, 133])).tolist() == [66, 66, 68, 128, 132, 132, 136]
    for doubling in (64, 1024, 2**29):
        assert len(set(bin_ends(np.arange(doubling + 1, 2 * doubling + 1, max(1, doubling // 1024))).tolist())) == 32


def test_bins_of_the_log_never_straddle_an_edge() -> None:
    """The log has 512 bins per doubling from 4,096 on: sixteen of them make one of these."""
    ends = np.arange(4096 + 8, 8192 + 8, 8)
    _, sizes = np.unique(bin_ends(ends), return_counts=True)
    assert set(sizes.tolist()) == {16}
    assert bin_ends(ends - 7).tolist() == bin_ends(ends).tolist()


def log(cycle: list[int], direction: list[str], visits: list[int], loss: list[float]) -> pd.DataFrame:
    values = np.array(loss)
    words = pd.Categorical(direction)
    return pd.DataFrame(
        {
            "cycle": cycle,
            "direction": words,
            "visits": visits,
            "loss": values,
            "loss_min": values - 1,
            "loss_max": values + 1,
        }
    )


def test_means_count_visits_and_the_extremes_are_kept() -> None:
    table = log([65, 65, 66], ["1>2", "2>1", "1>2"], [1, 1, 3], [2.0, 7.0, 6.0])
    assert list(thinned(table, "loss")) == [Bin(66, "1>2", 5.0, 1.0, 7.0), Bin(66, "2>1", 7.0, 6.0, 8.0)]
    assert list(thinned(table, "loss", by_direction=False)) == [Bin(66, None, 5.4, 1.0, 8.0)]


def test_what_was_not_logged_gives_no_bins() -> None:
    table = log([1, 2], ["1>2", "1>2"], [1, 1], [1.0, np.nan])
    assert [line.cycle for line in thinned(table, "loss")] == [1]
    assert list(thinned(table, "state_change")) == []
    assert list(thinned(pd.DataFrame(), "loss")) == []


def test_a_run_that_stops_inside_a_bin_names_its_last_cycle() -> None:
    (only,) = thinned(log([129, 130], ["1>2", "1>2"], [1, 1], [1.0, 3.0]), "loss")
    assert (only.cycle, only.mean) == (130, pytest.approx(2))
