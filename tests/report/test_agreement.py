from __future__ import annotations

import pytest

from resonance.report.agreement import Stretch, agreement


def joined(stretches: tuple[Stretch, ...]) -> str:
    return "".join(stretch.text for stretch in stretches)


def agreeing(stretches: tuple[Stretch, ...]) -> str:
    return "|".join(stretch.text for stretch in stretches if stretch.agrees)


def test_equal_texts_agree_wholly() -> None:
    found = agreement("Rest helps.", "Rest helps.")
    assert found.output == found.reference == (Stretch("Rest helps.", True),)
    assert (found.exact, found.share) == (11, 1.0)


def test_a_word_that_differs_is_left_out_on_both_sides() -> None:
    found = agreement("Rest harms memory.", "Rest helps memory.")
    assert agreeing(found.output) == agreeing(found.reference) == "Rest | memory."
    assert found.exact == len("Rest h")
    assert found.share == pytest.approx(3 / 4)


def test_nothing_is_lost() -> None:
    for output, reference in (("a b  c, d", "x b  c!"), ("", "a b"), ("a b", ""), ("один два", "два три")):
        found = agreement(output, reference)
        assert (joined(found.output), joined(found.reference)) == (output, reference)


def test_a_blank_alone_does_not_agree() -> None:
    assert agreeing(agreement("one two", "three four").output) == ""


def test_empty_texts() -> None:
    assert agreement("", "").share == 1
    assert agreement("", "words").share == 0
    assert agreement("words", "").share == 0
    assert agreement("", "words").output == ()


def test_what_cannot_be_seen_is_shown_by_a_sign() -> None:
    assert joined(agreement("a\n\n\tb\x00", "c").output) == "a↵↵⇥b␀"
