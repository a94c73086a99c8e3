"""What a head adds to place, time and doubt, on critiques whose heads and errors are planted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from resonance.measures import critics, nested
from resonance.measures.run import Identity, read_run
from resonance.storage import write_table

DIRECTIONS = ("1>2", "2>1", "1>1", "2>2")
KINDS = ("replaced", "dropped")
MARKS = (0, 1, 2, 4, 8, 16, 32)
LENGTH = 40

Planted = Callable[[pd.DataFrame, np.random.Generator], np.ndarray]
"""Critiques without estimates → log odds of the estimate of each row."""


def greedy(rates: int = 2) -> tuple[str, ...]:
    return ("own", *(f"corrupted:{kind}-{percent}" for kind in KINDS for percent in range(1, rates + 1)))


def critiques(head: Planted, seed: int = 0, sources: tuple[str, ...] = greedy()) -> pd.DataFrame:
    """Errors depend on the place (each has its own rate), the cycle, the network's doubt, and on a hidden cause."""
    rng = np.random.default_rng(seed)
    rows = product(MARKS, sources, DIRECTIONS, range(LENGTH))
    table = pd.DataFrame(rows, columns=["cycle", "source", "direction", "position"]).assign(window=0, head="critic")
    n = len(table)
    hard = dict(zip(product(DIRECTIONS, range(LENGTH)), rng.normal(0, 1.5, 4 * LENGTH), strict=True))
    table["hard"] = [hard[key] for key in zip(table["direction"], table["position"], strict=True)]
    table["doubt"], table["hidden"] = rng.normal(0, 1, n), rng.normal(0, 2, n)
    score = table["hard"] + table["doubt"] + table["hidden"] - 0.3 * np.log2(1 + table["cycle"])
    table["error"] = (rng.random(n) < 1 / (1 + np.exp(-score))) | (table["cycle"] == 0)
    table["confidence"] = 1 / (1 + np.exp(table["doubt"]))
    table["entropy"] = np.exp(table["doubt"])
    table["estimate"] = 1 / (1 + np.exp(-np.where(table["cycle"] == 0, 0.0, head(table, rng))))
    return table


def found(table: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    return dict(nested.nested(table))


def gains(head: Planted, seed: int = 0, rates: int = 2) -> tuple[float, float]:
    """The gain at later marks, and its mean over kinds of corruption."""
    scores = found(critiques(head, seed, greedy(rates)))
    return scores["later"]["auroc_gain"][0], float(np.mean(scores["unseen"]["auroc_gain"]))


def knowing(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    return table["hidden"].to_numpy() + rng.normal(0, 0.3, len(table))


def of_place(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Knows how hard every place is, to the last digit, and nothing else."""
    return table["hard"].to_numpy()


def of_doubt(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    return (table["doubt"] + 0.5 * table["position"] / LENGTH - 0.1 * np.log2(1 + table["cycle"])).to_numpy()


def of_time(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Learns in the course of a run how often all is wrong, and of later marks forgets it."""
    return (table["cycle"].map({0: 0, 1: 0, 2: 1, 4: 3, 8: 3, 16: 1, 32: -2}) + 0.1 * noise(table, rng)).to_numpy()


def noise(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 2, len(table))


def sure(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Of everything that it is right, to the last bit of float32."""
    return np.full(len(table), 60.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_head_that_knows_more_gains(seed):
    assert min(gains(knowing, seed)) > 0.1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("head", [of_doubt, of_time, noise, sure])
def test_a_head_that_knows_no_more_gains_nothing(head, seed):
    assert np.abs(gains(head, seed)).max() < 0.002


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rates", "most"), [(2, 0.02), (10, 0.004)])
def test_a_head_that_knows_places_gains_what_the_table_of_places_lacks(rates, most, seed):
    """It knows the rates themselves, the table the errors of three marks: 15 or 63 tokens for each place."""
    assert np.abs(gains(of_place, seed, rates)).max() < most


def test_the_head_of_place_would_gain_from_a_line_over_positions(monkeypatch):
    """Why each place has a weight of its own."""
    monkeypatch.setattr(nested, "STRENGTH", 1e9)
    assert gains(of_place)[0] > 0.03


def test_how_sure_a_head_is_from_mark_to_mark_does_not_matter():
    """In a network that learns both the head's estimates and the errors change with time, not always together."""

    def drifting(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        return knowing(table, rng) + 0.8 * table["cycle"].map(MARKS.index)

    assert gains(drifting) == pytest.approx(gains(knowing), abs=1e-9)


def test_marks_where_all_is_wrong_or_nothing_is_have_no_area():
    table = critiques(knowing)
    late = table["cycle"] > 4
    assert set(found(table.assign(error=np.where(late, table["cycle"] == 8, table["error"])))["later"]) == {
        "errors",
        "error_rate",
    }
    table.loc[table["cycle"] == 8, "error"] = True
    scores = found(table)["later"]
    assert scores["auroc_gain"][0] > 0.1


def test_a_head_that_knows_of_the_marks_it_was_fitted_at_alone_gains_nothing():
    def forgetful(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        return np.where(table["cycle"] <= 4, knowing(table, rng), noise(table, rng))

    assert max(gains(forgetful)) < 0


def test_a_head_that_knows_one_kind_of_corruption_gains_nothing_where_that_is_unseen():
    """Errors under the other kind are the opposite of what it says: what is learned of one misleads about the other."""

    def one_sided(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        dropped = table["source"].str.contains("dropped")
        return np.where(dropped, -1.0, 1.0) * knowing(table, rng)

    scores = found(critiques(one_sided))
    assert scores["later"]["auroc_gain"][0] > 0
    assert scores["unseen"]["auroc_gain"][0] < 0, "dropped, fitted on own and replaced"


def test_what_is_unseen_was_not_fitted():
    table = critiques(knowing)
    turned = table["source"].str.contains("dropped") & (table["cycle"] <= 4)
    before, after = found(table), found(table.assign(error=table["error"] ^ turned))
    dropped, replaced = zip(before["unseen"]["auroc_base"], after["unseen"]["auroc_base"], strict=True)
    assert dropped[0] == dropped[1]
    assert replaced[0] != replaced[1]
    assert before["later"]["auroc_base"] != after["later"]["auroc_base"]


def test_areas_are_those_of_scikit_learn():
    """One column of 0 and 1 for each place, no weight on the constant, the same ridge; mean over pairs of a mark."""

    def centred(rows: pd.DataFrame, values: pd.Series) -> pd.Series:
        return values - values.groupby(rows["cycle"]).transform("mean")

    table = critiques(knowing)
    early, late = table[table["cycle"].isin((1, 2, 4))], table[table["cycle"].isin((8, 16, 32))]
    areas = []
    for with_estimate in (False, True):
        features = []
        for rows in (early, late):
            columns = [
                rows["position"],
                np.log2(1 + rows["cycle"]),
                centred(rows, rows["entropy"]),
                centred(rows, np.log(rows["confidence"] / (1 - rows["confidence"]))),
            ]
            columns += [centred(rows, np.log(rows["estimate"] / (1 - rows["estimate"])))] if with_estimate else []
            features.append(np.stack(columns, axis=1))
        mean, spread = features[0].mean(0), features[0].std(0)
        place = [
            np.eye(4 * LENGTH)[rows["direction"].map(DIRECTIONS.index) * LENGTH + rows["position"]]
            for rows in (early, late)
        ]
        x, z = (np.hstack([(f - mean) / spread, p]) for f, p in zip(features, place, strict=True))
        fitted = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=100).fit(x, early["error"])
        marks = late.assign(score=fitted.decision_function(z)).groupby("cycle")
        each = [roc_auc_score(rows["error"], rows["score"]) for _, rows in marks]
        pairs = [rows["error"].sum() * (~rows["error"]).sum() for _, rows in marks]
        areas.append(np.dot(each, pairs) / sum(pairs))
    scores = found(table)["later"]
    assert scores["auroc_base"] == pytest.approx([areas[0]], abs=1e-9)
    assert scores["auroc_gain"] == pytest.approx([areas[1] - areas[0]], abs=1e-9)
    assert scores["errors"] == [late["error"].sum()]
    assert scores["error_rate"] == [late["error"].mean()]


def test_weights_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    x, place = rng.standard_normal((300, 3)), np.r_[np.arange(7), rng.integers(0, 7, 293)]
    e = rng.random(300) < 1 / (1 + np.exp(-(x @ [1, -2, 0] + place - 3)))
    weights, constant, places = nested.regression(x, place, e)
    fitted = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=100)
    fitted.fit(np.hstack([x, np.eye(7)[place]]), e)
    np.testing.assert_allclose(np.r_[weights, places], fitted.coef_[0], atol=1e-7)
    assert constant == pytest.approx(fitted.intercept_[0], abs=1e-7)


def test_weights_are_finite_where_a_threshold_parts_right_from_wrong():
    x = np.linspace(-1, 1, 50)[:, None] * 1e3
    weights, constant, places = nested.regression(x, np.zeros(50, np.intp), x[:, 0] > 0)
    assert np.isfinite([*weights, constant, *places]).all()
    assert weights[0] > 0


def test_the_first_half_of_the_marks_is_fitted_and_cycle_0_is_not():
    def cycles(*marks: int) -> list[list[int]]:
        return [sorted(part["cycle"].unique()) for part in nested.halves(pd.DataFrame({"cycle": marks}))]

    assert cycles(*MARKS) == [[1, 2, 4], [8, 16, 32]]
    assert cycles(1, 2, 4, 8) == [[1, 2], [4, 8]]
    assert cycles(0, 1, 2) == [[1], [2]]
    assert cycles(0, 1) == [[1], []]
    assert cycles(3) == [[3], []]
    assert cycles(0) == [[], []]


def test_drawn_and_controlled_outputs_are_left_out():
    table = critiques(knowing)
    others = critiques(noise, 1, ("sample", "controlled"))
    assert found(pd.concat([table, others])) == found(table)
    assert found(others) == {}


def test_without_corruption_nothing_is_unseen():
    assert set(found(critiques(knowing, 0, ("own",)))) == {"later"}


def test_one_early_mark_says_nothing_of_time():
    """The cycle does not vary there: it must not weigh at later marks, where it does."""
    table = critiques(knowing)
    scores = found(table[table["cycle"].isin((1, 32))])
    assert scores["later"]["auroc_gain"][0] > 0.1


def test_places_that_are_new_at_later_marks_have_no_weight():
    table = critiques(knowing)
    longer = table[table["cycle"] > 4].assign(position=table["position"] + LENGTH)
    scores = found(pd.concat([table[table["cycle"] <= 4], longer]))
    assert scores["later"]["auroc_gain"][0] > 0.1


@pytest.mark.parametrize(("share", "length"), [(0.01, LENGTH), (0.99, LENGTH), (0.5, 4)])
def test_too_few_errors_or_too_many_leave_it_undecided(share, length):
    """The errors are counted and nothing else is said."""
    table = critiques(knowing, 0, ("own", "corrupted:dropped-5"))
    table = table[table["position"] < length]
    rare = table["cycle"] > 4
    table.loc[rare, "error"] = np.random.default_rng(0).random(rare.sum()) < share
    scores = found(table)
    late = table[rare]
    assert scores["later"] == {"errors": [late["error"].sum()], "error_rate": [late["error"].mean()]}
    assert set(scores["unseen"]) == {"errors", "error_rate"}


def test_nothing_is_fitted_where_all_is_wrong():
    table = critiques(knowing)
    table.loc[table["cycle"] <= 4, "error"] = True
    assert set(found(table)["later"]) == {"errors", "error_rate"}


def test_what_one_kind_cannot_say_is_not_averaged_over_the_others():
    table = critiques(knowing)
    table.loc[table["source"].str.contains("dropped") & (table["cycle"] > 4), "error"] = False
    scores = found(table)
    assert scores["unseen"]["errors"][0] == 0
    assert scores["unseen"]["errors"][1] > 100
    assert set(scores["unseen"]) == {"errors", "error_rate"}


def test_rows_of_a_run_stand_at_its_last_mark(tmp_path: Path):
    table = critiques(knowing).drop(columns=["hard", "doubt", "hidden"])
    table = table.assign(distance=np.nan, suffix=0.0, surprisal=0.0, deviation=0.0)
    table["source"] = table["source"].astype("category")
    write_table(tmp_path / "a", pa.Table.from_pandas(table, preserve_index=False), {})
    run = read_run(critiques=[tmp_path / "a"], identity=Identity("gpt", "spacing", "shuffled", 3))
    rows = [row for row in critics.measure(run) if row.condition in ("critic:later", "critic:unseen")]
    assert {row.cycle for row in rows} == {32}
    by_name = {(row.condition, row.measure): row for row in rows}
    assert {name for _, name in by_name} == {"errors", "error_rate", "auroc_base", "auroc_gain"}
    assert len(by_name) == len(rows) == 8
    for (condition, name), row in by_name.items():
        numbers = found(table)[condition.removeprefix("critic:")][name]
        assert row.value == pytest.approx(np.mean(numbers))
        assert (row.low, row.high) == ((None, None) if len(numbers) == 1 else (min(numbers), max(numbers)))
