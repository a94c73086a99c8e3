from collections.abc import Callable
from itertools import product
from typing import Any

import pandas as pd
import pytest

from resonance.measures.run import RunData
from resonance.measures.stitching import MEASURES, measure, shares
from resonance.measures.table import Row

LOSS = {"own": 1.0, "none": 5.0, "shift": 4.5, "rotation": 2.0, "rotation_null": 6.0, "affine": 1.5}
DIVERGENCE = {"none": 4.0, "shift": 3.0, "rotation": 2.0, "rotation_null": 5.0, "affine": 1.0}
DIRECTIONS = ("1>2", "2>1", "1>1", "2>2")


def with_findings(run: RunData, rows: list[dict[str, Any]]) -> RunData:
    """The run with these findings, beside those of another experiment."""
    other = {"cycle": 4, "experiment": "anchors", "direction": "1>2", "quantity": "own", "value": 1.0, "item": 0}
    run.__dict__["interventions"] = pd.DataFrame([other, *rows]).astype(
        {"experiment": "category", "direction": "category", "quantity": "category"}
    )
    return run


def stitched(**changes: float) -> list[dict[str, Any]]:
    """Four directions and two probes, two layers; the second probe and the first direction cost 0.4 more."""
    places = [("pair", direction, None) for direction in DIRECTIONS] + [("probe", "1>2", item) for item in (2, 4)]
    quantities = LOSS | {f"{name}_divergence": value for name, value in DIVERGENCE.items()} | changes
    return [
        {
            "cycle": 4,
            "experiment": "stitching",
            "direction": direction,
            "layer": layer,
            "item": item,
            "quantity": f"{kind}_{name}",
            "value": value + 0.4 * (item == 4 or (kind == "pair" and direction == "1>2")),
        }
        for (kind, direction, item), layer, (name, value) in product(places, (1, 2), quantities.items())
    ]


@pytest.fixture
def rows(synthetic: Callable) -> list[Row]:
    return list(measure(with_findings(synthetic().write(), stitched())))


def test_losses_and_divergences_per_direction(rows: list[Row]) -> None:
    found = {(r.measure, r.layer, r.direction, r.condition): r.value for r in rows if r.direction}
    assert len(found) == 2 * (4 + 1) * (len(LOSS) + len(DIVERGENCE))
    assert {r.cycle for r in rows} == {4}
    for name, value in LOSS.items():
        assert found[f"stitch_{name}", 1, "2>1", "pair"] == pytest.approx(value)
        assert found[f"stitch_{name}", 2, "1>2", "pair"] == pytest.approx(value + 0.4)
        assert found[f"stitch_{name}", 2, "1>2", "probe"] == pytest.approx(value + 0.2), "mean over probes"
    assert found["divergence_rotation", 1, "2>2", "pair"] == pytest.approx(2.0)


def test_shares_of_means_over_directions(rows: list[Row]) -> None:
    found = {(r.measure, r.layer, r.condition): r.value for r in rows if r.direction is None}
    assert found["stitch_recovery", 1, "pair"] == pytest.approx(3 / 3.5)
    assert found["stitch_recovery_null", 2, "probe"] == pytest.approx(-1 / 3.5)
    assert found["stitch_recovery_shift", 2, "pair"] == pytest.approx(0.5 / 3.5)
    assert found["stitch_restored", 2, "pair"] == pytest.approx(3 / 4)
    assert found["divergence_recovery", 1, "probe"] == pytest.approx(2 / 3)
    assert found["divergence_restored", 1, "pair"] == pytest.approx(2 / 4.1)
    assert {name for name, _, _ in found} == {name for name in MEASURES if "recovery" in name or "restored" in name}


def test_every_measure_is_there_and_defined(rows: list[Row]) -> None:
    assert {r.measure for r in rows} == set(MEASURES)


@pytest.mark.parametrize(
    ("changes", "gone", "there"),
    [
        ({"affine": 4.96}, {"stitch_recovery"}, {"stitch_restored", "divergence_recovery"}),
        ({"affine_divergence": 3.96}, {"divergence_recovery"}, {"divergence_restored", "stitch_recovery"}),
        ({"own": 5.1}, {"stitch_recovery", "stitch_restored"}, {"divergence_recovery"}),
        ({"none_divergence": 0.04}, {"divergence_restored"}, {"stitch_restored"}),
    ],
)
def test_where_too_little_is_at_stake_no_share_is_named(
    changes: dict[str, float], gone: set[str], there: set[str]
) -> None:
    means = LOSS | {f"{name}_divergence": value for name, value in DIVERGENCE.items()} | changes
    found = shares(means)
    assert all(found[name] != found[name] for name in gone)
    assert all(found[name] == found[name] for name in there)


def test_no_row_without_stitching(synthetic: Callable) -> None:
    assert not list(measure(with_findings(synthetic().write(), [])))
    run = synthetic().write()
    run.__dict__["interventions"] = pd.DataFrame()
    assert not list(measure(run))
