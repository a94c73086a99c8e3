from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from resonance.measures import similarity
from resonance.measures.cka import debiased_cka
from resonance.measures.linked import pooled
from resonance.measures.sample import generator
from resonance.measures.similarity import noise_like
from resonance.measures.table import Row


def rotated(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
    width = vectors.shape[1]
    return 2.0 + vectors @ np.linalg.qr(np.random.default_rng(cycle).standard_normal((width, width)))[0]


def noisy(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
    return vectors + rng.standard_normal(vectors.shape)


def of(rows: list[Row], measure: str) -> list[Any]:
    return [row for row in rows if row.measure == measure]


def values(rows: list[Row], measure: str, condition: str | None = None) -> np.ndarray:
    return np.array([row.value for row in of(rows, measure) if condition in (None, row.condition)])


def test_a_rotated_network_is_the_same_in_other_coordinates(synthetic: Callable) -> None:
    rows = list(similarity.measure(synthetic(later=rotated).write()))
    assert values(rows, "cka") == pytest.approx(1, abs=1e-5)
    assert (values(rows, "rotation_share") > 0.999).all()
    assert (values(rows, "drift") > 0.5).all()
    assert (values(rows, "rest") < 1e-4).all()
    assert (values(rows, "shift") > 1).all()
    assert {row.condition for row in of(rows, "rotation_share")} == {"probes"}
    assert len(of(rows, "rotation_share")) == 4 * 2


def test_a_noisy_network_is_not_rotated(synthetic: Callable) -> None:
    rows = list(similarity.measure(synthetic(later=noisy).write()))
    assert (np.abs(values(rows, "rotation_share")) < 0.05).all()
    assert (np.abs(values(rows, "rotation_share_null")) < 0.05).all()
    assert (values(rows, "drift_pair") > 0.8).all()
    assert 0.2 < values(rows, "cka").mean() < 0.8


def test_an_unchanged_network_has_no_share(synthetic: Callable) -> None:
    rows = list(similarity.measure(synthetic().write()))
    assert np.isnan(values(rows, "rotation_share")).all()
    assert len(of(rows, "rotation_share")) == 8
    assert (values(rows, "drift") == 0).all()
    assert of(rows, "rotation_share_null") == []
    assert values(rows, "cka") == pytest.approx(1)


def test_without_probes_half_of_the_pair_is_held_out(synthetic: Callable) -> None:
    rows = list(similarity.measure(synthetic(later=rotated, probes=()).write()))
    assert {row.condition for row in of(rows, "rotation_share")} == {"halves"}
    assert (values(rows, "rotation_share") > 0.999).all()


def test_cka_is_that_of_the_direction_side_and_layer(synthetic: Callable) -> None:
    run = synthetic(later=noisy).write()
    rows = of(list(similarity.measure(run)), "cka")
    assert len(rows) == 4 * 2 * 4 * 2
    (row,) = [r for r in rows if (r.cycle, r.layer, r.direction, r.condition) == (8, 1, "2>1", "target")]
    before, now = (run.snapshots.at(cycle).layer(1).where("2>1", "target").vectors for cycle in (0, 8))
    assert row.value == pytest.approx(debiased_cka(before, now), abs=1e-12)


def test_null_holds_nothing(synthetic: Callable) -> None:
    rows = of(list(similarity.measure(synthetic(later=noisy).write())), "cka_null")
    assert abs(np.mean([row.value for row in rows])) < 0.01
    assert all(row.low < row.value < row.high for row in rows)
    assert max(row.high for row in rows) < 0.2


def test_linked_segments_of_the_texts_are_compared(synthetic: Callable) -> None:
    """Segments of 2 tokens; the meta-analysis repeats the article in reverse order, and the links say so."""

    def echo(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
        echoed = vectors.copy()
        text = vectors[4 * 60 : 5 * 60]
        echoed[6 * 60 : 7 * 60] = text.reshape(30, 2, -1)[::-1].reshape(60, -1) + 0.3 * rng.standard_normal(text.shape)
        return echoed

    links = [[i, 29 - i] for i in range(30)] + [[0, 5]]
    run = synthetic(cycles=(0, 8), later=echo, segment=2, links=links, layers=1)
    assert run.places()[4] == ("1>1", "input", "1")
    assert run.places()[6] == ("2>2", "input", "2")
    rows = list(similarity.measure(run.write()))
    found = {(row.cycle, row.condition): row.value for row in of(rows, "cka_texts")}
    assert found[8, "input"] > 0.7
    assert all(abs(value) < 0.3 for place, value in found.items() if place != (8, "input"))
    null = {(row.cycle, row.condition): row for row in of(rows, "cka_texts_null")}
    assert null[8, "input"].high < 0.4 < found[8, "input"]


def test_cka_of_texts_is_that_of_the_pooled_segments(synthetic: Callable) -> None:
    run = synthetic(cycles=(0,), segment=3, links=[[i, i] for i in range(20)]).write()
    tokens = run.snapshots.at(0).layer(0)
    expected = debiased_cka(*(pooled(tokens.where(place, "target"), range(20)) for place in ("1>1", "2>2")))
    rows = [row for row in similarity.measure(run) if (row.layer, row.measure) == (0, "cka_texts")]
    assert [row.value for row in rows if row.condition == "target"] == [pytest.approx(expected)]


def test_few_links_are_not_compared(synthetic: Callable) -> None:
    links = [[i, i] for i in range(19)] + [[0, 30]]
    rows = list(similarity.measure(synthetic(segment=2, links=links).write()))
    assert of(rows, "cka_texts") == []


def test_other_places_are_refused(synthetic: Callable) -> None:
    run = synthetic(cycles=(0, 8)).write()
    at = type(run.snapshots).at

    class Moved(type(run.snapshots)):  # type: ignore[misc]
        def at(self, cycle: int) -> object:
            moment = at(self, cycle)
            turned = {layer: rows[::-1] for layer, rows in moment.rows.items()}
            return moment if cycle == 0 else replace(moment, rows=turned)

    run.__dict__["snapshots"] = Moved(**vars(run.snapshots))
    with pytest.raises(ValueError, match="different places"):
        list(similarity.measure(run))


def test_a_run_without_its_first_cycle_has_nothing_to_compare_with(synthetic: Callable) -> None:
    assert list(similarity.measure(synthetic(cycles=(1, 2)).write())) == []


def test_noise_has_the_norm_of_the_moves() -> None:
    moves = np.random.default_rng(0).standard_normal((50, 4)) * 3 + 10
    noise = noise_like(moves, generator("x"))
    assert np.linalg.norm(noise) == pytest.approx(np.linalg.norm(moves - moves.mean(0)))
