from __future__ import annotations

from figures.legible import texts
from figures.synthetic_tables import tokens
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle

from resonance.figures import pair

ARTICLE = ["Memory fades", "Review helps for $5 and $6", "Память крепнет"]
META = ["Spacing wins", "No bias was found"]


def patches(figure: Figure, kind: type) -> int:
    return sum(type(patch) is kind for patch in figure.axes[0].patches)


def words(figure: Figure) -> list[str]:
    return [text for text, _ in texts(figure)]


def test_a_box_per_segment_and_a_line_per_link() -> None:
    figure = pair.draw(tokens(ARTICLE, META), [(0, 1), (1, 0)], "spacing")
    assert patches(figure, FancyBboxPatch) == 5
    assert patches(figure, PathPatch) == 2
    assert {*ARTICLE, *META} <= set(words(figure))
    assert "3 segments of the article, 2 of the meta-analysis, 2 links between them" in words(figure)


def test_a_line_joins_the_middles_of_its_boxes() -> None:
    figure = pair.draw(tokens(ARTICLE, META), [(2, 0)], "spacing")
    (link,) = [patch for patch in figure.axes[0].patches if type(patch) is PathPatch]
    (_, start), (_, end) = link.get_path().vertices[[0, -1]]
    assert (start / 0.19, end / 0.19) == (2.5, 0.5)


def test_of_many_segments_only_bars_are_drawn() -> None:
    figure = pair.draw(tokens(ARTICLE * 30, META * 20), [(0, 0)], "long")
    assert patches(figure, Rectangle) == 130
    assert "Memory fades" not in words(figure)
    assert "90" in words(figure)


def test_without_segments_it_says_what_to_do() -> None:
    figure = pair.draw(tokens(ARTICLE, META).assign(segment=-1), [], "plain")
    assert any("segments.yaml" in text for text in words(figure))
    assert any("article: 10 tokens; meta-analysis: 6 tokens" in text for text in words(figure))


def test_pieces_of_a_character_are_joined() -> None:
    table = tokens(["a b"], ["c"])
    table.loc[table["text"] == "1", "piece"] = [" h\\xd0", "\\xbf!"]
    assert pair.segment_texts(table[table["text"] == "1"]) == ["hп!"]


def test_letters_that_the_font_lacks_are_boxes() -> None:
    assert pair.drawable("a日本я") == "a▯▯я"
