from __future__ import annotations

import pandas as pd

from resonance.report.voices import speakers

COLUMNS = ["learner", "seed", "cycle", "direction", "window", "prefix", "output", "reference", "steps"]


def said(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame([(*row, None)[: len(COLUMNS)] for row in rows], columns=COLUMNS)


def test_the_last_mark_of_the_first_seed_is_shown() -> None:
    table = said(
        ("gpt", 0, 0, "1>2", 0, 0, "early", "right"),
        ("gpt", 0, 8, "1>2", 0, 0, "right", "right"),
        ("gpt", 0, 8, "1>2", 1, 0, "second window", "right"),
        ("gpt", 0, 8, "1>2", 0, 8, "longer prefix", "right"),
        ("gpt", 1, 16, "1>2", 0, 0, "other seed", "right"),
    )
    (speaker,) = speakers(table, ["gpt", "silent"])
    assert (speaker.learner, speaker.cycle, speaker.seed, speaker.share) == ("gpt", 8, 0, 1.0)
    assert [voice.agreement.output[0].text for voice in speaker.voices] == ["right"]


def test_what_was_written_in_a_given_number_of_steps_is_not_shown() -> None:
    table = said(
        ("mdlm", 0, 8, "1>2", 0, 0, "own way", "right"),
        ("mdlm", 0, 8, "1>2", 0, 0, "right", "right", 16),
    )
    (speaker,) = speakers(table, ["mdlm"])
    assert speaker.share == 0


def test_directions_stand_in_their_order_and_the_share_is_their_mean() -> None:
    table = said(("gpt", 0, 0, "2>2", 0, 0, "a", "a"), ("gpt", 0, 0, "1>2", 0, 0, "b", "a"))
    (speaker,) = speakers(table, ["gpt"])
    assert [voice.direction for voice in speaker.voices] == ["1>2", "2>2"]
    assert speaker.share == 0.5


def test_a_mix_up_of_the_two_texts_is_noticed() -> None:
    table = said(
        ("gpt", 0, 0, "1>2", 0, 0, "the first text", "a second one"),
        ("gpt", 0, 0, "2>1", 0, 0, "the first text", "the first text"),
    )
    (speaker,) = speakers(table, ["gpt"])
    assert [voice.mistaken for voice in speaker.voices] == [1.0, 0.0]
