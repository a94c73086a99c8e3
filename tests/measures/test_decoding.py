from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from resonance.measures import decoding
from resonance.measures.run import Identity, RunData
from resonance.measures.table import Row, write_family
from resonance.storage import read_table, write_table


def rows(run: RunData) -> dict[tuple[object, ...], Row]:
    return {(r.cycle, r.direction, r.condition, r.measure): r for r in decoding.measure(run)}


def test_every_number_of_steps_has_its_own_rows(synthetic: Callable) -> None:
    found = rows(synthetic(steps=(1, 2, 16)).write())
    assert {measure for *_, measure in found} == {f"{name}_{k}" for name in ("match", "exact") for k in (1, 2, 16)}
    assert len(found) == 5 * 4 * 2 * 3 * 2
    assert found[4, "2>1", "greedy", "match_2"].value == 1 - 1 / 8
    assert found[4, "2>1", "greedy", "exact_2"].value == 0
    assert found[0, "2>1", "greedy", "exact_2"].value == 1


def test_random_texts_count_together(synthetic: Callable) -> None:
    found = rows(synthetic(steps=(1, 2)).write())
    assert found[2, "1>1", "random", "match_2"].value == pytest.approx((0.375 + 0.75) / 2)
    assert found[0, "1>1", "random", "exact_1"].value == 0.5


def test_the_learners_own_way_is_not_counted(synthetic: Callable, tmp_path: Path) -> None:
    """A causal network has no other, and no rows."""
    write_family(tmp_path / "none", "decoding", synthetic().write())
    assert len(read_table(tmp_path / "none")) == 0
    assert rows(RunData(Identity("gpt", "spacing", "shuffled", 3))) == {}


def test_one_wrong_token_in_a_long_text_is_not_exact(tmp_path: Path) -> None:
    said = {"cycle": 1, "direction": "1>2", "match": 1 - 1 / 3000, "steps": 1, "draw": None}
    kinds = {"cycle": pa.int64(), "direction": pa.string(), "match": pa.float64(), "steps": pa.int32()}
    write_table(tmp_path / "a", pa.Table.from_pylist([said], pa.schema(kinds | {"draw": pa.int16()})), {})
    found = rows(RunData(Identity("gpt", "spacing", "shuffled", 3), generations_files=(tmp_path / "a",)))
    assert found[1, "1>2", "greedy", "exact_1"].value == 0
