from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from resonance.measures import correspondence
from resonance.measures.correspondence import Pieces
from resonance.measures.lexical import bm25, jaccard
from resonance.measures.linked import pooled
from resonance.measures.retrieval import cosine_scores, mrr, one_way, separability
from resonance.measures.table import Row
from resonance.measures.vectors import Tokens

REVERSED = [[i, 29 - i] for i in range(30)]
"""Segments of 2 tokens: the meta-analysis says what the article says, from the end to the beginning."""


def by(rows: list[Row], measure: str) -> dict[tuple[Any, ...], Row]:
    return {(r.cycle, r.layer, r.direction, r.condition): r for r in rows if r.measure == measure}


def block(places: list[tuple[str, str, str]], direction: str, side: str, text: str) -> slice:
    """Where the 60 tokens of a text stand in the table of a synthetic run."""
    start = 60 * places.index((direction, side, text))
    return slice(start, start + 60)


def echo(places: list[tuple[str, str, str]]) -> Callable:
    """At cycle 8 the input of 2>2 repeats that of 1>1 in reverse order, elsewhere in space and with noise; a paraphrase
    repeats its text; the target of 2>1 is that of 1>1."""

    def later(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
        changed = vectors.copy()
        article = vectors[block(places, "1>1", "input", "1")]
        turned = article.reshape(30, 2, -1)[::-1].reshape(60, -1)
        noise = 0.3 * rng.standard_normal(article.shape)
        changed[block(places, "2>2", "input", "2")] = 2 * turned + 50 + noise
        changed[block(places, "probe", "input", "paraphrase-article")] = article - 20 + noise
        changed[block(places, "2>1", "target", "1")] = vectors[block(places, "1>1", "target", "1")]
        return changed

    return later


@pytest.fixture
def planted(synthetic: Callable) -> list[Row]:
    run = synthetic(cycles=(0, 8), layers=1, segment=2, links=REVERSED)
    run.later = echo(run.places())
    return list(correspondence.measure(run.write()))


def test_planted_links_are_found(planted: list[Row]) -> None:
    found, null = by(planted, "mrr_texts"), by(planted, "mrr_texts_null")
    assert set(found) == {(cycle, 0, None, side) for cycle in (0, 8) for side in ("input", "target")}
    assert found[8, 0, None, "input"].value > 0.95
    for place, row in found.items():
        assert null[place].low <= null[place].value <= null[place].high
        if place != (8, 0, None, "input"):
            assert row.value < 0.35
    assert null[8, 0, None, "input"].high < 0.3


def test_the_baselines_know_nothing_of_the_network(planted: list[Row]) -> None:
    """Once, at the first mark. Positions are turned round, so nearness of position is worse than chance."""
    position, lexical = by(planted, "mrr_texts_position"), by(planted, "mrr_texts_lexical")
    assert set(position) == set(lexical) == {(0, None, None, None)}
    assert position[0, None, None, None].value < np.mean(1 / np.arange(1, 31))


def test_the_same_segment_is_found_in_another_role(planted: list[Row]) -> None:
    found, apart = by(planted, "mrr_roles"), by(planted, "separability")
    assert {place[2:] for place in found} == {(d, c) for d in ("1>2", "2>1") for c in ("target", "input-target")}
    assert found[8, 0, "2>1", "target"].value == 1
    assert apart[8, 0, "2>1", "target"].value == 0.5
    assert found[8, 0, "1>2", "target"].value < 0.35


def test_a_paraphrase_is_found_by_its_place_in_the_text(planted: list[Row]) -> None:
    found, lexical = by(planted, "mrr_paraphrase"), by(planted, "mrr_paraphrase_lexical")
    assert found[8, 0, "probe", "paraphrase-article"].value > 0.95
    assert found[8, 0, "probe", "paraphrase-meta"].value < 0.35
    assert set(lexical) == {(0, None, "probe", name) for name in ("paraphrase-article", "paraphrase-meta")}


def test_rows_are_what_the_formulas_give(synthetic: Callable) -> None:
    def noisy(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
        return vectors + rng.standard_normal(vectors.shape)

    links = [[i, (i * 7) % 20] for i in range(20)] + [[0, 3], [4, 4]]
    run = synthetic(cycles=(0, 8), segment=3, links=links, later=noisy).write()
    rows = list(correspondence.measure(run))
    now = run.snapshots.at(8).layer(1)
    linked = np.zeros((20, 20), bool)
    linked[tuple(zip(*links, strict=True))] = True

    def means(direction: str, side: str, text: str | None = None) -> np.ndarray:
        return pooled(now.where(direction, side, text), range(20))

    texts = mrr(cosine_scores(means("1>1", "target"), means("2>2", "target")), linked)
    assert by(rows, "mrr_texts")[8, 1, None, "target"].value == texts
    same = np.eye(20, dtype=bool)
    roles = means("1>2", "input"), means("2>1", "target")
    assert by(rows, "mrr_roles")[8, 1, "2>1", "input-target"].value == mrr(cosine_scores(*roles), same)
    assert by(rows, "separability")[8, 1, "2>1", "input-target"].value == separability(*roles)
    behind = means("2>2", "target"), means("1>2", "target")
    assert by(rows, "separability")[8, 1, "1>2", "target"].value == separability(*behind)
    probe = means("probe", "input", "paraphrase-meta"), means("2>2", "input")
    expected = one_way(cosine_scores(*probe), same)
    assert by(rows, "mrr_paraphrase")[8, 1, "probe", "paraphrase-meta"].value == expected

    words = {text: now.where(place, "input").token.reshape(20, 3) for text, place in (("1", "1>1"), ("2", "2>2"))}
    ways = one_way(bm25(words["1"], words["2"]), linked), one_way(bm25(words["2"], words["1"]), linked.T)
    assert by(rows, "mrr_texts_lexical")[0, None, None, None].value == pytest.approx(np.mean(ways))
    place = np.arange(20)
    expected = mrr(-np.abs(place[:, None] - place), linked)
    assert by(rows, "mrr_texts_position")[0, None, None, None].value == expected
    probe_words = now.where("probe", text="paraphrase-article").token.reshape(20, 3)
    expected = one_way(jaccard(probe_words, words["1"]), same)
    assert by(rows, "mrr_paraphrase_lexical")[0, None, "probe", "paraphrase-article"].value == expected


def test_few_links_or_segments_say_nothing(synthetic: Callable) -> None:
    few = list(correspondence.measure(synthetic(segment=2, links=REVERSED[:9], probes=()).write()))
    assert {row.measure for row in few} == {"mrr_roles", "separability"}
    assert list(correspondence.measure(synthetic(segment=7, links=[[0, 0]]).write())) == []


def tokens(segment: list[int], shift: float = 0.0) -> Tokens:
    n = len(segment)
    word, zero = np.array(["x"] * n), np.zeros(n, int)
    vectors = np.arange(2.0 * n).reshape(n, 2) + shift
    return Tokens(word, word, word, zero, np.arange(n), np.arange(n) + 7, np.array(segment), vectors)


def test_pieces_are_what_has_a_token() -> None:
    found = Pieces.of(tokens([3, 3, -1, 5]))
    assert found.numbers.tolist() == [3, 5]
    assert found.vectors.tolist() == [[1, 2], [6, 7]]
    assert found.places.tolist() == [0.5 / 4, 3 / 4]
    assert found.tokens == [[7, 8], [10]]
    assert found.same(Pieces.of(tokens([5, 2, 3]))).tolist() == [[False, True, False], [False, False, True]]


def test_a_probe_without_segments_has_no_piece() -> None:
    found = Pieces.of(tokens([-1, -1]))
    assert found.numbers.tolist() == []
    assert found.vectors.shape == (0, 2)
    assert found.same(Pieces.of(tokens([0, 1]))).sum() == 0


def test_links_to_segments_without_a_token_are_left_out() -> None:
    article, meta = Pieces.of(tokens([0, 2])), Pieces.of(tokens([1, 4]))
    linked = correspondence.linked_pieces(article, meta, ((0, 4), (1, 1), (2, 9), (2, 1)))
    assert linked.tolist() == [[False, True], [True, False]]
