from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from resonance.errors import UserError
from resonance.measures.run import Identity
from resonance.measures.table import SCHEMA, Row, as_table, concatenate, definitions, write_family
from resonance.storage import read_made_by, read_table, write_table

GPT = Identity("gpt", "spacing", "shuffled", 3)


def test_rows_become_the_schema() -> None:
    table = as_table(GPT, [Row(4, "nll", 1.5, direction="1>2"), Row(8, "cka", float("nan"), 0.1, 0.9, layer=2)])
    assert table.schema.equals(SCHEMA, check_metadata=True)
    first, second = table.to_pylist()
    assert (first["seed"], first["cycle"], first["value"], first["low"]) == (3, 4, 1.5, None)
    assert (first["layer"], first["direction"], first["condition"]) == (None, "1>2", None)
    assert (second["layer"], second["value"], second["high"]) == (2, None, 0.9)


def test_no_rows_still_have_the_schema() -> None:
    assert as_table(GPT, []).schema.equals(SCHEMA)


def test_numbers_in_names_reach_the_definition() -> None:
    measures = {"length_<k>": {"formula": "after <k> tokens"}, "nll": {"formula": "mean"}}
    assert definitions(measures, ["length_8", "length_8", "nll"]) == {
        "length_8": {"formula": "after 8 tokens"},
        "nll": {"formula": "mean"},
    }
    with pytest.raises(ValueError, match="'length_' is not defined"):
        definitions(measures, ["length_"])


def test_a_file_says_what_it_holds_and_opens_in_pandas(synthetic: Callable, tmp_path: Path) -> None:
    out = tmp_path / "loss.parquet"
    write_family(out, "loss", synthetic().write(), {"run": "abc"})
    about = read_made_by(out)
    assert (about["kind"], about["family"], about["run"]) == ("measures", "loss", "abc")
    assert about["measures"]["nll"]["unit"] == "nat/token"
    frame = pd.read_parquet(out)
    assert set(frame["measure"].unique()) == set(about["measures"])
    assert (frame["learner"] == "gpt").all()


def test_equal_runs_give_equal_bytes(synthetic: Callable, tmp_path: Path) -> None:
    run = synthetic(later=lambda v, cycle, rng: v + rng.standard_normal(v.shape)).write()
    for name in ("a", "b"):
        write_family(tmp_path / name, "similarity", run)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_unknown_family_is_named(synthetic: Callable, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'losses' is not a family"):
        write_family(tmp_path / "x", "losses", synthetic().write())


def part(path: Path, family: str, learner: str, rows: list[Row], measures: dict[str, dict[str, str]]) -> Path:
    made_by = {"kind": "measures", "family": family, "measures": measures}
    write_table(path, as_table(Identity(learner, "p", "s", 0), rows), made_by)
    return path


def test_tables_are_joined_in_order_with_all_definitions(tmp_path: Path) -> None:
    nll, bits = {"nll": {"unit": "nat"}}, {"bits": {"unit": "bit"}}
    paths = [
        part(tmp_path / "1", "loss", "rwkv7", [Row(0, "nll", 1.0)], nll),
        part(tmp_path / "2", "loss", "gpt", [Row(0, "bits", 2.0, direction="1>1")], bits),
        part(tmp_path / "3", "loss", "idle", [], {}),
    ]
    concatenate(paths, tmp_path / "all", {"made": "here"})
    table = read_table(tmp_path / "all")
    assert table.schema.equals(SCHEMA)
    assert table["learner"].to_pylist() == ["rwkv7", "gpt"]
    assert table["value"].to_pylist() == [1.0, 2.0]
    about = read_made_by(tmp_path / "all")
    assert about == {"kind": "measures", "family": "loss", "measures": nll | bits, "made": "here"}


def test_only_one_family_is_joined(tmp_path: Path) -> None:
    paths = [part(tmp_path / "1", "loss", "a", [], {}), part(tmp_path / "2", "probes", "a", [], {})]
    with pytest.raises(UserError, match="loss and probes"):
        concatenate(paths, tmp_path / "all")
    with pytest.raises(UserError, match="no family"):
        concatenate([], tmp_path / "all")


def test_words_of_all_files_survive(tmp_path: Path) -> None:
    """Each file has a dictionary of its own."""
    rows = [[Row(0, "nll", 0.0, direction=d)] for d in ("2>2", "1>2", "2>2")]
    paths = [part(tmp_path / str(i), "loss", f"l{i}", own, {}) for i, own in enumerate(rows)]
    concatenate(paths, tmp_path / "all")
    table = read_table(tmp_path / "all")
    assert table["direction"].to_pylist() == ["2>2", "1>2", "2>2"]
    assert isinstance(table["direction"].type, pa.DictionaryType)
