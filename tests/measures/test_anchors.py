from __future__ import annotations

from pathlib import Path

import pytest
from measures.interventions import run, table

from resonance.measures import anchors


def findings(cycle: int, own: list[float], before: list[float], sham: list[float]) -> list[dict[str, object]]:
    columns = {"own": own, "own_before": before, "sham": sham, "sham_before": [-5.0] * len(sham)}
    return [
        {"cycle": cycle, "experiment": "anchors", "direction": "1>2", "item": item, "quantity": name, "value": value}
        for name, values in columns.items()
        for item, value in enumerate(values)
    ]


def test_shares_and_changes(tmp_path: Path) -> None:
    rows = findings(0, [-1, -1, -1, -1], [-1, -1, -1, -1], [-5, -5, -5, -5])
    rows += findings(8, [4, 2, -1, 3], [-4, -4, -4, -4], [-5, 1, -5, -5])
    found = table(anchors, run(tmp_path, rows)).set_index(["cycle", "measure"])
    assert (found["direction"] == "1>2").all()
    assert found["value"][0, "follow_share"] == 0
    assert found["value"][8, "follow_share"] == 0.75
    assert found["value"][8, "follow_share_sham"] == 0.25
    assert found["value"][8, "follow"] == pytest.approx(6)
    assert tuple(found.loc[(8, "follow"), ["low", "high"]]) == (3, 8)
    assert found["value"][8, "follow_sham"] == pytest.approx(1.5)
    assert found["value"][8, "number"] == 4


def test_no_row_of_a_pair_without_anchors(tmp_path: Path) -> None:
    assert table(anchors, run(tmp_path, [])).empty
