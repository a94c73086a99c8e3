"""Comparisons that need more than one number at one moment: at equal loss, over doublings, with a known posterior."""

from __future__ import annotations

from math import log

import numpy as np
import pandas as pd
import pytest
from claims.planted import DIRECTIONS, MARKS, Plant, study

from resonance.claims.chokes import rise
from resonance.claims.evidence import END, Evidence, Missing, Where
from resonance.claims.judge import load_claim
from resonance.claims.matched import at_equal_loss, when
from resonance.claims.posterior import distance
from resonance.claims.trend import per_doubling
from resonance.params import Params, Weighted

CLEAN = {"directions": DIRECTIONS, "conditions": ("clean",)}


def evidence(plant: Plant, of: Params | None = None, claim: str = "calibration") -> Evidence:
    return Evidence(of or plant.study, plant.tables(), load_claim(claim).CLAIM)


def test_a_loss_is_met_between_marks() -> None:
    loss = pd.Series([5.0, 4.0, 2.0, 1.0], [0, 4, 8, 16])
    assert [when(loss, level) for level in (5.0, 4.5, 3.0, 1.0)] == [0, 2, 6, 16]


def test_arms_are_compared_where_they_are_equally_good() -> None:
    """Drift is 1 − loss / 5 in both: the slower arm has less of it at the end, and as much at equal loss."""
    plant = Plant(study(2))
    for learner, speed in (("ema", 200.0), ("gpt", 20.0)):
        known = 1 - np.exp(-np.array(MARKS) / speed)
        plant.put("loss.nll", 5 - 5 * known, learner, **CLEAN)
        plant.put("similarity.drift", known, learner, layers=(1, 2))
        plant.put("similarity.drift", 99.0, learner, layers=(0,))
    found = evidence(plant)
    where = Where(from_layer=1)
    ends = [found.value(role, "similarity.drift", END, **where) for role in ("learner", "control")]
    assert (ends[0] - ends[1]).mean() < -0.005
    assert at_equal_loss(found, "learner", "control", "similarity.drift", where).abs().max() < 1e-9


def test_the_slope_is_over_the_marks_after_cycle_0() -> None:
    plant = Plant(study(3))
    plant.put("confidence.brier", np.where(np.array(MARKS) > 0, 0.1 * np.log2(np.maximum(MARKS, 1)), 77.0))
    assert per_doubling(evidence(plant), "control", "confidence.brier", Where()).tolist() == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("p", [0.5, 0.75])
@pytest.mark.parametrize("longer", [1.0, 4 / 3])
def test_the_posterior_is_that_of_the_schedule_and_of_the_lengths(p: float, longer: float) -> None:
    before = study(2)
    weights = {"1>1": 3 * p, "1>2": 3 * (1 - p), "2>2": p, "2>1": 1 - p}
    schedules = {"shuffled": before.schedules["shuffled"] if p == 0.5 else Weighted(weights=weights)}
    plant = Plant(before)
    for direction in DIRECTIONS:
        same, cross = (p * (longer if direction[0] == "1" else 1), (1 - p) * (longer if direction[0] == "2" else 1))
        says = (same if direction in ("1>1", "2>2") else cross) / (same + cross) - 0.1
        plant.put("loss.nll_first_difference", -log(says), "ema-none", directions=(direction,))
        tokens = 300 if direction[-1] == "1" else 300 * longer
        plant.put("loss.target_tokens", tokens, "ema-none", directions=(direction,))
    found = evidence(plant, before.model_copy(update={"schedules": schedules}))
    assert distance(found, END).tolist() == pytest.approx([0.1, 0.1])


def test_a_marker_tells_too_much_for_a_posterior() -> None:
    before = study(2)
    learners = before.learners | {"ema-none": before.learners["ema"]}
    with pytest.raises(Missing, match="marker: none"):
        distance(evidence(Plant(before), before.model_copy(update={"learners": learners})), END)


def test_the_rise_has_no_bias_where_nothing_rises() -> None:
    """A run's own minimum is below its end by chance: 1.6 standard deviations with 12 marks."""
    rng = np.random.default_rng(0)
    tables = [pd.DataFrame(rng.normal(size=(7, 12))) for _ in range(300)]
    assert np.mean([rise(table).mean() for table in tables]) == pytest.approx(0, abs=0.08)
    assert np.mean([(table.iloc[:, -1] - table.min(axis=1)).mean() for table in tables]) > 1.4


def test_the_rise_is_from_the_mark_that_is_lowest_in_the_others() -> None:
    table = pd.DataFrame([[3.0, 1.0, 2.0], [3.0, 1.0, 2.5], [0.0, 1.5, 3.0]])
    assert rise(table).tolist() == [2.0 - 1.0, 2.5 - 1.0, 3.0 - 1.5]
    assert rise(table.iloc[:1]).tolist() == [1.0]
