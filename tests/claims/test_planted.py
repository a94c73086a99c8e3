"""Every judge against tables in which the truth is known."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from claims.planted import FALSE, TRUE, planted, study

from resonance.claims import NAMES
from resonance.claims.judge import judge_all
from resonance.claims.verdict import Verdict
from resonance.params import Params


def verdict(name: str, effect: float, seeds: int = 7, of: Params | None = None, **more: object) -> Verdict:
    (found,) = judge_all(of or study(seeds), planted(name, effect, seeds, **more), (name,))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_true_claim_is_supported(name: str) -> None:
    found = verdict(name, TRUE[name])
    assert found.verdict == "supported", found.why
    assert found.ruling.control.outcome == "passed"


@pytest.mark.parametrize("name", NAMES)
def test_a_false_claim_is_refuted_where_it_would_have_been_seen(name: str) -> None:
    found = verdict(name, FALSE[name])
    assert found.verdict == "refuted", found.why
    blind = verdict(name, FALSE[name], control=False)
    assert (blind.verdict, blind.ruling.control.outcome) == ("undecided", "failed")


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_decides_nothing(name: str) -> None:
    assert verdict(name, TRUE[name], seeds=1).verdict == "undecided"


@pytest.mark.parametrize("name", ["recites", "calibration"])
def test_a_primary_claim_needs_seven_seeds(name: str) -> None:
    found = verdict(name, TRUE[name], seeds=6)
    assert found.verdict == "undecided"
    assert "needs 7" in found.why


def test_the_crossed_design_needs_six_of_each() -> None:
    assert "needs 6" in verdict("permutations", TRUE["permutations"], seeds=5).why
    assert verdict("permutations", TRUE["permutations"], seeds=6).verdict == "supported"


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        ("critic", {"base": 0.98}, "no room"),
        ("correspondence", {"links": 4}, "20 links"),
        ("translation", {"number": 12}, "12 anchors"),
        ("identity", {"words": 0.95}, "no room"),
        ("topology", {"drift": 0.01}, "nothing to split"),
    ],
)
def test_what_the_tables_cannot_tell_is_not_identifiable(name: str, more: dict[str, float], says: str) -> None:
    found = verdict(name, TRUE[name], **more)
    assert found.verdict == "not identifiable"
    assert says in found.why


def learner(name: str, **changes: object) -> Callable[[Params], Params]:
    """The study with one learner changed."""

    def changed(before: Params) -> Params:
        learners = before.learners | {name: before.learners[name].model_copy(update=changes)}
        return before.model_copy(update={"learners": learners})

    return changed


def block(name: str, **changes: object) -> Callable[[Params], Params]:
    """The study with a block changed."""

    def changed(before: Params) -> Params:
        return before.model_copy(update={name: getattr(before, name).model_copy(update=changes)})

    return changed


GPT = study().learners["gpt"]


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("recites", block("evaluation", edits=20), "30 edited"),
        ("recites", block("evaluation", kept=4), "16 kept"),
        ("copies", block("evaluation", edits=20), "30 edited"),
        ("chokes", learner("gpt", init="random"), "no skill to lose"),
        ("chokes", block("base", tokens=0), "no skill to lose"),
        ("structure", learner("loreft", train=GPT.train), "touches weights"),
        ("context", learner("reader", train=GPT.train), "Weights change"),
        ("calibration", learner("ema", marker="none"), "differ in marker"),
        ("depth", lambda before: before.model_copy(update={"cycles": 1000}), "unequally often"),
        ("permutations", block("base", per_seed=False), "one base"),
        (
            "permutations",
            lambda before: before.model_copy(update={"schedules": dict.fromkeys(before.schedules, SEEDLESS)}),
            "share one seed",
        ),
    ],
)
def test_what_the_design_cannot_tell_is_not_identifiable(
    name: str, change: Callable[[Params], Params], says: str
) -> None:
    found = verdict(name, TRUE[name], of=change(study()))
    assert found.verdict == "not identifiable", found.why
    assert says in found.why


SEEDLESS = study().schedules["shuffled"]


def test_translation_from_scratch_can_be_shown_but_not_denied() -> None:
    scratch = learner("gpt", init="random")(study())
    assert verdict("translation", FALSE["translation"], of=scratch).verdict == "not identifiable"
    assert verdict("translation", TRUE["translation"], of=scratch).verdict == "supported"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("context", {"further": 0.1}),
        ("depth", {"data": 0.2}),
    ],
)
def test_the_second_criterion_alone_refutes(name: str, more: dict[str, float]) -> None:
    found = verdict(name, TRUE[name], **more)
    assert found.verdict == "refuted"
    assert found.ruling.criteria[0].holds


def test_a_blank_input_that_costs_takes_support_from_recital_and_does_not_refute_it() -> None:
    found = verdict("recites", TRUE["recites"], cost=0.3)
    assert found.verdict == "undecided"
    assert "does not refute it" in found.why
    assert verdict("recites", FALSE["recites"], cost=0.3).verdict == "refuted"


def test_a_shift_of_the_sham_is_no_translation() -> None:
    """Half of the anchors are "followed", as in any network that knows nothing, but the swap changes nothing."""
    tables = planted("translation", 0.5)
    anchors = tables["anchors"]
    tables["anchors"] = anchors.assign(value=anchors["value"].where(anchors["measure"] != "follow", 0.0))
    (found,) = judge_all(study(), tables, ("translation",))
    assert found.verdict == "undecided"


def test_few_errors_or_a_rate_near_one_leave_the_critic_undecided() -> None:
    found = verdict("critic", TRUE["critic"], errors=60)
    assert (found.verdict, "Fewer than 100" in found.why) == ("undecided", True)


def test_times_that_were_not_reached_leave_the_schedules_undecided() -> None:
    tables = planted("permutations", 0.5)
    late = (tables["loss"]["schedule"] == "order-3") & (tables["loss"]["measure"] == "accuracy_online")
    tables["loss"].loc[late, "value"] = 0.6
    (found,) = judge_all(study(), tables, ("permutations",))
    assert (found.verdict, "7 of 42 runs" in found.why) == ("undecided", True)


def drop(family: str, measure: str, tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return tables | {family: tables[family][tables[family]["measure"] != measure]}


@pytest.mark.parametrize("name", NAMES)
def test_every_missing_measure_gives_a_reason(name: str) -> None:
    whole = planted(name, TRUE[name])
    for family, table in whole.items():
        without = {key: value for key, value in whole.items() if key != family}
        for tables in (without, *(drop(family, each, whole) for each in table["measure"].unique())):
            (found,) = judge_all(study(), tables, (name,))
            assert found.verdict in ("supported", "undecided")
            assert found.verdict == "supported" or "not measured" in found.why or "no table" in found.why, found.why
