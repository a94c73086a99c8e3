from __future__ import annotations

from pathlib import Path

import pytest

from resonance.errors import UserError
from resonance.text.segments import Span, anchor_spans, read_segments

TEXTS = {"1": "One two,\n  three 12. Four.", "2": "一二三。四 12"}
GOOD = 'article: ["One two, three 12.", "Four."]\nmeta: ["一二三。", "四 12"]\n'


def read(folder: Path, content: str) -> tuple[dict[str, list[Span]], list[tuple[int, int]], list[str]]:
    path = folder / "segments.yaml"
    path.write_text(content, encoding="utf-8")
    return read_segments(path, TEXTS)


def test_clauses_become_spans_and_links_count_from_zero(tmp_path: Path) -> None:
    spans, links, anchors = read(tmp_path, GOOD + 'links: [[1, 2], [2, 1]]\nanchors: ["12", "12"]\n')
    assert [TEXTS["1"][span.start : span.stop] for span in spans["1"]] == ["One two,\n  three 12.", "Four."]
    assert [TEXTS["2"][span.start : span.stop] for span in spans["2"]] == ["一二三。", "四 12"]
    assert links == [(0, 1), (1, 0)]
    assert anchors == ["12"]


def test_links_and_anchors_may_be_missing_or_empty(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD)[1:] == ([], [])
    assert read(tmp_path, GOOD + "links:\nanchors: []\n")[1:] == ([], [])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GOOD.replace("three", "thre"), "clause 1 of article ('One two, thre 12.') does not match article.txt, which"),
        (GOOD.replace("Four", "Five"), "clause 2 of article ('Five.') does not match article.txt, which reads 'Four.'"),
        (GOOD.replace("Four", "Five"), "at character 22 (line 2)"),
        (
            GOOD.replace(', "四 12"', ""),
            "the last clause of meta ends before meta.txt does, which goes on with '四 12'",
        ),
        (
            GOOD.replace('"Four."', '"Four.", "Five."'),
            "clause 3 of article ('Five.') does not match article.txt, which has",
        ),
        (GOOD.replace('"Four."', '" "'), "clause 2 of article is empty"),
        (GOOD.replace('"Four."', "4"), "article, entry 2 is 4, which YAML does not read as text; put it in quotes"),
        (GOOD.replace("meta:", "mata:"), "the key meta is missing"),
        (GOOD + "link: [[1, 1]]", "'link' is not a known key; did you mean 'links'?"),
        (GOOD + "links: [[1, 3]]", "link [1, 3] names clause 3 of meta, which has clauses 1 to 2"),
        (GOOD + "links: [[0, 1]]", "link [0, 1] names clause 0 of article"),
        (GOOD + "links: [[1, 1], [2, 2], [1, 1]]", "link [1, 1] is given twice"),
        (GOOD + "links: [[1, 2, 1]]", "links, entry 1 is [1, 2, 1]; write links as"),
        (GOOD + "links: [[1, two]]", "write links as [clause of article, clause of meta]"),
        (GOOD + 'anchors: ["One"]', "anchor 'One' does not occur in meta.txt"),
        (GOOD + 'anchors: [""]', "anchor '' does not occur"),
        (GOOD + "anchors: [12]", "anchors, entry 1 is 12, which YAML does not read as text; put it in quotes"),
        (GOOD.replace('["一二三。", "四 12"]', "text"), "meta must be a list"),
        (GOOD.replace('["一二三。", "四 12"]', "[]"), "meta must be a list with at least one entry"),
        ("- a list", "must hold the keys article and meta"),
        ("", "must hold the keys article and meta"),
        ("article: [", "is not valid YAML"),
        (GOOD + GOOD, "is not valid YAML"),
    ],
)
def test_every_fault_is_one_clear_sentence(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, content)
    assert says in str(error.value)
    assert "segments.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_anchors_are_whole_words_where_there_are_any() -> None:
    assert anchor_spans("1200 and 12, then 12", "12") == [Span(9, 11), Span(18, 20)]
    assert anchor_spans("今天是红色的。", "红色") == [Span(3, 5)]
    assert anchor_spans("C++ (C++)", "C++") == [Span(0, 3), Span(5, 8)]


REWORDED = {"paraphrase-article": "Uno. Due."}


def reworded(folder, clauses: str, probes: dict[str, str]) -> object:
    path = folder / "segments.yaml"
    path.write_text(f"article: [One., Two.]\nmeta: [Three.]\nparaphrase-article: {clauses}\n")
    return read_segments(path, {"1": "One. Two.", "2": "Three."}, probes).spans


def test_the_clauses_of_a_paraphrase_stand_beside_those_of_its_text(tmp_path):
    assert reworded(tmp_path, "[Uno., Due.]", REWORDED)["paraphrase-article"] == [(0, 4), (5, 9)]


@pytest.mark.parametrize(
    ("clauses", "probes", "said"),
    [
        ("[Uno., Due.]", {}, "no probes/paraphrase-article.txt"),
        ("[Uno. Due.]", REWORDED, "has 1 clauses and article 2"),
        ("[Uno., Tre.]", REWORDED, "does not match probes/paraphrase-article.txt"),
    ],
)
def test_faults_of_a_paraphrase_are_said(tmp_path, clauses, probes, said):
    with pytest.raises(UserError, match=said):
        reworded(tmp_path, clauses, probes)
