from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report.judged import NASTY, VERDICTS, claim, effect
from report.page import Page

from resonance.errors import UserError
from resonance.report.pictures import Picture
from resonance.report.verdicts import MEANINGS, SIGNS, Claim, read_verdicts, verdicts

Report = Callable[..., str]


def told(read: dict[str, Any]) -> Claim:
    return verdicts({"claims": [read]}, lambda name: None).claims[0]


def words(page: str) -> str:
    return " ".join(" ".join(Page(page).words).split())


def test_every_verdict_has_a_word_a_sign_of_its_own_and_a_meaning() -> None:
    assert set(SIGNS) == set(MEANINGS)
    assert len(set(SIGNS.values())) == len(SIGNS)
    found = verdicts(VERDICTS, lambda name: None)
    assert [claim.sign for claim in found.claims] == ["✓", "✗", "≈", "✗", "…"]
    assert [(word, count) for word, _, count in found.counts] == [
        ("supported", 1),
        ("refuted", 2),
        ("not identifiable", 1),
        ("undecided", 1),
    ]
    assert not found.open


def test_numbers_have_as_many_digits_as_the_interval_is_wide() -> None:
    first = told(VERDICTS["claims"][0])
    assert (first.effect, first.interval, first.level, first.units) == ("0.972", "[0.951, 0.993]", "95%", "10 seeds")
    assert first.chance == "p 0.0019, Holm 0.0059"
    assert first.sesoi == "above 0.9 of places"
    assert told(VERDICTS["claims"][3]).interval == "[−0.38, −0.24]"
    wide = told(claim("C0", "x", "", "undecided", effect=effect(1234.5, 1000.2, 2000.7, n=1)))
    assert (wide.effect, wide.interval, wide.units) == ("1,234", "[1,000, 2,001]", "1 seed")
    point = told(claim("C0", "x", "", "undecided", effect=effect(0.5, 0.5, 0.5)))
    assert (point.effect, point.interval) == ("0.500", "[0.500, 0.500]")


def test_what_is_missing_is_empty() -> None:
    bare = told({"id": "C9", "verdict": "undecided"})
    assert (bare.effect, bare.interval, bare.units, bare.control, bare.chance, bare.scale) == ("", "", "", "", "", None)
    null = {
        "id": "C9",
        "verdict": "undecided",
        "effect": None,
        "endpoint": None,
        "control": None,
        "runs": None,
        "secondary": None,
    }
    assert told(null) == bare
    strange = {"value": float("nan"), "low": float("-inf"), "high": 1.0}
    assert told(claim("C9", "x", "", "undecided", effect=strange)).effect == ""


def test_a_verdict_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="claim C2: verdict 'maybe'"):
        told({"id": "C2", "verdict": "maybe"})


def test_the_scale_holds_zero_the_interval_and_what_would_matter() -> None:
    scale = told(VERDICTS["claims"][0]).scale
    assert scale is not None
    assert scale.zero is not None
    assert scale.sesoi is not None
    assert scale.range is not None
    assert 0 < scale.zero < scale.sesoi < scale.range[0] < scale.value < scale.range[1] < 100
    assert scale.beyond == (scale.sesoi, 100.0)
    below = told(
        claim(
            "C3", "x", "", "supported", effect=effect(-0.3, -0.4, -0.2), endpoint={"sesoi": -0.1, "direction": "below"}
        )
    ).scale
    assert below is not None
    assert below.sesoi is not None
    assert below.beyond == (0.0, below.sesoi)
    assert below.range is not None
    assert below.range[1] < below.sesoi


def test_one_unit_has_a_place_and_no_interval() -> None:
    alone = {"value": 1.0, "low": None, "high": None, "level": 0.95, "n": 1, "unit": "seed", "values": [1.0]}
    found = told(claim("C1a", "recites", "", "undecided", effect=alone, endpoint={"sesoi": 0.9, "direction": "above"}))
    assert (found.effect, found.interval, found.units) == ("1.00", "", "1 seed")
    assert found.scale is not None
    assert (found.scale.range, found.scale.units) == (None, [found.scale.value])


def test_long_lists_of_the_study_are_counted() -> None:
    read = {"claims": [], "study": {"fingerprint": "ab12", "pairs": ["a", "b"], "cycles": 128, "runs": ["r"] * 31}}
    assert verdicts(read, lambda name: None).study == [
        ("fingerprint", "ab12"),
        ("pairs", "a, b"),
        ("cycles", "128"),
        ("runs", "31"),
    ]


def test_a_figure_is_linked_or_shown_or_left_out() -> None:
    figures = {"loss-spacing-shuffled": "figure-1-1-loss", "probes": Picture("data:,", "probes")}
    found = verdicts(VERDICTS, figures.get).claims
    assert (found[0].figure, found[0].picture) == ("figure-1-1-loss", None)
    assert (found[1].figure, found[1].picture) == ("", figures["probes"])
    assert (found[2].figure, found[2].picture) == ("", None)


def test_the_page_says_it_all(full: Report) -> None:
    text = full()
    page = Page(text)
    said = words(text)
    for phrase in (
        "✓ supported",
        "✗ refuted",
        "≈ not identifiable",
        "… undecided",
        "0.972 [0.951, 0.993] of places",
        "10 seeds",
        "✓ supported 1",
        "above 0.9 of places",
        "stored token at edited places: 0.972 of places, 95% interval [0.951, 0.993], over 10 seeds",
        "p 0.0019, Holm 0.0059",
        "and also what a blank input adds: 0.012 [0.004, 0.020] (bound 0.05)",
        "contrast the stored token against the edited one",
        "standing primary",
        "standing exploratory",
        "failed (0.420). It follows less than 0.8.",
        "to keep in mind Blank inputs keep their first 16 tokens.",
        "a planted reciter, through the whole pipeline: passed (1.00)",
        "planted-reciter/spacing/shuffled/0",
        "A share below 0.9 at 10 × t99",
        "on this pair, for this recipe",
        "a blank input adds (nat/token) 0.012 [0.004, 0.020] p 0.04, q 0.06",
        "Judged from: params: 4f1d0c2ab97e5511; runs: 310",
        NASTY,
    ):
        assert phrase in said
    links = [attributes["href"] for attributes in page.all("a")]
    assert "#claim-C1a" in links
    assert "#figure-1-1-loss" in links
    assert not any("onclick" in attributes for _, attributes in page.elements)


def test_a_figure_that_stands_nowhere_else_is_shown_with_its_claim(full: Report, drawn: Path) -> None:
    (drawn / "claims-depth.svg").write_text("<svg><title>Depth</title></svg>")
    judged = {"claims": [claim("C11", "depth", "Depth matters.", "refuted", figure="claims-depth")]}
    assert 'alt="Depth"' in full(judged=judged)


@pytest.mark.parametrize("judged", [None, {"claims": []}])
def test_without_claims_one_sentence(report: Report, judged: dict[str, Any] | None) -> None:
    text = report(judged=judged)
    assert Page(text).faults == []
    assert "No claim has been judged yet." in words(text)
    assert '<table class="verdicts"' not in text


def test_all_undecided_reads_as_such(report: Report) -> None:
    text = report(judged={"claims": [each | {"verdict": "undecided"} for each in VERDICTS["claims"]]})
    assert "No claim can be decided from what this study has run so far" in words(text)
    assert "… undecided 5" in words(text)


def test_a_file_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "verdicts.json").write_text(json.dumps(VERDICTS))
    assert read_verdicts(tmp_path / "verdicts.json") == VERDICTS
    for content in ("{", "[]", '{"claims": 3}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(UserError, match="damaged"):
            read_verdicts(tmp_path / "bad.json")
    with pytest.raises(UserError, match="is missing"):
        read_verdicts(tmp_path / "none.json")
