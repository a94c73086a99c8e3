from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from resonance.errors import UserError
from resonance.text.pair import Pair, Span
from resonance.text.tokenizer import PairTokenizer
from resonance.text.windows import best_cuts, cut_windows, limit

MARKERS = {"[BOS]": [0], "[EOS]": [1], "[SEP]": [2], "[SAME]": [3], "[OTHER]": [4], "[TO1]": [5], "[TO2]": [6, 6]}


def clauses(number: int, length: int, start: str) -> tuple[str, list[Span]]:
    """A text of `number` clauses of about `length` characters, and their spans."""
    words = [f"{start}{i} " + "x" * (length - 6) + "." for i in range(number)]
    text = " ".join(words)
    spans, position = [], 0
    for word in words:
        spans.append(Span(position, position + len(word)))
        position += len(word) + 1
    return text, spans


def cut(pair: Pair, tokenizer: PairTokenizer, longest: int) -> dict[str, list[int]]:
    encoded = {side: tokenizer.encode(text) for side, text in pair.texts.items()}
    return {side: cuts.tolist() for side, cuts in cut_windows(pair, encoded, longest).items()}


def test_the_limit_leaves_room_for_the_longest_markers() -> None:
    assert limit(MARKERS, 104) == 50
    assert limit(MARKERS, 105) == 50
    with pytest.raises(UserError, match=r"text\.context is 5, of which the markers .* take 4; set it to 6 or more"):
        limit(MARKERS, 5)


def test_one_window_where_both_texts_fit(bytewise: PairTokenizer) -> None:
    assert cut(Pair("p", {"1": "a" * 50, "2": "b" * 20}), bytewise, 50) == {"1": [0, 50], "2": [0, 20]}


def test_a_long_pair_is_cut_at_segments_and_links_stay_together(bytewise: PairTokenizer) -> None:
    (one, spans_1), (two, spans_2) = clauses(40, 30, "a"), clauses(25, 20, "b")
    links = [(i, round(i * 24 / 39)) for i in range(40)]
    pair = Pair("p", {"1": one, "2": two}, {"1": spans_1, "2": spans_2}, links)
    cuts = cut(pair, bytewise, 130)
    assert len(cuts["1"]) == len(cuts["2"]) == 11  # four clauses of 31 bytes in each of ten windows
    for side, spans in (("1", spans_1), ("2", spans_2)):
        assert set(cuts[side][1:-1]) <= {span.stop for span in spans}
        assert max(np.diff(cuts[side])) <= 130
        assert min(np.diff(cuts[side])) > 0
    window = {
        side: np.searchsorted(cuts[side], [span.start for span in spans], side="right")
        for side, spans in (("1", spans_1), ("2", spans_2))
    }
    inside = sum(window["1"][a] == window["2"][b] for a, b in links)
    even = sum((a * 10) // 40 == (b * 10) // 25 for a, b in links)
    assert inside >= even


@pytest.mark.parametrize("seed", range(30))
def test_the_programme_finds_the_best_of_all_cuts(seed: int) -> None:
    draw = np.random.default_rng(seed)
    longest, count = 12, 3
    while True:
        borders = [np.append(0, np.cumsum(draw.integers(1, 7, size=7))) for _ in range(2)]
        possible = [
            [
                np.array([0, *middle, b[-1]])
                for middle in combinations(b[1:-1], count - 1)
                if np.diff([0, *middle, b[-1]]).max() <= longest
            ]
            for b in borders
        ]
        if all(possible):
            break
    links = np.array([(a, b) for a, b in product(borders[0][:-1], borders[1][:-1]) if draw.random() < 0.2]).reshape(
        -1, 2
    )

    def score(cuts: tuple[np.ndarray, ...]) -> float:
        windows = [np.searchsorted(c, links[:, side], side="right") for side, c in enumerate(cuts)]
        uneven = sum(((np.diff(c) - c[-1] / count) ** 2).sum() for c in cuts) / longest**2
        return float((windows[0] == windows[1]).sum() - uneven / (2 * count + 1))

    found = best_cuts(borders[0], borders[1], count, longest, links)
    assert score(found) == pytest.approx(max(score(cuts) for cuts in product(*possible)))
    assert all(any((c == p).all() for p in ps) for c, ps in zip(found, possible, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_any_borders_are_cut_into_the_smallest_number_of_windows(seed: int, bytewise: PairTokenizer) -> None:
    draw = np.random.default_rng(seed)
    texts = {
        side: " ".join("w" * int(n) for n in draw.integers(1, 25, size=draw.integers(30, 200))) for side in ("1", "2")
    }
    cuts = cut(Pair("p", texts), bytewise, 30)
    assert len(cuts["1"]) == len(cuts["2"])
    for side, text in texts.items():
        assert cuts[side][0] == 0
        assert cuts[side][-1] == len(text)
        assert min(np.diff(cuts[side])) >= 1
        assert max(np.diff(cuts[side])) <= 30

    def greedy(text: str) -> int:
        count, room = 1, 30
        for number, word in enumerate(text.split(" ")):
            size = len(word) + (number > 0)
            count, room = (count, room - size) if size <= room else (count + 1, 30 - size)
        return count

    assert len(cuts["1"]) - 1 == max(map(greedy, texts.values()))


def test_lengths_are_balanced_without_links(bytewise: PairTokenizer) -> None:
    cuts = cut(Pair("p", {"1": "word " * 70 + "word", "2": "other words. " * 10 + "end"}), bytewise, 100)
    assert len(cuts["1"]) == 5
    assert np.ptp(np.diff(cuts["1"])) <= 5
    assert np.ptp(np.diff(cuts["2"])) <= 26  # sentences of 13 characters


def test_a_segment_longer_than_a_window_is_cut_at_words_then_characters(bytewise: PairTokenizer) -> None:
    pair = Pair("p", {"1": "aaaa bbbb cccc dddd", "2": "e" * 19}, {"1": [Span(0, 19)], "2": [Span(0, 19)]}, [(0, 0)])
    cuts = cut(pair, bytewise, 10)
    assert cuts["1"] == [0, 9, 19]
    assert cuts["2"][1] in (9, 10)


def test_characters_of_many_tokens_stay_whole(bytewise: PairTokenizer) -> None:
    text = "👩" * 9
    cuts = cut(Pair("p", {"1": text, "2": "x" * 20}), bytewise, 10)
    assert all(place % 4 == 0 for place in cuts["1"])
    assert len(cuts["1"]) == 6


def test_what_cannot_be_cut_is_refused(bytewise: PairTokenizer) -> None:
    with pytest.raises(UserError, match=r"a single character of article\.txt takes 4 tokens, but a window holds 3"):
        cut(Pair("p", {"1": "👩", "2": "x"}), bytewise, 3)
    with pytest.raises(UserError, match=r"need 5 windows of 10 tokens, but meta\.txt has only 4 characters"):
        cut(Pair("p", {"1": "x" * 50, "2": "abcd"}), bytewise, 10)


def test_a_very_unequal_pair_is_cut_at_characters(bytewise: PairTokenizer) -> None:
    cuts = cut(Pair("p", {"1": "x" * 50, "2": "ab cd"}), bytewise, 10)
    assert cuts["2"] == [0, 1, 2, 3, 4, 5]


def test_many_windows_keep_most_links(bytewise: PairTokenizer) -> None:
    (one, spans_1), (two, spans_2) = clauses(1800, 40, "a"), clauses(600, 40, "b")
    pair = Pair("p", {"1": one, "2": two}, {"1": spans_1, "2": spans_2}, [(3 * i, i) for i in range(600)])
    cuts = cut(pair, bytewise, 500)
    assert len(cuts["1"]) == len(cuts["2"]) > 150
    begins = {
        side: np.searchsorted(cuts[side], [span.start for span in spans], side="right")
        for side, spans in (("1", spans_1), ("2", spans_2))
    }
    inside = sum(begins["1"][a] == begins["2"][b] for a, b in pair.links)
    assert inside == len(pair.links)
