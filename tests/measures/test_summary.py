from collections.abc import Callable
from pathlib import Path

import pytest

from resonance.errors import UserError
from resonance.measures import FAMILIES
from resonance.measures.run import Identity
from resonance.measures.summary import summarise
from resonance.measures.table import Row, as_table, write_family
from resonance.storage import write_json, write_table


def write(path: Path, rows: list[Row], learner: str = "gpt", seed: int = 0) -> Path:
    write_table(path, as_table(Identity(learner, "p", "s", seed), rows), {"kind": "measures"})
    return path


def clean(cycle: int, direction: str, value: float) -> Row:
    return Row(cycle, "nll", value, direction=direction, condition="clean")


def test_the_end_of_each_run_counts_once(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a", [clean(1, "1>2", 9.0), clean(4, "1>2", 1.0), clean(4, "2>1", 3.0)]),
        write(tmp_path / "b", [clean(8, "1>2", 6.0)], seed=1),
        write(tmp_path / "c", [clean(8, "1>2", 100.0)], learner="rwkv7"),
    ]
    metrics = summarise("gpt", paths)
    assert metrics == {"runs": 2, "cycles": 8, "loss": pytest.approx((2 + 6) / 2)}


def test_layers_are_represented_by_the_last(tmp_path: Path) -> None:
    rows = [Row(4, "cka", 0.1 * layer, layer=layer, direction="1>1", condition="target") for layer in range(4)]
    rows.append(Row(4, "rotation_share", None, layer=3, condition="probes"))
    metrics = summarise("gpt", [write(tmp_path / "a", rows)])
    assert metrics["cka_target"] == pytest.approx(0.3)
    assert "rotation_share" not in metrics


def test_a_whole_run(synthetic: Callable, tmp_path: Path) -> None:
    run = synthetic(later=lambda v, cycle, rng: v + rng.standard_normal(v.shape)).write()
    for family in FAMILIES:
        write_family(tmp_path / f"{family}.parquet", family, run)
    metrics = summarise("gpt", [tmp_path / f"{family}.parquet" for family in FAMILIES])
    assert metrics["loss"] == pytest.approx(4 / 9)
    assert metrics["exact_continuation_8"] == 1
    assert metrics["input_effect_blank"] == pytest.approx(0.5)
    assert metrics["store_share"] == 0.5
    assert 0.5 < metrics["drift_pair"] < 1.5
    assert "state_change" not in metrics
    write_json(tmp_path / "gpt.json", metrics)


def test_an_unknown_learner_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [clean(1, "1>2", 1.0)])
    for paths in ([path], []):
        with pytest.raises(UserError, match="'ema'"):
            summarise("ema", paths)
