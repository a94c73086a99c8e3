from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from measures.conftest import Synthetic
from measures.interventions import run, table

from resonance.measures import matching

LINKS = [[0, 3], [1, 1], [2, 5], [3, 0], [4, 2]]
CLAUSES = 10


def findings(score: np.ndarray, direction: str, hidden: list[list[int]]) -> list[dict[str, object]]:
    common = {"cycle": 4, "experiment": "matching", "direction": direction}
    rows = [
        {**common, "item": i, "other": j, "quantity": "score", "value": float(score[i, j])}
        for i in range(len(score))
        for j in range(score.shape[1])
    ]
    return rows + [{**common, "item": i, "other": j, "quantity": "hidden", "value": 1.0} for i, j in hidden]


@pytest.fixture
def snapshots(tmp_path: Path) -> tuple[Path, ...]:
    return Synthetic(tmp_path, links=LINKS).write().snapshots_files


def measured(
    folder: Path, snapshots: tuple[Path, ...], score: np.ndarray, hidden: list[list[int]] = ()
) -> dict[str, float]:  # type: ignore[assignment]
    rows = findings(score, "1>2", list(hidden))
    return table(matching, run(folder, rows, snapshots_files=snapshots)).set_index("measure")["value"].to_dict()


def test_a_learner_that_knows_all_links_but_likes_some_clauses_better_than_others(tmp_path, snapshots) -> None:
    score = np.zeros((CLAUSES, CLAUSES)) + 10 * np.arange(CLAUSES)
    for i, j in LINKS:
        score[i, j] += 1
    assert measured(tmp_path, snapshots, score)["mrr_likelihood"] == 1


def test_chance_is_inside_the_null(tmp_path, snapshots) -> None:
    inside = 0
    for seed in range(20):
        score = np.random.default_rng(seed).normal(size=(CLAUSES, CLAUSES))
        found = table(matching, run(tmp_path, findings(score, "1>2", []), snapshots_files=snapshots)).set_index(
            "measure"
        )
        null = found.loc["mrr_likelihood_null"]
        inside += null["low"] <= found["value"]["mrr_likelihood"] <= null["high"]
    assert inside >= 14


def test_hidden_links_are_judged_alone_beside_what_needs_no_network(tmp_path, snapshots) -> None:
    score = np.zeros((CLAUSES, CLAUSES))
    for i, j in LINKS[:3]:
        score[i, j] = 1
    found = measured(tmp_path, snapshots, score, LINKS[3:])
    assert found["hidden"] == 2
    assert found["mrr_hidden"] < 0.5 < found["mrr_likelihood"] < 1
    assert {"mrr_hidden_lexical", "mrr_hidden_position"} <= set(found)
    assert "mrr_hidden" not in measured(tmp_path, snapshots, score)


def test_the_other_direction_looks_from_the_other_side(tmp_path, snapshots) -> None:
    score = np.zeros((CLAUSES, CLAUSES))
    for i, j in LINKS:
        score[j, i] = 1
    found = table(matching, run(tmp_path, findings(score, "2>1", []), snapshots_files=snapshots)).set_index("measure")
    assert found["value"]["mrr_likelihood"] == 1
    assert (found["direction"] == "2>1").all()
