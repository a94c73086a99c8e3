"""Every judge against tables in which the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import pandas as pd
import pytest
from claims.planted import DIRECTIONS, FALSE, PLANTS, TRUE, Plant, planted, study

from resonance.claims import NAMES
from resonance.claims.effect import Effect
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
        ("topology", block("base", per_seed=False), "one base"),
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


def test_a_rotation_that_a_network_of_another_seed_has_too_is_no_topology() -> None:
    found = verdict("topology", TRUE["topology"], other_seed=0.9)
    assert found.verdict == "refuted"
    assert "another seed" in found.why
    assert verdict("topology", TRUE["topology"], other_seed=TRUE["topology"]).verdict == "undecided"


def test_the_null_of_another_seed_is_asked_for_wherever_a_verdict_could_be_given() -> None:
    alone = verdict("topology", TRUE["topology"], seeds=1)
    assert "another seed" not in " ".join(each.text for each in alone.ruling.criteria)
    assert len(alone.ruling.criteria) == 5
    whole = planted("topology", TRUE["topology"])
    (found,) = judge_all(study(), {name: rows for name, rows in whole.items() if name != "between"}, ("topology",))
    assert (found.verdict, "'between'" in found.why) == ("undecided", True)
    fresh = learner("gpt", init="random")(block("base", per_seed=False)(study()))
    assert verdict("topology", TRUE["topology"], of=fresh).verdict == "supported"


def test_many_pairs_of_one_seed_lack_another_seed() -> None:
    pairs = study(1, pairs=7)
    plant = Plant(pairs)
    PLANTS["topology"](plant, TRUE["topology"])
    (found,) = judge_all(pairs, plant.tables(), ("topology",))
    assert (found.verdict, "two seeds or more" in found.why) == ("undecided", True)


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


def test_links_between_layers_stand_beside_and_decide_nothing() -> None:
    found = {each.text: each for each in verdict("correspondence", TRUE["correspondence"]).ruling.secondary}
    beyond = found["links between layers beyond shifted ones, mean over layers"]
    assert beyond.effect is not None
    assert beyond.effect.value == pytest.approx(0.2, abs=0.02)
    assert beyond.tested
    by_layer = [found[f"links between layers, behind layer {layer}"].effect for layer in (0, 1)]
    assert [each.value for each in by_layer if each] == [pytest.approx(0.1, abs=0.02), pytest.approx(0.5, abs=0.02)]
    layer = found["the layer with the greatest of these, mean over directions"].effect
    assert layer is not None
    assert layer.value == 1
    tables = dict(planted("correspondence", TRUE["correspondence"], 7))
    del tables["patching"]
    (without,) = judge_all(study(7), tables, ("correspondence",))
    assert without.verdict == "supported"
    assert not any("layer" in each.text for each in without.ruling.secondary)


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


def secondaries(name: str, tables: dict[str, pd.DataFrame]) -> dict[str, Effect | None]:
    (found,) = judge_all(study(), tables, (name,))
    assert found.verdict == "supported", "what is secondary decides nothing"
    return {each.text: each.effect for each in found.ruling.secondary}


def with_induction(base: float, end: float) -> dict[str, Effect | None]:
    """Of runs that choke and whose net induction score falls from one of these to the other."""
    plant = Plant(study())
    PLANTS["chokes"](plant, TRUE["chokes"])
    for measure, share in (("induction_score_net", 1.0), ("induction_accuracy", 0.1)):
        plant.put(f"induction.{measure}", lambda cycle, share=share: share * (end if cycle else base))
    return secondaries("chokes", plant.tables())


def test_a_fall_of_induction_is_told_where_the_base_has_some() -> None:
    found = with_induction(4.0, 1.0)
    fall = found["fall of the net induction score since cycle 0 (nat/token)"]
    accuracy = found["fall of its accuracy since cycle 0 (share)"]
    assert fall is not None
    assert fall.value == pytest.approx(3.0)
    assert accuracy is not None
    assert accuracy.value == pytest.approx(0.3)


def test_a_base_without_induction_has_none_to_lose() -> None:
    found = with_induction(0.05, -2.0)
    assert [effect for text, effect in found.items() if "none to lose" in text] == [None]
    assert len([text for text in found if "fall of" in text]) == 1
    assert not any("induction" in text for text in secondaries("chokes", planted("chokes", TRUE["chokes"])))


def with_moments(moment: float, schedule: float) -> dict[str, Effect | None]:
    """Of losses with these standard deviations, by the moment in a cycle and between schedules, at three chunk edges;
    at the last a loss does not move."""
    plant = Plant(study())
    PLANTS["permutations"](plant, TRUE["permutations"])
    z = [(n - 2.5) / 1.8708287 for n in range(6)]
    for number in range(6):
        for direction in DIRECTIONS:
            asked = {"schedule": f"order-{number}", "cycles": (64, 128, 256), "directions": (direction,)}
            moves = (1.0, 0.1, 0.0)
            plant.put("transfer.loss", [1 + schedule * move * z[number] for move in moves], **asked)
            plant.put("recency.recency_spread", [moment * move for move in moves], **asked)
    return secondaries("permutations", plant.tables())


MOMENT = "log (spread of a loss by the moment in a cycle / between schedules)"


def test_what_the_moment_does_stands_beside_what_the_schedule_does() -> None:
    alone, small = with_moments(0.02, 0.02)[MOMENT], with_moments(0.001, 0.01)[MOMENT]
    assert alone is not None
    assert alone.value == pytest.approx(0.0, abs=1e-6)
    assert small is not None
    assert small.value == pytest.approx(-log(10), abs=1e-6)
    assert MOMENT not in with_moments(0.0, 0.01)
    assert MOMENT not in secondaries("permutations", planted("permutations", TRUE["permutations"]))


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
