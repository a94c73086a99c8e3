from __future__ import annotations

import pytest
from figures.legible import assert_legible, texts
from figures.synthetic_tables import states, tables, tokens
from matplotlib.figure import Figure

from resonance.figures import drift, loss, pair, probes, reader, recall, trajectory
from resonance.figures.notice import notice

FROM_TABLES = {"loss": loss, "recall": recall, "probes": probes, "reader": reader, "drift": drift}


@pytest.mark.parametrize("kind", FROM_TABLES)
@pytest.mark.parametrize(("learners", "seeds", "last"), [(1, 1, 1), (4, 3, 512), (12, 4, 10**6)])
def test_no_text_overlaps_or_is_cut(kind: str, learners: int, seeds: int, last: int) -> None:
    assert_legible(FROM_TABLES[kind].draw(tables(learners, seeds, last)))


@pytest.mark.parametrize("learners", [1, 2, 3, 4, 12])
def test_trajectory_is_legible(learners: int) -> None:
    assert_legible(trajectory.draw(states(learners)))


@pytest.mark.parametrize("segments", [1, 24, 200])
def test_pair_is_legible(segments: int) -> None:
    text = ["Some words that are longer than the box in which they are to stand, by far"] * segments
    assert_legible(pair.draw(tokens(text, text), [(i, segments - 1 - i) for i in range(segments)], "spacing"))


@pytest.mark.parametrize("learners", [7, 20])
def test_rows_that_are_not_full_are_legible(learners: int) -> None:
    assert_legible(loss.draw(tables(learners, 1, 64)))


def test_a_long_notice_is_wrapped() -> None:
    assert_legible(notice("A title that says at length what would be seen here if there were anything", "why " * 60))


def test_the_check_finds_texts_on_one_another() -> None:
    figure = Figure(figsize=(7.2, 1))
    figure.text(0.1, 0.5, "one")
    figure.text(0.1, 0.5, "another")
    with pytest.raises(AssertionError, match="one on another"):
        assert_legible(figure)


def test_the_check_finds_texts_that_are_cut() -> None:
    figure = Figure(figsize=(7.2, 1))
    figure.text(0.99, 0.5, "beyond the edge")
    with pytest.raises(AssertionError, match="cut off"):
        assert_legible(figure)


def test_the_check_sees_tick_labels() -> None:
    figure = loss.draw(tables(1, 1, 512))
    assert {"0", "1", "10", "100"} <= {text for text, _ in texts(figure)}
