"""What comes back of linked clauses when states are put back, from planted findings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from measures.conftest import Synthetic
from measures.interventions import run, table

from resonance.measures import patching
from resonance.measures.patching import MEASURES, share

LINKS = [[0, 3], [1, 1], [2, 5], [3, 0], [4, 2]]
ITEMS, CLAUSES = (0, 2, 3), 8
STAKE = np.array([4.0, 1, 0, 8, 2, 2, 1, 6])
"""Nats of each target clause; nothing is at stake in clause 2."""


def findings(
    gained: Mapping[tuple[int, int, int], float],
    moved: float = 0.1,
    stake: np.ndarray = STAKE,
    direction: str = "1>2",
) -> list[dict[str, Any]]:
    """gained: share that comes back by (layer, item, other); moved: the share that other places bring back."""
    common = {"cycle": 4, "experiment": "patching", "direction": direction}
    rows = []
    for other in range(CLAUSES):
        here = common | {"other": other}
        low = -10.0 - other
        rows += [here | {"quantity": "corrupted", "value": low}]
        rows += [here | {"quantity": "clean", "value": low + stake[other]}]
        for layer in range(3):
            for item in ITEMS:
                for quantity, part in (("patched", gained.get((layer, item, other), 0.25)), ("moved", moved)):
                    value = low + part * stake[other]
                    rows += [here | {"quantity": quantity, "layer": layer, "item": item, "value": value}]
    return rows


@pytest.fixture
def snapshots(tmp_path: Path) -> tuple[Path, ...]:
    return Synthetic(tmp_path, links=LINKS).write().snapshots_files


def measured(folder: Path, snapshots: tuple[Path, ...], rows: list[dict[str, Any]]) -> pd.DataFrame:
    return table(patching, run(folder, rows, snapshots_files=snapshots)).set_index(["measure", "layer"]).sort_index()


PLANTED = {(1, 0, 3): 1.0, (1, 2, 5): 0.5, (1, 3, 0): 0.75}
"""All that is special: linked clauses come back behind layer 1."""


def test_the_layer_through_which_linked_clauses_come_back(tmp_path: Path, snapshots: tuple[Path, ...]) -> None:
    found = measured(tmp_path, snapshots, findings(PLANTED))
    value = found["value"]
    recovery = (1.0 * 8 + 0.5 * 2 + 0.75 * 4) / (8 + 2 + 4)
    assert value["patched_recovery", 1] == pytest.approx(recovery), "sums before the ratio"
    assert value["patched_recovery_other", 1] == pytest.approx(0.25)
    assert value["patched_gain", 1] == pytest.approx(recovery - 0.25)
    assert value["patched_gain", 0] == pytest.approx(0)
    assert value["patched_recovery_moved", 2] == pytest.approx(0.1)
    assert value.xs("patched_layer").tolist() == [1]
    assert value.xs("patched_stake").tolist() == [pytest.approx(14 / 3)]
    null = found.loc["patched_gain_null", 1]
    assert null["high"] < value["patched_gain", 1]
    assert null["low"] <= null["value"] <= null["high"]
    assert null["value"] < 0, "the linked clauses are among the others then"
    assert set(found.index.get_level_values("measure")) == set(MEASURES)


def test_the_other_direction_looks_from_the_other_side(tmp_path: Path, snapshots: tuple[Path, ...]) -> None:
    turned = {(1, item, other): 1.0 for other, item in LINKS if item in ITEMS}
    found = measured(tmp_path, snapshots, findings(turned, direction="2>1"))
    assert found["value"]["patched_recovery", 1] == pytest.approx(1)
    assert set(found["direction"]) == {"2>1"}


def test_where_nothing_is_at_stake_no_share_is_named(tmp_path: Path, snapshots: tuple[Path, ...]) -> None:
    value = measured(tmp_path, snapshots, findings(PLANTED, stake=STAKE / 100))["value"]
    assert value.xs("patched_stake").tolist() == [pytest.approx(0.14 / 3)]
    assert value.drop("patched_stake").isna().all()


def test_a_corruption_that_helps_is_nothing_to_bring_back() -> None:
    gained_AB, links_AB = np.ones((1, 2)), np.array([[True, False]])
    assert np.isnan(share(gained_AB, np.array([-3.0, 1]), links_AB))
    assert share(gained_AB, np.array([2.0, 1]), links_AB) == 0.5


def test_chance_is_inside_the_null(tmp_path: Path, snapshots: tuple[Path, ...]) -> None:
    inside = 0
    for seed in range(12):
        draws = np.random.default_rng(seed)
        anything = {(layer, item, other): draws.random() for layer in (1,) for item in ITEMS for other in range(8)}
        found = measured(tmp_path, snapshots, findings(anything))
        null = found.loc["patched_gain_null", 1]
        inside += null["low"] <= found["value"]["patched_gain", 1] <= null["high"]
    assert inside >= 9


def test_no_row_where_no_clause_could_be_put_back(tmp_path: Path, snapshots: tuple[Path, ...]) -> None:
    rows = [row for row in findings({}) if row["quantity"] in ("clean", "corrupted")]
    assert not list(patching.measure(run(tmp_path, rows, snapshots_files=snapshots)))
    assert not list(patching.measure(run(tmp_path, [{**rows[0], "experiment": "anchors"}])))
