from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from report.recorded import LAYERS, WIDTH, nll, vector, write_evaluations, write_snapshots, write_tokens

from resonance.cli import main
from resonance.errors import UserError
from resonance.report import explorer
from resonance.report.coding import NOWHERE, from_bytes, unpacked
from resonance.report.embedding import read_explorer
from resonance.report.explorer import explorer_data, write_explorer
from resonance.text.tokens import Tokens

CYCLES = [0, 1, 4]
FIRST = [f"a{i}" for i in range(8)]
SECOND = [f" b{i}" for i in range(10)]


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return write_tokens(tmp_path / "tokens.parquet", FIRST, SECOND)


@pytest.fixture
def files(tmp_path: Path, tokens: Tokens) -> tuple[list[Path], list[Path]]:
    """The files of two chunks, the later one first."""
    snapshots = [write_snapshots(tmp_path / f"s{stop}.parquet", tokens, own) for stop, own in ((4, [4]), (1, [0, 1]))]
    evaluations = [
        write_evaluations(tmp_path / f"e{stop}.parquet", tokens, own) for stop, own in ((4, [4]), (1, [0, 1]))
    ]
    return snapshots, evaluations


def drift(data: dict[str, Any], direction: str, side: str) -> NDArray[np.float64]:
    coded = unpacked(data["ways"][direction][side]["drift"], "u1", (len(data["cycles"]), len(data["layers"]), -1))
    return from_bytes(coded, data["top"]["drift"])


def places(data: dict[str, Any], direction: str, side: str, key: str) -> NDArray[np.float64]:
    """[L, C, 2] or [L, C, S, 2], in units of activation."""
    coded = unpacked(data["ways"][direction][side][key], "<u2", (len(data["layers"]), len(data["cycles"]), -1, 2))
    low = np.array([plane["low"] for plane in data["planes"]])[:, None, None]
    span = np.array([plane["span"] for plane in data["planes"]])[:, None, None, None]
    return np.where(coded == NOWHERE, np.nan, low + coded / 65534 * span)


def test_drift_is_one_minus_cosine_to_cycle_0_cycle_by_layer_by_token(
    files: tuple[list[Path], list[Path]], tokens: Tokens
) -> None:
    data = explorer_data(*files, tokens)
    assert (data["cycles"], data["layers"]) == (CYCLES, [0, 1, 2])
    for direction, side, length in (("1>2", "input", 8), ("1>2", "target", 10), ("2>1", "target", 8)):
        found = drift(data, direction, side)
        assert found.shape == (3, LAYERS, length)
        for c, cycle in enumerate(CYCLES):
            for layer in range(LAYERS):
                for at in range(length):
                    now, start = (vector(when, layer, direction, side, at) for when in (cycle, 0))
                    true = 1 - now @ start / np.linalg.norm(now) / np.linalg.norm(start)
                    assert found[c, layer, at] == pytest.approx(true, abs=np.sqrt(2 * max(true, 0)) / 254 + 1e-5)
    assert (drift(data, "1>1", "target")[0] == 0).all()


def test_recall_is_the_loss_of_the_true_token_and_whether_it_would_be_said(
    files: tuple[list[Path], list[Path]], tokens: Tokens
) -> None:
    data = explorer_data(*files, tokens)
    assert data["top"]["nll"] == 9
    for direction, length in (("1>2", 10), ("2>1", 8)):
        own = data["ways"][direction]["target"]
        found = from_bytes(unpacked(own["nll"], "u1", (3, -1)), 9.0)
        assert found.shape == (3, length)
        true = np.array([[nll(cycle, direction, at) for at in range(length)] for cycle in CYCLES])
        assert (np.abs(found - true) <= np.sqrt(9 * true) / 254 + 9 / 258064).all()
        bits = np.unpackbits(unpacked(own["right"], "u1", (3, -1)), axis=1, bitorder="little")[:, :length]
        assert (bits == (true < 2)).all()
        assert "nll" not in data["ways"][direction]["input"]


def test_windows_stand_one_after_the_other(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.parquet", FIRST, SECOND, windows=2)
    data = explorer_data([], [write_evaluations(tmp_path / "e.parquet", tokens, [0])], tokens)
    found = from_bytes(unpacked(data["ways"]["1>2"]["target"]["nll"], "u1", (1, -1)), data["top"]["nll"])
    assert found[0] == pytest.approx([nll(0, "1>2", at) for at in range(10)], abs=0.04)


def test_the_path_of_a_text_runs_through_the_middle_of_its_segments(
    files: tuple[list[Path], list[Path]], tokens: Tokens
) -> None:
    data = explorer_data(*files, tokens)
    for direction, side, sizes in (("1>2", "input", [3, 3, 2]), ("1>2", "target", [3, 3, 3, 1])):
        path, parts = places(data, direction, side, "path"), places(data, direction, side, "parts")
        assert parts.shape == (LAYERS, 3, len(sizes), 2)
        middle = (parts * np.array(sizes)[:, None]).sum(axis=2) / sum(sizes)
        span = max(plane["span"] for plane in data["planes"])
        assert np.abs(path[:, :, 0] - middle).max() < span / 60000
    assert all(0 < plane["share"] <= 1 for plane in data["planes"])


def test_distances_in_the_plane_are_true_where_all_lies_in_a_plane(tmp_path: Path, tokens: Tokens) -> None:
    def flat(cycle: int, layer: int, direction: str, side: str, position: int) -> NDArray[np.float64]:
        whole = vector(cycle, layer, direction, side, position)
        return np.where(np.arange(WIDTH) < 2, whole, 0.5)

    data = explorer_data([write_snapshots(tmp_path / "s.parquet", tokens, CYCLES, flat)], [], tokens)
    path = places(data, "1>2", "target", "path")[:, :, 0]
    for layer in range(LAYERS):
        means = [np.mean([flat(c, layer, "1>2", "target", at) for at in range(10)], axis=0) for c in CYCLES]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            true = np.linalg.norm(means[one] - means[other])
            assert np.linalg.norm(path[layer, one] - path[layer, other]) == pytest.approx(true, abs=1e-3)
        assert data["planes"][layer]["share"] == 1


def test_inputs_that_are_alike_are_packed_alike(files: tuple[list[Path], list[Path]], tokens: Tokens) -> None:
    ways = explorer_data(*files, tokens)["ways"]
    assert ways["1>2"]["input"] == ways["1>1"]["input"]
    assert ways["1>2"]["input"]["drift"] != ways["1>2"]["target"]["drift"]


def test_without_states_there_is_recall_and_without_predictions_drift(
    files: tuple[list[Path], list[Path]], tokens: Tokens
) -> None:
    snapshots, evaluations = files
    blind = explorer_data([], evaluations, tokens)
    assert (blind["layers"], blind["planes"], blind["cycles"]) == ([], [], CYCLES)
    assert set(blind["ways"]["1>2"]) == {"target"}
    dumb = explorer_data(snapshots, [], tokens)
    assert set(dumb["ways"]["1>2"]["target"]) == {"drift", "path", "parts"}


def test_a_mark_that_one_of_both_lacks_is_missing_there(tmp_path: Path, tokens: Tokens) -> None:
    states = write_snapshots(tmp_path / "s.parquet", tokens, [0, 1], directions=["1>2"])
    data = explorer_data([states], [write_evaluations(tmp_path / "e.parquet", tokens, [1, 4])], tokens)
    assert data["cycles"] == CYCLES
    assert np.isnan(drift(data, "1>2", "target")[2]).all()
    assert not np.isnan(drift(data, "1>2", "target")[:2]).any()
    assert np.isnan(places(data, "1>2", "target", "path")[:, 2]).all()
    recall = from_bytes(unpacked(data["ways"]["1>2"]["target"]["nll"], "u1", (3, -1)), data["top"]["nll"])
    assert np.isnan(recall[0]).all()
    assert set(data["ways"]["2>1"]) == {"target"}


def test_without_cycle_0_there_is_no_drift(tmp_path: Path, tokens: Tokens) -> None:
    data = explorer_data([write_snapshots(tmp_path / "s.parquet", tokens, [1, 4])], [], tokens)
    assert set(data["ways"]["1>2"]["target"]) == {"path", "parts"}


def test_of_a_long_text_the_start_is_shown(
    files: tuple[list[Path], list[Path]], tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = explorer_data(*files, tokens)
    monkeypatch.setattr(explorer, "LONGEST", 9)
    data = explorer_data(*files, tokens)
    assert data["texts"]["2"] == {"tokens": SECOND[:9], "segments": [0, 0, 0, 1, 1, 1, 2, 2, 2], "left_out": 1}
    assert data["texts"]["1"]["left_out"] == 0
    assert drift(data, "1>2", "target").shape == (3, LAYERS, 9)
    assert data["ways"]["1>2"]["target"]["path"] == whole["ways"]["1>2"]["target"]["path"]


def test_a_written_run_is_read_again_and_has_the_same_bytes(
    files: tuple[list[Path], list[Path]], tokens: Tokens, tmp_path: Path
) -> None:
    for name in ("a.json", "b.json"):
        write_explorer(tmp_path / name, "gpt/spacing/shuffled/3", tmp_path / "tokens.parquet", *files)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    read = read_explorer(tmp_path / "a.json")
    assert read == explorer_data(*files, tokens) | {
        "run": {"learner": "gpt", "pair": "spacing", "schedule": "shuffled", "seed": 3}
    }


def test_the_verb_writes_it_too(files: tuple[list[Path], list[Path]], tokens: Tokens, tmp_path: Path) -> None:
    name = "gpt/spacing/shuffled/3"
    snapshots, evaluations = (list(map(str, paths)) for paths in files)
    told = ["--name", name, "--tokens", str(tmp_path / "tokens.parquet"), "--out", str(tmp_path / "verb.json")]
    assert main(["explore-run", *told, "--snapshots", *snapshots, "--evaluations", *evaluations]) == 0
    write_explorer(tmp_path / "function.json", name, tmp_path / "tokens.parquet", *files)
    assert (tmp_path / "verb.json").read_bytes() == (tmp_path / "function.json").read_bytes()


@pytest.mark.parametrize("content", ["{", "[]", '{"run": 1}'])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match="damaged"):
        read_explorer(tmp_path / "a.json")
    with pytest.raises(UserError, match="missing"):
        read_explorer(tmp_path / "b.json")
