from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resonance.measures.edits import MEASURES, measure
from resonance.measures.run import RunData

DRAWS = range(8)


def with_findings(run: RunData, rows: list[dict[str, Any]]) -> RunData:
    """The run with these findings, beside those of another experiment."""
    other = {"cycle": 4, "experiment": "tempered", "quantity": "nll", "value": 1.0}
    run.__dict__["interventions"] = pd.DataFrame([other, *rows]).astype(
        {"experiment": "category", "quantity": "category"}
    )
    return run


def found_in(items: tuple[int, ...] = (0, 1)) -> list[dict[str, Any]]:
    """Two directions of values 1 and 3 tenths; a random draw adds its number."""
    rows = []
    for item, (direction, value), layer in product(items, (("1>2", 0.1), ("2>1", 0.3)), (2, 3)):
        here = {"cycle": 4, "experiment": "edits", "direction": direction, "layer": layer, "item": item}
        rows += [here | {"quantity": name, "value": value + item} for name in ("drift", "outside")]
        rows += [
            here | {"quantity": f"{name}_random", "value": value + item + number, "other": number}
            for name, number in product(("drift", "outside"), DRAWS)
        ]
    return rows


def test_means_over_directions_and_what_is_so_by_chance(synthetic: Callable) -> None:
    rows = list(measure(with_findings(synthetic().write(), found_in())))
    found = {(r.measure, r.layer, r.condition): r for r in rows}
    assert len(found) == len(rows) == 4 * 2 * 2
    assert {r.measure for r in rows} == set(MEASURES)
    for layer, (item, condition) in product((2, 3), enumerate(("unedited", "edited"))):
        for name in ("drift_downstream", "outside_share"):
            row = found[name, layer, condition]
            assert (row.cycle, row.value) == (4, pytest.approx(0.2 + item))
            assert row.low is row.high is row.direction is None
        for name in ("drift_random", "outside_share_random"):
            row = found[name, layer, condition]
            drawn = np.arange(8) + 0.2 + item
            assert row.value == pytest.approx(drawn.mean())
            assert (row.low, row.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))


def test_where_all_places_are_edited_there_is_no_row_of_others(synthetic: Callable) -> None:
    rows = list(measure(with_findings(synthetic().write(), found_in((1,)))))
    assert {r.condition for r in rows} == {"edited"}


def test_edits_that_moved_nothing_have_a_drift_and_no_share(synthetic: Callable) -> None:
    kept = [row for row in found_in() if not row["quantity"].startswith("outside")]
    rows = list(measure(with_findings(synthetic().write(), kept)))
    assert {r.measure for r in rows} == {"drift_downstream", "drift_random"}


def test_no_row_without_edits(synthetic: Callable) -> None:
    assert not list(measure(with_findings(synthetic().write(), [])))
    run = synthetic().write()
    run.__dict__["interventions"] = pd.DataFrame()
    assert not list(measure(run))
