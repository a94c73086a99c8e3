from math import log

import numpy as np
import pytest

from resonance.measures.lexical import bm25, jaccard

DOCUMENTS = [[1, 2, 2, 3], [3, 4], [5, 5, 5, 6, 7, 3]]


def test_bm25_by_hand() -> None:
    """Mean length 4. Token 2: in one of three, twice in a document of 4; token 3: in all, once each."""
    rare, common = log(1 + 2.5 / 1.5), log(1 + 0.5 / 3.5)
    found = bm25([[2, 3]], DOCUMENTS)[0]
    assert found[0] == pytest.approx(rare * 2 * 2.5 / (2 + 1.5) + common * 2.5 / 2.5)
    assert found[1] == pytest.approx(common * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 2 / 4)))
    assert found[2] == pytest.approx(common * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 6 / 4)))


def test_bm25_counts_every_token_of_the_query() -> None:
    once, twice = bm25([[2], [2, 2]], DOCUMENTS)
    assert twice == pytest.approx(2 * once)
    assert bm25([[99]], DOCUMENTS).tolist() == [[0, 0, 0]]


def test_the_same_piece_is_found_first() -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.integers(0, 200, 20).tolist() for _ in range(15)]
    for scores in (bm25(pieces, pieces), jaccard(pieces, pieces)):
        assert scores.argmax(axis=1).tolist() == list(range(15))


def test_order_and_names_of_tokens_do_not_matter() -> None:
    turned = [document[::-1] for document in DOCUMENTS]
    renamed = [[100 - token for token in document] for document in DOCUMENTS]
    for score in (bm25, jaccard):
        assert score(turned, DOCUMENTS) == pytest.approx(score(DOCUMENTS, DOCUMENTS))
        assert score(renamed, renamed) == pytest.approx(score(DOCUMENTS, DOCUMENTS))


def test_jaccard_by_hand() -> None:
    assert jaccard([[1, 2, 2], [7]], DOCUMENTS) == pytest.approx(np.array([[2 / 3, 0, 0], [0, 0, 1 / 4]]))
