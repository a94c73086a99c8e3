"""What a judge reads: which runs, which moment, which unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from claims.planted import CYCLES, DIRECTIONS, MARKS, Plant, study

from resonance.claims.claim import Claim
from resonance.claims.evidence import END, START, T50, T99, TEN_T99, Censored, Evidence, Missing, paired
from resonance.claims.judge import load_claim
from resonance.params import Params

CLAIM: Claim = load_claim("recites").CLAIM
BLANK = {"conditions": ("input:blank",)}


def evidence(plant: Plant, of: Params | None = None, claim: Claim = CLAIM) -> Evidence:
    return Evidence(of or plant.study, plant.tables(), claim)


def planted(seeds: int = 3, pairs: int = 1) -> Plant:
    plant = Plant(study(seeds, pairs))
    plant.learned(at=60)
    runs = np.arange(plant.runs, dtype=float)[:, None]
    plant.put("probes.input_effect", runs + np.array(MARKS) / CYCLES, directions=DIRECTIONS, **BLANK)
    return plant


def test_seeds_are_the_units_of_one_pair() -> None:
    found = evidence(planted())
    assert found.unit == "seed"
    assert found.value("learner", "probes.input_effect", **BLANK).to_dict() == {0: 1.0, 1: 2.0, 2: 3.0}
    assert found.value("learner", "probes.input_effect", START).tolist() == [0, 1, 2]


def test_pairs_are_the_units_from_six_on() -> None:
    found = evidence(planted(2, 6))
    values = found.value("learner", "probes.input_effect")
    assert found.unit == "pair"
    assert values.to_dict() == {pair: 2 * n + 1.5 for n, pair in enumerate(found.study.pairs)}


def test_with_fewer_pairs_one_is_spoken_of() -> None:
    plant = planted(2, 3)
    assert evidence(plant).value("learner", "probes.input_effect").tolist() == [1, 2]
    second = Evidence(plant.study, plant.tables(), CLAIM, "pair-1")
    assert second.value("learner", "probes.input_effect").tolist() == [3, 4]


def test_rows_that_are_named_are_averaged_over() -> None:
    plant = Plant(study(2))
    for place, direction in enumerate(DIRECTIONS):
        plant.put("probes.nll", float(place), directions=(direction,), conditions=("target:a",), layers=(0, 1, 2))
    plant.put("probes.nll", 100.0, directions=("1>2",), conditions=("target:b",), layers=(2,))
    found = evidence(plant)
    assert found.value("learner", "probes.nll", conditions=("target:a",)).tolist() == [1.5, 1.5]
    assert found.value("learner", "probes.nll", directions=("1>1", "2>2")).tolist() == [2.5, 2.5]
    assert found.value("learner", "probes.nll", from_layer=2, directions=("1>2",)).tolist() == [50, 50]


def test_moments_are_marks_of_each_run() -> None:
    found = evidence(planted())
    assert found.times("learner", 0.99).tolist() == [64, 64, 64]
    values = {at.text: found.value("learner", "probes.input_effect", at)[0] * CYCLES for at in (T50, T99, TEN_T99, END)}
    assert values == {"at t50": 0, "at t99": 64, "at 10 · t99": 1024, "at the end": 1024}


def test_what_was_not_reached_is_censored_and_said() -> None:
    plant = Plant(study(3))
    reach = np.where(np.array(MARKS) >= np.array([[64], [64], [9999]]), 1.0, 0.6)
    plant.put("loss.accuracy_online", reach, directions=DIRECTIONS)
    plant.put("probes.input_effect", 0.0, directions=DIRECTIONS, **BLANK)
    found = evidence(plant)
    with pytest.raises(Censored, match="1 of 3 runs"):
        found.value("learner", "probes.input_effect", T99)
    lines = list(found.over_time("cost", lambda at: found.value("learner", "probes.input_effect", at)))
    assert [line.effect is None for line in lines] == [False, True, True]
    assert lines[1].text == "cost, at t99: not reached in 1 of 3 runs"


def test_a_null_at_the_end_is_not_replaced_by_an_earlier_mark() -> None:
    plant = Plant(study(2))
    plant.put("similarity.rotation_share", np.where(np.array(MARKS) < CYCLES, 0.5, np.nan))
    with pytest.raises(Missing, match="no value at the end in 2 of 2 runs"):
        evidence(plant).value("learner", "similarity.rotation_share")


def test_a_run_that_is_not_in_the_table_is_named() -> None:
    plant = planted()
    tables = plant.tables()
    tables["probes"] = tables["probes"][tables["probes"]["seed"] != 1]
    with pytest.raises(Missing, match="gpt/spacing/shuffled/1"):
        Evidence(plant.study, tables, CLAIM).value("learner", "probes.input_effect")


def test_roles_are_told_in_the_parameters() -> None:
    before = study(2)
    after = before.model_copy(update={"claims": {"recites": {"learner": "copier", "schedule": "block-4"}}})
    found = evidence(Plant(before), after)
    assert found.runs("learner") == ["copier/spacing/block-4/0", "copier/spacing/block-4/1"]
    assert evidence(Plant(before)).runs("learner")[0] == "gpt/spacing/shuffled/0"


def test_schedules_are_roles_too() -> None:
    found = evidence(Plant(study(2)), claim=load_claim("depth").CLAIM)
    assert found.runs("block-16") == ["gpt/spacing/block-16/0", "gpt/spacing/block-16/1"]
    assert found.runs("versions-4") == ["versions-4/spacing/shuffled/0", "versions-4/spacing/shuffled/1"]


def test_a_learner_has_its_own_seeds_and_schedules() -> None:
    before = study(3)
    own = before.learners["gpt"].model_copy(update={"seeds": (2,), "schedules": ("block-1",)})
    found = evidence(Plant(before), before.model_copy(update={"learners": before.learners | {"gpt": own}}))
    assert found.runs("learner") == ["gpt/spacing/block-1/2"]


def test_who_is_missing_is_said_with_what_to_do() -> None:
    before = study(2)
    after = before.model_copy(update={"claims": {"recites": {"learner": "nobody"}}})
    with pytest.raises(Missing, match=r"no learner 'nobody'.*claims\.recites\.learner"):
        evidence(Plant(before), after).place("learner")
    after = before.model_copy(update={"claims": {"recites": {"schedule": "never"}}})
    with pytest.raises(Missing, match="no schedule 'never'"):
        evidence(Plant(before), after).place("learner")
    own = before.learners["gpt"].model_copy(update={"schedules": ("block-1",)})
    after = before.model_copy(
        update={"learners": before.learners | {"gpt": own}, "claims": {"recites": {"schedule": "block-4"}}}
    )
    with pytest.raises(Missing, match="not run on the schedule block-4"):
        evidence(Plant(before), after).place("learner")


def test_who_is_sooner_is_counted_with_censored_times() -> None:
    plant = Plant(study(7))
    plant.learned(at=60)
    late = np.where(np.array(MARKS) >= np.array([[512], [512], [512], [512], [9999], [9999], [64]]), 1.0, 0.6)
    plant.put("loss.accuracy_online", late, "gpt-shuffled", directions=DIRECTIONS)
    (line,) = evidence(plant).sooner("t99", "learner", "shuffled")
    assert line.text == "t99: sooner in 6, later in 0, not told apart in 1"
    assert line.chance == line.p == pytest.approx(2 * 8 / 2**7)
    assert list(evidence(planted()).sooner("t99", "learner", "shuffled")) == []


def test_arms_are_paired_by_seed() -> None:
    first, second = pd.Series([3.0, 5.0], [1, 2]), pd.Series([1.0, 7.0], [2, 3])
    assert paired(first, second).to_dict() == {2: 4.0}
    with pytest.raises(Missing, match="no seed in common"):
        paired(first, second.loc[[3]])


def test_a_control_passes_fails_or_is_not_run() -> None:
    found = evidence(planted())
    assert found.control("c", lambda: pd.Series([0.9, 1.1]), 1.0).outcome == "passed"
    assert found.control("c", lambda: pd.Series([0.9, 1.1]), 0.9, "below").outcome == "failed"
    missing = found.control("c", lambda: found.value("shuffled", "probes.nll"), 1.0)
    assert (missing.outcome, missing.value) == ("not run", None)
    assert "not measured in gpt-shuffled" in missing.why
