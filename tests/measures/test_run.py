from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from resonance.errors import UserError
from resonance.measures.run import Identity, read_run
from resonance.storage import write_table

NAMES = {"learner": "gpt", "pair": "spacing", "schedule": "shuffled", "seed": 3}


def test_chunks_are_joined(synthetic: Callable) -> None:
    run = synthetic().write()
    assert run.identity == Identity("gpt", "spacing", "shuffled", 3)
    assert run.log["cycle"].tolist() == [c for c in range(1, 9) for _ in range(4)]
    assert sorted(run.evaluations["cycle"].unique()) == [0, 1, 2, 4, 8]
    assert run.metadata["kept"] == 16
    assert run.log_metadata["cycle"] == 8


def test_order_of_the_paths_does_not_matter(synthetic: Callable) -> None:
    run = synthetic().write()
    kinds = (run.logs_files, run.evaluations_files, run.snapshots_files, run.stability_files, run.critiques_files)
    turned = read_run(*(files[::-1] for files in (*kinds, run.generations_files)))
    assert turned == run


def test_conditions_by_name_and_by_kind(synthetic: Callable) -> None:
    run = synthetic().write()
    assert set(run.asked("clean", "input:")["condition"]) == {"clean", "input:blank", "input:edited"}
    assert run.asked("input:paraphrase").empty


def test_kinds_that_were_not_given_are_empty(synthetic: Callable) -> None:
    run = read_run(logs=synthetic().write().logs_files)
    assert run.evaluations.empty
    assert run.asked("clean").empty
    assert run.snapshots.cycles == ()
    assert run.stability.empty
    assert run.critiques.empty
    assert run.generations.empty
    assert read_run(evaluations=synthetic().write().evaluations_files).log_metadata == {}


@pytest.mark.parametrize("other", [{"seed": 4}, {"run": "0123"}])
def test_files_of_two_runs_are_refused(other: dict[str, Any], synthetic: Callable, tmp_path: Path) -> None:
    run, path = synthetic().write(), tmp_path / "other.parquet"
    write_table(path, pa.table({"cycle": [1]}), NAMES | other)
    with pytest.raises(UserError, match="different runs"):
        read_run(logs=[*run.logs_files, path])


def test_names_come_from_the_files_or_from_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    write_table(path, pa.table({"cycle": [1]}), {"run": "0123"})
    with pytest.raises(UserError, match="does not say its learner"):
        read_run(logs=[path])
    assert read_run(logs=[path], identity=Identity("a", "b", "c", 1)).identity.learner == "a"
    write_table(path, pa.table({"cycle": [1]}), NAMES)
    assert read_run(logs=[path]).identity == Identity("gpt", "spacing", "shuffled", 3)


def test_no_file_is_no_run() -> None:
    with pytest.raises(UserError, match="no file"):
        read_run()


def test_a_cycle_in_two_files_is_refused(synthetic: Callable, tmp_path: Path) -> None:
    run = synthetic().write()
    copy = tmp_path / "evaluations" / "000000000009.parquet"
    copy.write_bytes(run.evaluations_files[0].read_bytes())
    with pytest.raises(ValueError, match="cycle 0"):
        _ = read_run(evaluations=[*run.evaluations_files, copy]).evaluations
