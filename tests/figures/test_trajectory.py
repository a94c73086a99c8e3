from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from figures.legible import texts
from figures.synthetic_tables import states

from resonance.figures import trajectory
from resonance.storage import write_table

RUN = {"learner": "gpt", "pair": "spacing", "schedule": "shuffled", "seed": 0}


def write_snapshot(path: Path, cycles: list[int], tokens: int, **run: object) -> np.ndarray:
    """A snapshot file with one text on each side of 1>2, and its vectors [cycle, side, token, D]."""
    vectors = np.random.default_rng(len(cycles)).normal(size=(len(cycles), 2, tokens, 4)).astype(np.float32)
    rows = [(cycle, side) for cycle in cycles for side in ("input", "target") for _ in range(tokens)]
    word = pa.dictionary(pa.int8(), pa.string())
    table = pa.table(
        {
            "cycle": pa.array([cycle for cycle, _ in rows], pa.int64()),
            "layer": pa.array([1] * len(rows), pa.int16()),
            "direction": pa.array(["1>2"] * len(rows)).cast(word),
            "side": pa.array([side for _, side in rows]).cast(word),
            "text": pa.array(["1" if side == "input" else "2" for _, side in rows]).cast(word),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4),
        }
    )
    write_table(path, table, {**RUN, **run})
    return vectors


def test_pooled_states_are_means_over_tokens_whatever_the_batches(tmp_path: Path) -> None:
    first = write_snapshot(tmp_path / "000000000016.parquet", [0, 16], 3000)
    second = write_snapshot(tmp_path / "000000000032.parquet", [32], 3000)
    pooled = trajectory.pooled_states(tmp_path.glob("*.parquet"))
    assert list(zip(pooled["cycle"], pooled["side"], strict=True)) == [
        (cycle, side) for cycle in (0, 16, 32) for side in ("input", "target")
    ]
    expected = np.concatenate([first, second]).mean(axis=2, dtype=np.float64).reshape(6, 4)
    assert np.stack(list(pooled["vector"])) == pytest.approx(expected, abs=1e-6)
    assert set(pooled["learner"]) == {"gpt"}


def test_runs_are_kept_apart(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "a.parquet", [0], 5)
    write_snapshot(tmp_path / "b.parquet", [0], 5, learner="rwkv7")
    write_snapshot(tmp_path / "c.parquet", [0], 5, seed=1)
    pooled = trajectory.pooled_states(tmp_path.glob("*.parquet"))
    assert len(pooled) == 6
    assert len(pooled[["learner", "seed"]].drop_duplicates()) == 3


def test_the_plane_holds_all_variance_of_a_flat_cloud() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(30, 2)) * [5, 1]
    axes = np.linalg.qr(rng.normal(size=(6, 2)))[0].T
    points, shares = trajectory.plane(flat @ axes + 3)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > shares[1]
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert distances == pytest.approx(np.linalg.norm(flat[:, None] - flat[None], axis=-1))


def test_the_plane_does_not_flip() -> None:
    vectors = np.random.default_rng(1).normal(size=(20, 5))
    order = np.random.default_rng(2).permutation(20)
    assert trajectory.plane(vectors[order])[0] == pytest.approx(trajectory.plane(vectors)[0][order])


@pytest.mark.parametrize("shape", [(1, 4), (3, 1), (4, 4)])
def test_a_plane_through_too_little_is_flat(shape: tuple[int, int]) -> None:
    points, shares = trajectory.plane(np.zeros(shape))
    assert points.shape == (shape[0], 2)
    assert shares.tolist() == [0, 0]


def test_every_text_has_a_path_with_both_ends_marked() -> None:
    figure = trajectory.draw(states(1, last=64))
    axes = figure.axes[0]
    assert len(axes.lines) == 6 * 4
    paths = [line for line in axes.lines if len(line.get_xdata()) == 8]
    assert len(paths) == 6
    ends = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert sum(line.get_markerfacecolor() == "white" for line in ends) == 6
    assert axes.get_aspect() == 1


def test_a_straight_path_is_drawn_straight() -> None:
    path = next(line for line in trajectory.draw(states(1)).axes[0].lines if len(line.get_xdata()) == 8)
    steps = np.diff(path.get_xydata(), axis=0)
    directions = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    assert directions == pytest.approx(np.tile(directions[0], (len(directions), 1)))


def test_the_last_layer_is_each_learners_own() -> None:
    table = states(2)
    shallow = table[(table["learner"] == "gpt") | (table["layer"] < 2)]
    assert len(trajectory.draw(shallow).axes) == 2
    assert len(trajectory.draw(shallow, layer=2).axes) == 1


def test_without_snapshots_it_says_why() -> None:
    empty = states(1).iloc[:0]
    assert "Nothing to show" in " ".join(text for text, _ in texts(trajectory.draw(empty)))
    assert "layer 9" in " ".join(text for text, _ in texts(trajectory.draw(states(1), layer=9)))


def test_no_file_gives_an_empty_table() -> None:
    assert trajectory.pooled_states([]).empty
    assert not trajectory.draw(trajectory.pooled_states([])).axes


def test_distance_is_measured_in_lengths_of_the_first_state() -> None:
    assert trajectory.moved({"a": np.array([[3.0, 4.0], [3.0, 9.0]]), "b": np.array([[1.0, 0.0], [1.0, 0.0]])}) == 0.5
