"""Runs against runs: what is the same, what is turned, what is unrelated, and who is compared with whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resonance.measures import between, load_family
from resonance.measures.cka import debiased_cka
from resonance.measures.neighbours import mutual_knn
from resonance.measures.run import Identity, RunData
from resonance.measures.sample import trained
from resonance.measures.table import SCHEMA, concatenate
from resonance.storage import read_made_by, read_table, write_table

DOCS = Path(__file__).parents[2] / "docs" / "measures.md"
Later = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def turned(by: int) -> Later:
    def later(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
        width = vectors.shape[1]
        return 2.0 + vectors @ np.linalg.qr(np.random.default_rng([by, cycle]).standard_normal((width, width)))[0]

    return later


def unrelated(by: int) -> Later:
    return lambda vectors, cycle, rng: np.random.default_rng([by, cycle]).standard_normal(vectors.shape)


@pytest.fixture
def run(synthetic: Callable[..., Any], tmp_path: Path) -> Callable[..., RunData]:
    """`run("gpt", 0, later)`: a run of that name on disk, whose files say so."""

    def made(learner: str, seed: int, later: Later, **more: Any) -> RunData:
        given = {"cycles": (0, 4), "stops": (4,), "width": 8, "probes": ("unrelated",), **more}
        data = replace(synthetic(later=later, **given), folder=tmp_path / f"{learner}-{seed}").write()
        for path in data.snapshots_files:
            write_table(path, read_table(path), read_made_by(path) | {"learner": learner, "seed": seed})
        return replace(data, identity=replace(data.identity, learner=learner, seed=seed))

    return made


def frame(seed: int, *runs: RunData) -> pd.DataFrame:
    found = list(between.compare(seed, runs))
    return pd.DataFrame([row._asdict() | vars(identity) for identity, row in found])


def values(table: pd.DataFrame, measure: str, learner: str = "gpt", **wanted: object) -> list[float]:
    kept = table[(table["measure"] == measure) & (table["learner"] == learner)]
    for column, word in wanted.items():
        kept = kept[kept[column] == word]
    return kept["value"].tolist()


def test_a_rotation_is_the_same_and_noise_is_not(run: Callable[..., RunData]) -> None:
    table = frame(0, run("gpt", 0, turned(1)), run("twin", 0, turned(2)), run("other", 0, unrelated(3)))
    assert values(table, "cka_between", condition="learner:twin", layer=1) == pytest.approx([1.0, 1.0])
    assert values(table, "cka_between", condition="learner:other", cycle=0) == pytest.approx([1.0, 1.0])
    assert np.abs(values(table, "cka_between", condition="learner:other", cycle=4)).max() < 0.1
    assert max(values(table, "mutual_knn_between", condition="learner:other", cycle=4)) < 0.3
    null = table[table["measure"] == "cka_between_null"]
    assert null["value"].abs().max() < 0.05
    assert (null["low"] < null["value"]).all()
    assert (null["value"] < null["high"]).all()


def test_shared_products_are_what_the_two_families_say(run: Callable[..., RunData]) -> None:
    """Against `cka` and `mutual_knn`, computed pair by pair; low and high are the least and greatest direction."""
    runs = [run("gpt", 0, unrelated(1)), run("wide", 0, unrelated(2), width=12), run("gpt", 1, unrelated(3))]
    found = {
        (i.learner, r.condition, r.measure): r for i, r in between.compare(0, runs) if (r.cycle, r.layer) == (4, 1)
    }
    ends = [each.snapshots.at(4).layer(1) for each in runs]
    clouds = [[tokens.vectors[places] for _, side, places in trained(tokens) if side == "target"] for tokens in ends]
    for other, condition in ((1, "learner:wide"), (2, "seed:1")):
        for measure, told in (("cka_between", debiased_cka), ("mutual_knn_between", mutual_knn)):
            each = [told(x, y) for x, y in zip(clouds[0], clouds[other], strict=True)]
            row = found["gpt", condition, measure]
            assert (row.value, row.low, row.high) == pytest.approx((np.mean(each), min(each), max(each)), abs=1e-12)
    assert found["wide", "learner:gpt", "cka_between"].value == found["gpt", "learner:wide", "cka_between"].value


def test_who_is_compared_with_whom() -> None:
    names = [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2)]
    runs = [RunData(Identity(learner, "p", "s", seed)) for learner, seed in names]
    found = [(*names[one][:1], condition) for one, _, condition in between.partners(1, runs)]
    crossed = [(one, f"learner:{other}") for one in "abc" for other in "abc" if one != other]
    assert found == [*crossed, ("a", "seed:2"), ("b", "seed:2")]


@pytest.mark.parametrize(("last", "layers"), [(0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (4, [0, 2, 4]), (5, [0, 3, 5])])
def test_layers_of_the_same_relative_depth(last: int, layers: list[int]) -> None:
    assert list(between.middle(range(last + 1)).values()) == layers


def test_networks_of_unequal_depth_meet_at_their_ends(run: Callable[..., RunData]) -> None:
    """Layers of a synthetic run are drawn by their number, so only the first of both is the same."""
    flat, deep = run("gpt", 0, lambda v, *_: v, layers=2), run("deep", 0, lambda v, *_: v, layers=5)
    table = frame(0, flat, deep)
    assert set(table.loc[table["learner"] == "gpt", "layer"]) == {0, 1}
    assert set(table.loc[table["learner"] == "deep", "layer"]) == {0, 4}
    assert values(table, "cka_between", layer=0, cycle=4) == pytest.approx([1.0])
    assert values(table, "cka_between", layer=1, cycle=4) == values(table, "cka_between", "deep", layer=4, cycle=4)


def test_the_rotation_to_another_seed(run: Callable[..., RunData]) -> None:
    """1 where the other seed is this run turned, about 0 where it is unrelated; every layer, at the end."""
    long = {"length": 160, "layers": 2}
    own = run("gpt", 0, unrelated(1), **long)
    table = frame(0, own, run("gpt", 7, turned(2), **long))
    shares = values(table, "rotation_share_other_seed", condition="seed:7", cycle=4)
    assert shares == pytest.approx([1.0] * 2, abs=1e-3)
    assert len(values(table, "rotation_share_other_seed")) == 2
    far = values(frame(0, own, run("gpt", 8, unrelated(3), **long)), "rotation_share_other_seed")
    assert np.abs(far).max() < 0.05


def test_what_does_not_vary_has_no_number_and_spoils_no_other(run: Callable[..., RunData]) -> None:
    def still(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
        return np.ones_like(vectors)

    table = frame(0, run("gpt", 0, turned(1)), run("twin", 0, turned(2)), run("still", 0, still))
    assert np.isnan(values(table, "cka_between", condition="learner:still", cycle=4)).all()
    assert values(table, "cka_between", condition="learner:twin", cycle=4) == pytest.approx([1.0, 1.0])


def test_a_run_that_is_alone_leaves_a_table_with_a_header(run: Callable[..., RunData], tmp_path: Path) -> None:
    alone = run("gpt", 0, turned(1))
    between.write_comparison(tmp_path / "one", 0, alone.snapshots_files)
    concatenate([tmp_path / "one"], tmp_path / "all")
    assert read_table(tmp_path / "all").schema.equals(SCHEMA)
    assert len(read_table(tmp_path / "all")) == 0
    assert read_made_by(tmp_path / "all")["family"] == "between"


def test_the_table_is_that_of_all_measures_and_the_same_twice(run: Callable[..., RunData], tmp_path: Path) -> None:
    runs = [run("gpt", 0, turned(1)), run("rwkv7", 0, turned(2)), run("gpt", 1, unrelated(3))]
    files = [path for each in runs for path in each.snapshots_files]
    for name in ("one", "two"):
        between.write_comparison(tmp_path / name, 0, files)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    concatenate([tmp_path / "one"], tmp_path / "all")
    table = read_table(tmp_path / "all")
    assert table.schema.equals(SCHEMA)
    assert set(table["measure"].unique().to_pylist()) == set(load_family("between").MEASURES)
    assert set(read_made_by(tmp_path / "all")["measures"]) == set(load_family("between").MEASURES)
    keys = [name for name in SCHEMA.names if name not in ("value", "low", "high")]
    rows = table.to_pandas()
    assert not rows[keys].duplicated().any()
    assert set(rows["seed"]) == {0}, "the other seed has rows of its own elsewhere"
    assert [str(name) for name in rows["learner"].unique()] == ["gpt", "rwkv7"]


def test_runs_that_do_not_fit_together_are_a_fault(run: Callable[..., RunData]) -> None:
    gpt = run("gpt", 0, turned(1))
    with pytest.raises(ValueError, match="different places"):
        frame(0, gpt, run("other", 0, turned(1), length=50))
    with pytest.raises(ValueError, match="end at cycles 4 and 8"):
        frame(0, gpt, run("longer", 0, turned(1), cycles=(0, 8), stops=(8,)))


def test_every_measure_says_what_it_is() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, definition in between.MEASURES.items():
        assert set(definition) == {"unit", "formula", "source"}
        assert f"`{name}`" in text


def test_texts_without_neighbours_have_no_rows(run: Callable[..., RunData]) -> None:
    short = [run(name, 0, turned(1), length=9) for name in ("gpt", "other")]
    assert list(between.compare(0, short)) == []
