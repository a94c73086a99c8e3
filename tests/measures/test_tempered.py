from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from measures.interventions import run, table

from resonance.measures import tempered
from resonance.measures.tempered import crossed
from resonance.storage import write_table


def test_each_half_is_judged_at_the_temperature_of_the_other() -> None:
    nll_HT = np.array([[5.0, 3.0, 4.0], [9.0, 8.0, 7.0]])
    assert crossed(nll_HT) == (4.0 + 8.0, [1, 2])


def test_overconfidence_alone_costs_nothing_after_a_temperature(tmp_path: Path) -> None:
    """Scores that are k times too large are put right by the temperature k."""
    scores = np.random.default_rng(0).normal(size=(400, 12)) * 1.5
    target = np.array([np.random.default_rng(n).choice(12, p=softmax(row)) for n, row in enumerate(scores)])
    rows = []
    for cycle, factor in ((0, 1.0), (8, 4.0)):
        for other in range(-4, 13):
            temperature = 2 ** (other / 4)
            nll = -np.log(
                np.array([softmax(row * factor / temperature)[t] for row, t in zip(scores, target, strict=True)])
            )
            for item, half in enumerate((nll[:200], nll[200:])):
                common = {"cycle": cycle, "experiment": "tempered", "quantity": "nll:target:unrelated"}
                rows.append({**common, "item": item, "other": other, "value": float(half.sum())})
    evaluations = tmp_path / "evaluations.parquet"
    write_table(evaluations, pa.table({"cycle": pa.array([0])}), {"bytes": {"unrelated": 1000}})
    found = table(tempered, run(tmp_path, rows, evaluations_files=(evaluations,))).set_index(["cycle", "measure"])
    assert (found["condition"] == "target:unrelated").all()
    cost = found["value"].xs("bits_per_byte_tempered", level="measure")
    assert cost[8] == pytest.approx(cost[0], rel=0.01)
    assert cost[0] == pytest.approx(
        -np.log([softmax(r)[t] for r, t in zip(scores, target, strict=True)]).sum() / log(2) / 1000, rel=0.02
    )
    assert found["value"][8, "temperature"] == pytest.approx(4 * found["value"][0, "temperature"], rel=0.01)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def test_no_row_where_nothing_was_asked(tmp_path: Path) -> None:
    assert table(tempered, run(tmp_path, [])).empty
