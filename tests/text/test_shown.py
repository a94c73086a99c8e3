from __future__ import annotations

import anchored
import numpy as np
import pytest
from segmented import pair

from resonance import params
from resonance.errors import UserError
from resonance.params import DIRECTIONS
from resonance.text.shown import derangement, grouped, hidden_links, kinds, renamed, shown, site, versions

TOKENS = anchored.tokens()
CONTROLS = [params.ShuffledMeta(), params.UnrelatedMeta(), params.DerangedMeta()]


def test_as_written_is_the_pair() -> None:
    for direction in DIRECTIONS:
        found = shown(TOKENS, params.AsWritten(), direction, 0)
        assert np.array_equal(found.input, TOKENS.ids(direction[0]))
        assert np.array_equal(found.target, TOKENS.ids(direction[-1]))


@pytest.mark.parametrize("settings", CONTROLS, ids=lambda settings: settings.tag)
def test_a_changed_meta_is_the_same_wherever_it_stands_and_the_article_stays(settings: params.Member) -> None:
    found = {direction: shown(TOKENS, settings, direction, 0) for direction in DIRECTIONS}
    for direction, texts in found.items():
        for side, ids in zip((direction[0], direction[-1]), texts, strict=True):
            assert np.array_equal(ids, TOKENS.ids("1") if side == "1" else found["2>2"].input)
    changed = found["2>2"].target
    assert not np.array_equal(changed, TOKENS.ids("2"))
    assert len(changed) <= len(TOKENS.ids("2"))


def test_a_deranged_meta_has_all_clauses_and_none_at_its_place() -> None:
    ids = shown(TOKENS, params.DerangedMeta(), "2>2", 0).input
    assert sorted(ids) == sorted(TOKENS.ids("2"))
    clauses = [TOKENS.ids("2")[TOKENS.segments("2") == number].tolist() for number in range(5)]
    starts = [next(i for i in range(len(ids)) if ids[i : i + len(c)].tolist() == c) for c in clauses]
    assert all(rank != number for number, rank in enumerate(np.argsort(np.argsort(starts))))


@pytest.mark.parametrize("number", range(5, 40))
def test_derangements_leave_no_neighbours_together(number: int) -> None:
    order = np.array(derangement(number))
    assert sorted(order) == list(range(number))
    assert (order != np.arange(number)).all()
    assert (np.diff(order) != 1).all()


def test_foreign_is_the_probe_on_both_sides() -> None:
    found = shown(TOKENS, params.Foreign(), "1>2", 0)
    assert np.array_equal(found.input, found.target)
    assert np.array_equal(found.input, TOKENS.ids("unrelated")[: len(TOKENS.ids("2"))])


def test_versions_exchange_names_alike_in_both_texts() -> None:
    groups = kinds(TOKENS)
    assert sorted(map(len, groups)) == [5, 5]
    drawn = set()
    for version in range(8):
        names = []
        for text in "12":
            ids = renamed(TOKENS, text, version)
            assert len(ids) == len(TOKENS.ids(text))
            names.append([tuple(ids[slice(*site(TOKENS, name, text))]) for group in groups for name in group])
            outside = np.ones(len(ids), bool)
            for name in anchored.ANCHORS:
                outside[slice(*site(TOKENS, name, text))] = False
            assert np.array_equal(ids[outside], TOKENS.ids(text)[outside])
        assert names[0] == names[1]
        drawn.add(tuple(names[0]))
        assert sorted(names[0]) == sorted(names[1])
    assert len(drawn) == 8
    assert np.array_equal(renamed(TOKENS, "1", 0), TOKENS.ids("1"))
    assert versions(params.Versions(count=8)) == 8
    assert versions(params.AsWritten()) == 1


def test_every_link_is_hidden_once_and_a_hidden_clause_is_hidden_everywhere() -> None:
    links = [(0, 1), (1, 1), (2, 0), (3, 4), (4, 3), (5, 5), (6, 2)]
    folds = [hidden_links(links, params.Hidden(fold=fold, folds=3)) for fold in range(3)]
    assert sorted(link for fold in folds for link in fold) == links
    for fold in folds:
        assert not {i for i, _ in fold} & {i for other in folds if other is not fold for i, _ in other}
        assert not {j for _, j in fold} & {j for other in folds if other is not fold for _, j in other}


def test_links_that_meet_over_a_third_are_one_group() -> None:
    assert grouped([(0, 0), (1, 1), (0, 1), (3, 3)]) == [[(0, 0), (0, 1), (1, 1)], [(3, 3)]]


def test_hidden_clauses_leave_the_cross_directions_only() -> None:
    settings = params.Hidden(fold=0, folds=2)
    hidden = hidden_links(TOKENS.links, settings)
    assert hidden
    for direction in DIRECTIONS:
        texts = shown(TOKENS, settings, direction, 0)
        for side, ids in zip((direction[0], direction[-1]), texts, strict=True):
            gone = [link[int(side) - 1] for link in hidden] if direction in ("1>2", "2>1") else []
            kept = ~np.isin(TOKENS.segments(side), gone)
            assert np.array_equal(ids, TOKENS.ids(side)[kept])


@pytest.mark.parametrize(
    ("settings", "tokens", "said"),
    [
        (params.ShuffledMeta(), pair(windows=2), "windows"),
        (params.Foreign(), pair(), "needs the probe unrelated"),
        (params.DerangedMeta(), pair(clauses=None), "needs clauses"),
        (params.Hidden(), pair(clauses=None), "needs links"),
    ],
)
def test_what_a_pair_lacks_is_said(settings: params.Member, tokens: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        shown(tokens, settings, "1>2", 0)  # type: ignore[arg-type]
