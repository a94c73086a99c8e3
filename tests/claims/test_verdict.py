"""The four words, by the rules."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from resonance.claims.effect import Criterion
from resonance.claims.verdict import Control, Ruling, decide, number

PASSED, FAILED, NOT_RUN = Control("it sees", "passed", 1.0), Control("it sees", "failed", 0.0), Control("it", "not run")


def ruling(values: list[float], control: Control = PASSED, bound: float = 0.1, **more: str) -> Ruling:
    return Ruling((Criterion.above(bound, pd.Series(values), "effect", "nat"),), control, **more)


FAR, INSIDE, OTHER_SIDE, WIDE = [0.5, 0.52, 0.48], [0.0, 0.02, -0.02], [-0.5, -0.52, -0.48], [0.0, 0.4, -0.1]


@pytest.mark.parametrize(
    ("values", "control", "word"),
    [
        (FAR, PASSED, "supported"),
        (FAR, NOT_RUN, "supported"),
        (FAR, FAILED, "undecided"),
        (INSIDE, PASSED, "refuted"),
        (INSIDE, NOT_RUN, "undecided"),
        (INSIDE, FAILED, "undecided"),
        (OTHER_SIDE, PASSED, "refuted"),
        (WIDE, PASSED, "undecided"),
        (FAR[:1], PASSED, "undecided"),
    ],
)
def test_the_word(values: list[float], control: Control, word: str) -> None:
    assert decide(ruling(values, control))[0] == word


def test_a_negative_claim_is_the_mirror_image() -> None:
    for values, word in ((FAR, "supported"), (INSIDE, "refuted"), (OTHER_SIDE, "refuted"), (WIDE, "undecided")):
        mirrored = Criterion.below(-0.1, -pd.Series(values), "effect", "nat")
        assert decide(Ruling((mirrored,), PASSED))[0] == word


def test_a_p_above_the_level_is_never_refuted() -> None:
    """Interval −0.9 to 1.1 around an effect that is by no means excluded."""
    found = ruling([0.1, 1.0, -0.8, 0.4, -0.2], PASSED)
    assert found.p > 0.05
    assert decide(found)[0] == "undecided"


def test_what_the_design_cannot_tell_comes_first() -> None:
    assert decide(ruling(FAR, barrier="It cannot be.")) == ("not identifiable", "It cannot be.")
    assert decide(Ruling(lacking="Add a learner.")) == ("undecided", "Add a learner.")


def test_all_criteria_must_hold_and_one_refutes() -> None:
    far, inside, wide = (ruling(values).criteria[0] for values in (FAR, INSIDE, WIDE))
    assert decide(Ruling((far, far), PASSED))[0] == "supported"
    assert decide(Ruling((far, inside), PASSED))[0] == "refuted"
    assert decide(Ruling((far, wide), PASSED))[0] == "undecided"


def test_p_of_several_criteria_is_the_largest() -> None:
    both = Ruling((ruling(FAR).criteria[0], ruling(WIDE).criteria[0]))
    assert (both.p, both.p_t) == (both.criteria[1].effect.p, both.criteria[1].effect.p_t)


def test_an_effect_on_the_other_side_has_no_p_for_the_claim() -> None:
    found = ruling(OTHER_SIDE)
    assert found.criteria[0].effect.p_t < 0.01
    assert (found.p, found.p_t) == (1, 1)


def test_nothing_measured_has_no_p() -> None:
    assert Ruling().p == ruling([0.3]).p_t == 1


def test_correction_can_take_a_claim_back_but_not_make_one() -> None:
    assert decide(ruling(FAR), adjusted=0.2)[0] == "undecided"
    assert decide(ruling(WIDE), adjusted=0.0)[0] == "undecided"


def test_a_primary_claim_is_confirmed_by_seven_units_and_not_by_six() -> None:
    values = np.linspace(0.5, 0.6, 7).tolist()
    assert decide(ruling(values[:6]), primary=True)[0] == "undecided"
    assert decide(ruling(values), primary=True)[0] == "supported"
    assert decide(ruling(values[:6]))[0] == "supported"


def test_the_reason_says_how_many_units_it_would_take() -> None:
    assert "add seeds" in decide(ruling(FAR[:1]))[1]
    word, why = decide(ruling([0.1, 0.3, 0.2, 0.05]))
    assert word == "undecided"
    assert "it would take some" in why


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (-0.5, "−0.5"), (12345.6, "12346"), (-0.0, "0"), (1e-5, "1e−05")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_refutation_is_at_the_level_of_equivalence() -> None:
    """The 90 % interval, −0.085 to 0.085, lies inside ±0.1; the 95 % interval, −0.111 to 0.111, does not."""
    found = ruling([-0.0894, -0.0894, 0.0, 0.0894, 0.0894])
    effect = found.criteria[0].effect
    assert effect.most < 0.1 < effect.high
    assert decide(found)[0] == "refuted"
