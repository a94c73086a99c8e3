from __future__ import annotations

from itertools import pairwise

import numpy as np

from resonance.text.borders import levels, refine
from resonance.text.segments import Span
from resonance.text.tokenizer import PairTokenizer

TEXT = "One two. Three\nfour! 五六。七 👩"


def pieces(text: str, tokenizer: PairTokenizer, borders: np.ndarray) -> list[str]:
    ids = tokenizer.encode(text).ids
    return [tokenizer.decode(ids[a:b]) for a, b in pairwise(borders)]


def test_levels_from_coarse_to_fine(bytewise: PairTokenizer) -> None:
    found = levels(TEXT, bytewise.encode(TEXT), [Span(0, 14), Span(15, len(TEXT))])
    assert [pieces(TEXT, bytewise, borders) for borders in found[:3]] == [
        ["One two. Three", "\nfour! 五六。七 👩"],
        ["One two.", " Three\n", "four!", " 五六。", "七 👩"],
        ["One", " two.", " Three", "\nfour!", " 五六。七", " 👩"],
    ]
    assert pieces(TEXT, bytewise, found[3]) == list(TEXT)


def test_without_segments_sentences_come_first(bytewise: PairTokenizer) -> None:
    found = levels(TEXT, bytewise.encode(TEXT), [])
    assert len(found) == 3
    assert pieces(TEXT, bytewise, found[0])[0] == "One two."


def test_only_stretches_that_are_too_long_are_cut_finer() -> None:
    coarse, middle, fine = np.array([0, 4, 20]), np.array([0, 2, 4, 10, 20]), np.arange(21)
    assert refine([coarse, middle, fine], 20, 1).tolist() == [0, 4, 20]
    assert refine([coarse, middle, fine], 10, 1).tolist() == [0, 4, 10, 20]
    assert refine([coarse, middle, fine], 9, 1).tolist() == [0, 4, *range(10, 21)]


def test_everything_is_cut_finer_where_there_are_too_few_stretches() -> None:
    coarse, middle, fine = np.array([0, 4, 20]), np.array([0, 2, 4, 10, 20]), np.arange(21)
    assert refine([coarse, middle, fine], 20, 3).tolist() == [0, 2, 4, 10, 20]
    assert refine([coarse, middle, fine], 20, 5).tolist() == list(range(21))
