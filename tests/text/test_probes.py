from __future__ import annotations

from resonance.text.pair import Pair
from resonance.text.probes import shuffled, with_shuffled

TEXT = "one two three four five six seven eight nine ten"


def test_words_are_kept_and_moved() -> None:
    mixed = shuffled(TEXT, 1)
    assert sorted(mixed.split()) == sorted(TEXT.split())
    assert mixed != TEXT


def test_the_order_is_the_same_for_ever_and_differs_between_texts() -> None:
    assert shuffled(TEXT, 1) == "four one seven five two ten nine eight six three"
    assert shuffled(TEXT, 2) != shuffled(TEXT, 1)


def test_a_text_without_spaces_is_shuffled_by_characters() -> None:
    text = "重复使学习变慢而遗忘使学习重新开始这是一个悖论每个学生都知道它"
    assert sorted(shuffled(text, 1)) == sorted(text)
    assert shuffled(text, 1) != text


def test_probes_are_added_and_a_text_too_short_is_noted() -> None:
    pair = with_shuffled(Pair("p", {"1": TEXT, "2": "word"}, probes={"unrelated": "x"}, notes=["first"]))
    assert list(pair.probes) == ["unrelated", "shuffled-1"]
    assert pair.notes == ["first", "text 2 is too short to be shuffled: there is no probe shuffled-2"]
