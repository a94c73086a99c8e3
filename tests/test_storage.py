from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from safetensors import SafetensorError

from resonance.errors import UserError
from resonance.networks.tensors import write_tensors
from resonance.storage import (
    KEY,
    read_made_by,
    read_table,
    sha256,
    write_json,
    write_table,
    write_text,
    written,
)

MADE_BY = {"kind": "test", "run": "0123456789abcdef"}


def table(rows: int = 1000) -> pa.Table:
    draws = np.random.default_rng(0)
    return pa.table({"cycle": np.arange(rows), "loss": draws.random(rows)})


def write_a_table(path: Path) -> None:
    write_table(path, table(), MADE_BY)


def write_an_object(path: Path) -> None:
    write_json(path, {"numbers": list(range(9999))})


def write_a_text(path: Path) -> None:
    write_text(path, "a" * 99_999)


def write_some_tensors(path: Path) -> None:
    write_tensors(path, {"weight": torch.arange(9999.0)}, MADE_BY)


WRITERS = [write_a_table, write_an_object, write_a_text, write_some_tensors]


@pytest.mark.parametrize("write", WRITERS)
def test_equal_content_gives_equal_bytes_and_nothing_beside(write: Callable[[Path], None], tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / "a folder" / name)
    one, two = (tmp_path / "a folder" / name for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in one.parent.iterdir()) == ["one", "two"]
    assert one.stat().st_mode & 0o777 == 0o644


FULL = "no space left on the device; free some and run the same command again: all that was finished before is kept"


@pytest.mark.parametrize("write", WRITERS[:3])
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(write: Callable[[Path], None], tmp_path: Path) -> None:
    """The temporary file is /dev/full, so that the kernel refuses the write as on a full disk."""
    path = tmp_path / "file"
    path.write_text("old")
    part = tmp_path / f".file.{os.getpid()}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(UserError, match=FULL):
        write(path)
    assert path.read_text() == "old"
    assert not part.is_symlink()


def test_safetensors_tells_of_a_full_disk_in_words_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("resonance.networks.tensors.save_file", full)
    with pytest.raises(UserError, match=FULL):
        write_some_tensors(tmp_path / "file")


def fail(path: Path) -> None:
    with written(path) as part:
        part.write_text("half")
        raise ZeroDivisionError


def test_another_error_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path, "a folder stands here")


def test_a_reader_never_sees_a_half_file(tmp_path: Path) -> None:
    with written(tmp_path / "file") as part:
        part.write_text("half")
        assert not (tmp_path / "file").exists()
    assert (tmp_path / "file").read_text() == "half"


def test_a_table_comes_back_with_what_made_it(tmp_path: Path) -> None:
    write_a_table(tmp_path / "t.parquet")
    assert read_made_by(tmp_path / "t.parquet") == MADE_BY
    assert read_table(tmp_path / "t.parquet").equals(table())
    assert read_table(tmp_path / "t.parquet", columns=["loss"]).column_names == ["loss"]
    assert list(pd.read_parquet(tmp_path / "t.parquet").columns) == ["cycle", "loss"]


def test_what_made_a_table_replaces_what_pandas_says_of_it(tmp_path: Path) -> None:
    frame = pa.Table.from_pandas(pd.DataFrame({"a": [1]}))
    assert b"pandas" in frame.schema.metadata
    write_table(tmp_path / "t.parquet", frame, MADE_BY)
    assert list(pa.parquet.read_schema(tmp_path / "t.parquet").metadata) == [KEY]


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is missing: run `snakemake -- .*t.parquet` to make it"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("damage", ["empty", "half", "foreign", "text", "no json"])
def test_a_table_that_is_none_is_one_sentence(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_a_table(path)
    if damage == "foreign":
        pd.DataFrame({"a": [1]}).to_parquet(path)
    elif damage == "no json":
        pa.parquet.write_table(table().replace_schema_metadata({KEY: "{"}), path)
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "text": b"PAR1 is how it begins"}[damage])
    with pytest.raises(UserError, match="is damaged or was not written by this project: delete it and run `snakemake"):
        read_table(path)


def test_a_flipped_bit_in_the_data_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_a_table(path)
    whole = path.read_bytes()
    for place in range(64, 4000, 500):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(UserError, match="is damaged"):
            read_table(path)


def test_json_is_for_people_and_for_machines(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": "é", "b": 1}


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
