from __future__ import annotations

import pytest

from resonance.figures.sheet import UNBROKEN, columns_for, of, sheet, shortened, text_width, wrapped


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (7, 4), (9, 3), (12, 4), (20, 4)]
)
def test_grid(count: int, columns: int) -> None:
    assert columns_for(count) == columns
    page = sheet([f"learner {i}" for i in range(count)], title="title", subtitle="subtitle")
    assert len(page.panels) == len(page.figure.axes) == count


def test_wrapped_lines_fit_and_keep_every_word() -> None:
    text = "a sentence of words that is much longer than the line it has to stand on"
    lines = wrapped(text, 1.5, 10)
    assert " ".join(lines) == text
    assert len(lines) > 1
    assert all(text_width(line, 10) <= 1.5 for line in lines)


def test_wrapped_lines_are_of_much_the_same_length() -> None:
    lines = wrapped("one two three four five six seven", text_width("one two three four five six", 10), 10)
    assert len(lines) == 2
    assert len(lines[1]) > len("seven")


def test_a_value_and_its_name_stay_together() -> None:
    assert of("0.01", "gpt") == f"0.01{UNBROKEN}(gpt)"
    lines = wrapped(f"loss {of('0.01', 'gpt')}", text_width("loss 0.01 ", 10), 10)
    assert len(lines) == 2


def test_shortened_keeps_both_ends_of_a_name_or_the_start_of_a_sentence() -> None:
    name = "a_very_long_name_of_a_learner"
    short = shortened(name, 1.0, 10)
    assert text_width(short, 10) <= 1.0
    assert short.startswith("a_very")
    assert short.endswith("rner")
    assert shortened("words to the end", 0.8, 10, end=False).endswith("…")
    assert shortened("gpt", 1.0, 10) == "gpt"


def test_a_dollar_is_a_dollar() -> None:
    page = sheet(["costs $5 or $6"], title="$a_b$", subtitle="100 % of $x$")
    page.figure.draw_without_rendering()
    assert page.panels[0].get_title("left") == "costs $5 or $6"
