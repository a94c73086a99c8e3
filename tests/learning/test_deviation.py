"""How far an output is from its original: by hand, and against rapidfuzz and sacrebleu."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from resonance.learning.deviation import deviation, suffix_distances, text_deviation

LETTERS = st.text("abc", max_size=12)


def ids(text: str) -> np.ndarray:
    return np.array([ord(letter) for letter in text], np.int64)


@pytest.mark.parametrize(
    ("said", "original", "due", "errors"),
    [
        ("abcd", "abcd", "abcd", "...."),
        ("ab", "abcd", "ab", ".."),  # cut short
        ("axcd", "abcd", "abcd", ".x.."),  # replaced
        ("abxcd", "abcd", "abccd", "..x.."),  # added
        ("acd", "abcd", "abd", ".x."),  # left out
        ("xabcd", "abcd", "aabcd", "x...."),  # off by one is one error, not five
        ("abcdx", "abcd", "abcd-", "....x"),  # goes on after the end
        ("dcba", "abcd", "abcd", "xxxx"),
        ("ada", "aada", "aaa", ".x."),
        ("", "abcd", "", ""),
        ("ab", "", "--", "xx"),
    ],
)
def test_what_was_due_and_what_is_wrong(said, original, due, errors):
    found = deviation(ids(said), ids(original))
    assert "".join((original + "-")[place] for place in found.due_N) == due
    assert "".join(".x"[error] for error in found.error_N.astype(int)) == errors


def test_what_is_still_to_come():
    assert deviation(ids("abxcd"), ids("abcd")).suffix_N.tolist() == pytest.approx([1 / 4, 1 / 3, 0, 0, 0])
    assert deviation(ids("acd"), ids("abcd")).suffix_N.tolist() == pytest.approx([1 / 3, 0, 0])
    assert deviation(ids("ab"), ids("abcd")).suffix_N.tolist() == pytest.approx([2 / 3, 1])
    assert deviation(ids("abcd"), ids("abcd")).suffix_N.tolist() == [0, 0, 0, 0]


@given(LETTERS, LETTERS)
def test_all_distances_are_those_of_rapidfuzz(said, original):
    found = suffix_distances(ids(said), ids(original))
    wanted = [
        [Levenshtein.distance(said[i:], original[j:]) for j in range(len(original) + 1)] for i in range(len(said) + 1)
    ]
    assert found.tolist() == wanted


@given(LETTERS, LETTERS)
def test_an_alignment_of_least_edits(said, original):
    """Whatever stands before a token and after it costs together what the whole does."""
    found = deviation(ids(said), ids(original))
    whole = Levenshtein.distance(said, original)
    for index, place in enumerate(found.due_N):
        before = Levenshtein.distance(said[:index], original[:place])
        assert before + Levenshtein.distance(said[index:], original[place:]) == whole
        assert found.error_N[index] == (said[index] != original[place : place + 1])
    assert found.error_N.sum() <= whole
    assert found.error_N.any() != original.startswith(said)
    following = [*found.due_N[1:], None]
    for index, place in enumerate(following):
        rest = said[index + 1 :], original[place:]
        if place is not None:
            assert found.suffix_N[index] == pytest.approx(Levenshtein.distance(*rest) / max(map(len, rest)))
    assert ((found.suffix_N >= 0) & (found.suffix_N <= 1)).all()


def test_what_belongs_to_the_tokens_that_were_due():
    found = deviation(ids("abxcde"), ids("abcd"))
    np.testing.assert_array_equal(found.at_due(np.arange(4.0)), [0, 1, 2, 2, 3, np.nan])


def grams(text: str, order: int) -> Counter[str]:
    letters = text.replace(" ", "")
    return Counter(letters[start : start + order] for start in range(len(letters) - order + 1))


@pytest.mark.parametrize("said", ["the cat sat on mat", "a dog", "the cat sat on the mat", "mat the on sat cat the"])
def test_chrf_by_hand(said):
    """Precision and recall of letter sequences, averaged over lengths 1 to 6 that both texts have; recall counts 4."""
    original = "the cat sat on the mat"
    both = [(grams(said, order), grams(original, order)) for order in range(1, 7)]
    shares = [((a & b).total() / a.total(), (a & b).total() / b.total()) for a, b in both if a and b]
    precision, recall = np.mean(shares, axis=0)
    wanted = 5 * precision * recall / (4 * precision + recall) if precision + recall else 0
    assert text_deviation(said, original) == pytest.approx(1 - wanted, abs=1e-12)


def test_the_ends_of_chrf():
    assert text_deviation("same words", "same words") == 0
    assert text_deviation("", "same words") == 1
    assert text_deviation("xyz", "same words") == 1
