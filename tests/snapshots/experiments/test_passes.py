from __future__ import annotations

import pytest
import torch
from segmented import awake
from snapshots.experiments.scenes import TOKENS, examples, learner, scene

from resonance.snapshots.experiments.passes import findings


def test_with_and_without_what_is_carried_and_it_is_carried_on() -> None:
    made = awake(learner("reader"))
    with torch.no_grad():
        for example in examples(TOKENS):
            made.carry_on(example, made.read(example))
        carried = made.carried
        found = {(f.quantity, f.direction): f.value for f in findings(scene(made))}
        assert made.carried is carried
        asked = examples(TOKENS)[0]
        assert found["carried", asked.direction] == pytest.approx(float(made.answer(asked).nll_N.mean()), abs=1e-5)
        made.carried = None
        assert found["empty", asked.direction] == pytest.approx(float(made.answer(asked).nll_N.mean()), abs=1e-5)
    assert abs(found["carried", "1>2"] - found["empty", "1>2"]) > 1e-3


def test_nothing_of_learners_that_carry_nothing() -> None:
    assert not list(findings(scene(learner())))
