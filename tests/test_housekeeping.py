from __future__ import annotations

from pathlib import Path

import pytest

from resonance.housekeeping import set_aside, unrecorded


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name: str, text: str = "made") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_what_is_not_wanted_is_moved_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    kept = put("results/states/gpt/a/b/0/000000000002.safetensors")
    gone = put("results/states/old/a/b/0/000000000002.safetensors", "years of work")
    half = put("data/derived/tokens/.tokens.parquet.17.part")
    set_aside({kept.as_posix()})
    assert kept.read_text() == "made"
    assert not gone.exists()
    assert not half.exists()
    aside = Path("scratch/set_aside") / gone
    assert aside.read_text() == "years of work"
    assert f"set aside {gone} → {aside}" in capsys.readouterr().err


def test_what_dvc_does_not_record_stays() -> None:
    """A user's own notes, the report of Snakemake, logs."""
    files = [put("results/notes.md"), put("logs/train.log"), put("data/pairs/mine/article.txt"), put("params.yaml")]
    set_aside(set())
    assert all(file.read_text() == "made" for file in files)


def test_what_was_set_aside_before_gives_way_to_what_is_newer() -> None:
    for text in ("first", "second"):
        put("results/curves/old.tsv", text)
        set_aside(set())
    assert Path("scratch/set_aside/results/curves/old.tsv").read_text() == "second"


def test_results_without_a_record_are_noticed() -> None:
    assert not unrecorded(), "a clone that has nothing yet"
    put("results/states/gpt/a/b/0/000000000002.safetensors")
    assert unrecorded()
    Path(".snakemake/metadata").mkdir(parents=True)
    assert unrecorded(), "an empty folder is no record"
    put(".snakemake/metadata/cmVzdWx0cw==")
    assert not unrecorded()
