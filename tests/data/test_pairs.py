"""The pairs that ship with the project hold what the study relies on: clauses, links, anchors and probes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

PAIRS = Path(__file__).resolve().parents[2] / "data" / "pairs"
NAMES = sorted(folder.name for folder in PAIRS.iterdir() if folder.is_dir())
PROBES = ("paraphrase-article", "paraphrase-meta", "unrelated")
WORDS = {"spacing": (150, 250), "spacing-ru": (150, 250), "forgetting": (900, 1100)}
CLAUSES = {"spacing": (10, 18), "spacing-ru": (10, 18), "forgetting": (36, 99)}
FEWEST_LINKS = {"spacing": 10, "spacing-ru": 10, "forgetting": 30}
FEWEST_ANCHORS = 20
LONGEST_RUN = 6
# Counterfactual inputs keep the first 16 tokens, so an anchor before that could not be swapped.
KEPT = 16

WORD = re.compile(r"\w+(?:[.,'’-]\w+)*%?")


@dataclass(frozen=True)
class Pair:
    """One folder under data/pairs, read."""

    name: str
    article: str
    meta: str
    article_clauses: tuple[str, ...]
    meta_clauses: tuple[str, ...]
    links: tuple[tuple[int, int], ...]
    anchors: tuple[str, ...]
    probes: dict[str, str]


@cache
def read(name: str) -> Pair:
    folder = PAIRS / name
    segments = YAML(typ="safe").load((folder / "segments.yaml").read_text(encoding="utf-8"))
    assert set(segments) - {"paraphrase-article", "paraphrase-meta"} == {"article", "meta", "links", "anchors"}
    return Pair(
        name=name,
        article=(folder / "article.txt").read_text(encoding="utf-8"),
        meta=(folder / "meta.txt").read_text(encoding="utf-8"),
        article_clauses=tuple(segments["article"]),
        meta_clauses=tuple(segments["meta"]),
        links=tuple((i, j) for i, j in segments["links"]),
        anchors=tuple(segments["anchors"]),
        probes={probe: (folder / "probes" / f"{probe}.txt").read_text(encoding="utf-8") for probe in PROBES},
    )


@pytest.fixture(params=NAMES)
def pair(request: pytest.FixtureRequest) -> Pair:
    return read(request.param)


def places(anchor: str, text: str) -> list[int]:
    """Offsets in characters at which the anchor stands as a whole word or number."""
    return [match.start() for match in re.finditer(rf"(?<!\w){re.escape(anchor)}(?!\w)", text)]


def runs(text: str, anchors: tuple[str, ...], length: int) -> set[tuple[str, ...]]:
    """Runs of `length` ordinary words: anchors and numbers are passed over, they may be equal anywhere."""
    skipped = {anchor.casefold() for anchor in anchors}
    words = [word.casefold() for word in WORD.findall(text)]
    kept = [word for word in words if word not in skipped and not word[0].isdigit()]
    return {tuple(kept[start : start + length]) for start in range(len(kept) - length + 1)}


def sentences(text: str) -> set[str]:
    return {part.strip().casefold() for part in re.split(r"(?<=[.!?;:])\s+", text) if part.strip()}


def middles(clauses: tuple[str, ...]) -> list[float]:
    """The middle of each clause, as a share of the text's words."""
    counts = [len(WORD.findall(clause)) for clause in clauses]
    total, seen, shares = sum(counts), 0, []
    for count in counts:
        shares.append((seen + count / 2) / total)
        seen += count
    return shares


def correlation(xs: list[float], ys: list[float]) -> float:
    """Pearson's; on middles of clauses it says how well position in one text predicts position in the other."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    products = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return products / math.sqrt(sum((x - mean_x) ** 2 for x in xs) * sum((y - mean_y) ** 2 for y in ys))


def linked_middles(pair: Pair) -> tuple[list[float], list[float]]:
    article, meta = middles(pair.article_clauses), middles(pair.meta_clauses)
    return [article[i - 1] for i, _ in pair.links], [meta[j - 1] for _, j in pair.links]


def test_the_three_pairs_are_there() -> None:
    assert set(NAMES) >= set(WORDS)


def test_files_are_plain_text(pair: Pair) -> None:
    for text in (pair.article, pair.meta, *pair.probes.values()):
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert text == text.strip() + "\n"
        assert not re.search(r"[*_#<>`\t\r\u00a0\u200b\ufeff]|  ", text), "markup or odd white space"


def test_readme_is_short_and_states_the_sizes(pair: Pair) -> None:
    readme = (PAIRS / pair.name / "README.md").read_text(encoding="utf-8")
    assert 3 <= len([line for line in readme.splitlines() if line.strip()]) <= 8
    sizes = (
        f"Sizes, article and synthesis: {len(pair.article.split())} and {len(pair.meta.split())} words, "
        f"{len(pair.article_clauses)} and {len(pair.meta_clauses)} clauses; "
        f"{len(pair.links)} links, {len(pair.anchors)} anchors."
    )
    assert sizes in readme


def test_clauses_are_the_text_except_for_white_space(pair: Pair) -> None:
    for text, clauses in ((pair.article, pair.article_clauses), (pair.meta, pair.meta_clauses)):
        offset = 0
        for clause in clauses:
            assert clause == clause.strip() != ""
            start = text.find(clause, offset)
            assert start >= 0, f"not found in order: {clause!r}"
            assert text[offset:start].strip() == "", f"left out before {clause!r}: {text[offset:start]!r}"
            offset = start + len(clause)
        assert text[offset:].strip() == ""
        assert len(set(clauses)) == len(clauses)


def test_links_are_in_range_and_leave_some_clauses_out(pair: Pair) -> None:
    assert len(set(pair.links)) == len(pair.links)
    assert len(pair.links) >= FEWEST_LINKS.get(pair.name, 1)
    for side, clauses in ((0, pair.article_clauses), (1, pair.meta_clauses)):
        linked = {link[side] for link in pair.links}
        assert linked < set(range(1, len(clauses) + 1)), "out of range, or no clause without a match"


def test_anchors_stand_once_in_each_text_after_what_counterfactuals_keep(pair: Pair) -> None:
    assert len(set(pair.anchors)) == len(pair.anchors) >= FEWEST_ANCHORS
    for anchor in pair.anchors:
        assert isinstance(anchor, str)
        for text in (pair.article, pair.meta):
            found = places(anchor, text)
            assert len(found) == 1, f"{anchor!r} stands {len(found)} times"
            assert len(WORD.findall(text[: found[0]])) >= KEPT, f"{anchor!r} is among the first {KEPT} words"


def test_anchors_stand_in_linked_clauses(pair: Pair) -> None:
    for anchor in pair.anchors:
        here = [i for i, clause in enumerate(pair.article_clauses, 1) if places(anchor, clause)]
        there = [j for j, clause in enumerate(pair.meta_clauses, 1) if places(anchor, clause)]
        assert len(here) == len(there) == 1, f"{anchor!r} is cut by a clause border"
        assert (here[0], there[0]) in pair.links, (
            f"{anchor!r} joins clauses {here[0]} and {there[0]}, which no link does"
        )


def test_texts_differ(pair: Pair) -> None:
    assert not sentences(pair.article) & sentences(pair.meta)
    shared = runs(pair.article, pair.anchors, LONGEST_RUN + 1) & runs(pair.meta, pair.anchors, LONGEST_RUN + 1)
    assert not shared


@pytest.mark.parametrize("side", ["article", "meta"])
def test_paraphrase_shares_content_and_no_wording(pair: Pair, side: str) -> None:
    original, paraphrase = getattr(pair, side), pair.probes[f"paraphrase-{side}"]
    assert 0.75 <= len(WORD.findall(paraphrase)) / len(WORD.findall(original)) <= 1.25
    assert not sentences(original) & sentences(paraphrase)
    for text in (pair.article, pair.meta, pair.probes[f"paraphrase-{'meta' if side == 'article' else 'article'}"]):
        shared = runs(text, pair.anchors, LONGEST_RUN + 1) & runs(paraphrase, pair.anchors, LONGEST_RUN + 1)
        assert not shared
    missing = [anchor for anchor in pair.anchors if not places(anchor, paraphrase)]
    assert not missing, "a name or number of the content is gone"


def test_unrelated_text_is_of_another_topic_and_similar_length(pair: Pair) -> None:
    unrelated = pair.probes["unrelated"]
    mean = (len(WORD.findall(pair.article)) + len(WORD.findall(pair.meta))) / 2
    assert 0.75 <= len(WORD.findall(unrelated)) / mean <= 1.25
    assert not [anchor for anchor in pair.anchors if places(anchor, unrelated)]
    cyrillic = [bool(re.search("[а-яё]", text)) for text in (unrelated, pair.article, pair.meta)]
    assert len(set(cyrillic)) == 1, "another script than the pair"


@pytest.mark.parametrize("name", WORDS)
def test_sizes(name: str) -> None:
    pair = read(name)
    for text, clauses in ((pair.article, pair.article_clauses), (pair.meta, pair.meta_clauses)):
        assert WORDS[name][0] <= len(text.split()) <= WORDS[name][1]
        assert CLAUSES[name][0] <= len(clauses) <= CLAUSES[name][1]


@pytest.mark.parametrize("name", ["spacing", "spacing-ru"])
def test_position_does_not_give_the_content_away(name: str) -> None:
    pair = read(name)
    assert abs(correlation(*linked_middles(pair))) < 0.3
    # A guess by nearest relative position must be wrong for most clauses.
    article, meta = middles(pair.article_clauses), middles(pair.meta_clauses)
    guesses = {i: min(range(len(meta)), key=lambda j: abs(meta[j] - article[i - 1])) + 1 for i, _ in pair.links}
    right = sum((i, j) in pair.links for i, j in guesses.items())
    assert right / len(guesses) < 0.25


def test_windows_of_the_long_pair_correspond_and_are_shuffled_within() -> None:
    here, there = linked_middles(read("forgetting"))
    for windows in (2, 3, 4):
        together = sum(int(windows * x) == int(windows * y) for x, y in zip(here, there, strict=True))
        assert together / len(here) > 0.85, f"{windows} windows at clause borders would not correspond"
    for quarter in range(4):
        within = [(x, y) for x, y in zip(here, there, strict=True) if int(4 * x) == int(4 * y) == quarter]
        assert correlation([x for x, _ in within], [y for _, y in within]) < 0.75
