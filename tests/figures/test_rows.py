from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from figures.synthetic_tables import tables, tidy
from matplotlib.figure import Figure

from resonance.figures.rows import by_seed, coarse, describe, draw_seeds, last_values, learners, rows
from resonance.figures.style import DIRECTIONS

MARK = DIRECTIONS["1>2"]


def one_line(seeds: int, last: int = 64) -> pd.DataFrame:
    found = rows(tables(1, seeds, last), "loss", measure="nll")
    return found[found["direction"] == "1>2"]


def test_rows_are_those_asked_for() -> None:
    found = rows(tables(2), "probes", measure=["store_share", "follow_share"], direction="1>1")
    assert set(found["measure"]) == {"store_share", "follow_share"}
    assert set(found["direction"]) == {"1>1"}
    assert found["learner"].dtype == object


def test_a_missing_family_gives_no_rows() -> None:
    assert rows({}, "loss", measure="nll").empty


def test_values_that_are_no_numbers_are_left_out() -> None:
    values = ((0, 1.0), (1, None), (2, float("inf")))
    table = tidy([{"learner": "gpt", "measure": "nll", "cycle": c, "seed": 0, "value": v} for c, v in values])
    assert list(rows({"loss": table}, "loss", measure="nll")["cycle"]) == [0]


def test_learners_stand_as_they_appear() -> None:
    assert learners(rows(tables(4), "loss", measure="nll")) == ["gpt", "loreft", "rwkv7", "reader"]


def test_last_values_are_means_at_each_learners_own_last_cycle() -> None:
    table = pd.DataFrame(
        [("b", 1, 4.0), ("b", 2, 1.0), ("b", 2, 3.0), ("a", 1, 7.0)], columns=["learner", "cycle", "value"]
    )
    assert last_values(table) == {"b": 2.0, "a": 7.0}


@pytest.mark.parametrize(("seeds", "lines", "bands"), [(1, 1, 0), (2, 3, 0), (3, 4, 0), (4, 1, 1)])
def test_seeds_are_thin_lines_or_a_band(seeds: int, lines: int, bands: int) -> None:
    axes = Figure().subplots()
    draw_seeds(axes, one_line(seeds), MARK)
    assert (len(axes.lines), len(axes.collections)) == (lines, bands)
    mean = axes.lines[-1]
    assert mean.get_ydata() == pytest.approx(by_seed(one_line(seeds)).mean(axis=1).to_numpy())


def test_of_many_points_a_few_are_marked_evenly_in_print() -> None:
    axes = Figure().subplots()
    draw_seeds(axes, one_line(1, last=1 << 30), MARK)
    marked = np.asarray(axes.lines[-1].get_markevery())
    assert len(axes.lines[-1].get_xdata()) > 30
    assert len(marked) == 10
    assert marked[0] == 0
    assert marked[-1] == len(axes.lines[-1].get_xdata()) - 1
    assert np.ptp(np.diff(marked)) <= 2


def test_coarse_bins_end_at_powers_of_two_and_keep_seeds_apart() -> None:
    run = {"learner": "gpt", "pair": "p", "schedule": "s", "measure": "state_change"}
    table = pd.DataFrame(
        [run | {"seed": seed, "cycle": c, "value": c + seed} for seed in (0, 100) for c in range(1, 65)]
    )
    found = coarse(table, per_doubling=1)
    assert list(found["cycle"]) == [1, 2, 4, 8, 16, 32, 64] * 2
    assert list(found["value"][:4]) == [1.0, 2.0, 3.5, 6.5]
    assert list(found["value"][7:9]) == [101.0, 102.0]


def test_description() -> None:
    assert describe(one_line(1)) == "pair spacing · schedule shuffled · seed 0 · 64 cycles"
    assert "3 seeds: mean, and each as a thin line" in describe(one_line(3))
    assert "4 seeds: mean, and band from least to greatest" in describe(one_line(4))
    assert "mean of 4 seeds" in describe(one_line(4), spread=False)
