from __future__ import annotations

from pathlib import Path

import pytest
from measures.interventions import run, table

from resonance.measures import induction


def rows(cycle: int, planted: dict[str, tuple[float, float]]) -> list[dict[str, object]]:
    common = {"cycle": cycle, "experiment": "induction"}
    return [
        {**common, "quantity": quantity, "item": item, "value": value}
        for quantity, values in planted.items()
        for item, value in enumerate(values)
    ]


def test_scores_are_what_is_saved(tmp_path: Path) -> None:
    planted = {"first": (8.0, 9.0), "second": (2.0, 1.0), "other": (7.0, 8.5), "accuracy": (0.5, 1.0)}
    found = table(induction, run(tmp_path, [*rows(0, planted), *rows(8, {**planted, "second": (8.0, 9.0)})]))
    about = found.set_index(["cycle", "measure", "condition"])[["value", "low", "high"]]
    assert about.loc[(0, "induction_score", None)].tolist() == [7, 6, 8]
    assert about.loc[(0, "induction_score_net", None)].tolist() == [6.25, 5, 7.5]
    assert about.loc[(0, "induction_accuracy", None)].tolist() == [0.75, 0.5, 1]
    assert about.loc[(0, "induction_nll", "first"), "value"] == 8.5
    assert about.loc[(0, "induction_nll", "second"), "value"] == 1.5
    assert about.loc[(0, "induction_nll", "other"), "value"] == 7.75
    assert about.loc[(8, "induction_score", None), "value"] == 0
    assert about.loc[(8, "induction_score_net", None), "value"] == pytest.approx(-0.75)
    assert "prefix_matching" not in set(found["measure"])


def test_the_best_head_of_each_layer(tmp_path: Path) -> None:
    heads = [
        {"cycle": 8, "experiment": "induction", "quantity": "prefix_matching", "layer": layer, "item": head, "value": v}
        for layer, head, v in ((1, 0, 0.1), (1, 1, 0.9), (2, 0, 0.3), (2, 1, 0.2))
    ]
    planted = {"first": (8.0,), "second": (2.0,), "other": (7.0,), "accuracy": (0.5,)}
    found = table(induction, run(tmp_path, [*rows(8, planted), *heads]))
    best = found[found["measure"] == "prefix_matching"]
    assert best[["layer", "value"]].to_numpy().tolist() == [[1, 0.9], [2, 0.3]]


def test_no_row_where_nothing_was_asked(tmp_path: Path) -> None:
    assert table(induction, run(tmp_path, [])).empty
    other = {"cycle": 0, "experiment": "tempered", "quantity": "first", "item": 0, "value": 1.0}
    assert table(induction, run(tmp_path, [other])).empty
