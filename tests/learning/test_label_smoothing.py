"""Smoothed labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import tiny
from pydantic import ValidationError
from torch import Tensor

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.networks.network import Output
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

VOCABULARY = 60
MDLM = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}}


def made(objective: object, name: str = "gpt", **more: object) -> Learner:
    return Learner(tiny(name, objective=objective, **more), VOCABULARY, 0, None)


def example(direction: str = "1>2", length: int = 24) -> Batch:
    draws = torch.Generator().manual_seed(DIRECTIONS.index(direction))
    return Batch(torch.randint(VOCABULARY, (1, length), generator=draws), 12, direction, 0)


ALL = [example(direction) for direction in DIRECTIONS]


def scores(seed: int = 0) -> Tensor:
    return 3 * torch.randn(1, 24, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def term(epsilon: float, logits_BTV: Tensor, batch: Batch = ALL[0]) -> Tensor:
    learner = made({"label-smoothing": {"epsilon": epsilon}})
    part = learner.objectives["label-smoothing"]
    return part.term(learner, batch, Output((), logits_BTV), Moment(0, 1, 0))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7])
def test_it_is_the_closed_form(epsilon):
    """Σ over v of −q(v) log p(v), q = (1 − ε) onehot + ε / V, in numpy."""
    z_NV = scores()[0, 11:-1].numpy()
    log_p_NV = z_NV - np.log(np.exp(z_NV).sum(-1, keepdims=True))
    q_NV = np.full((12, VOCABULARY), epsilon / VOCABULARY)
    q_NV[np.arange(12), ALL[0].target_BT[0].numpy()] += 1 - epsilon
    wanted = -(q_NV * log_p_NV).sum(-1).mean()
    assert float(term(epsilon, scores())) == pytest.approx(wanted, rel=1e-12)
    assert float(term(epsilon, scores().float())) == pytest.approx(wanted, rel=1e-6)


def test_the_gradient_is_p_minus_q_and_stands_at_the_target_alone():
    logits_BTV = scores().requires_grad_()
    (gradient_BTV,) = torch.autograd.grad(term(0.2, logits_BTV), logits_BTV)
    q_NV = 0.8 * torch.eye(VOCABULARY, dtype=torch.float64)[ALL[0].target_BT[0]] + 0.2 / VOCABULARY
    wanted_NV = (logits_BTV.detach()[0, 11:-1].softmax(-1) - q_NV) / 12
    torch.testing.assert_close(gradient_BTV[0, 11:-1], wanted_NV)
    assert not gradient_BTV[:, :11].any()
    assert not gradient_BTV[:, -1].any()
    assert torch.autograd.gradcheck(lambda z: term(0.2, z), scores(1).requires_grad_(), fast_mode=True)


def test_its_minimum_is_the_smoothed_label():
    """No p costs less than q itself: the entropy of q is the floor."""
    epsilon, q_NV = 0.1, 0.9 * torch.eye(VOCABULARY, dtype=torch.float64)[ALL[0].target_BT[0]] + 0.1 / VOCABULARY
    logits_BTV = scores()
    logits_BTV[0, 11:-1] = q_NV.log()
    top, rest = 0.9 + 0.1 / VOCABULARY, 0.1 / VOCABULARY
    floor = -top * math.log(top) - (VOCABULARY - 1) * rest * math.log(rest)
    assert float(term(epsilon, logits_BTV)) == pytest.approx(floor, rel=1e-12)
    logits_BTV[0, 11:-1] *= 1.1
    assert float(term(epsilon, logits_BTV)) > floor


def test_without_smoothing_a_run_has_the_bytes_of_lm():
    runs = [Trainer(made(each)) for each in ({"label-smoothing": {"epsilon": 0.0}}, {"lm": 1.0})]
    for cycle in range(1, 4):
        (names, ours), (_, theirs) = (trainer.cycle(cycle, ALL) for trainer in runs)
        assert "term.label-smoothing" in names
        assert torch.equal(ours, theirs)
    smoothed, plain = (trainer.learner.marked() for trainer in runs)
    assert all(torch.equal(smoothed[name], plain[name]) for name in plain)


@pytest.mark.parametrize("name", ["gpt", "loreft", "rwkv7"])
def test_a_run_goes_on_as_if_it_had_never_stopped(name):
    objective = {"label-smoothing": {"weight": 0.5, "epsilon": 0.2}}
    whole = Trainer(made(objective, name))
    before = whole.cycle(1, ALL)[1]
    saved = {key: tensor.detach().clone() for key, tensor in whole.saved().items()}
    again = Trainer(made(objective, name))
    again.restore(saved)
    ours, theirs = whole.cycle(2, ALL)[1], again.cycle(2, ALL)[1]
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, before)


def test_where_nothing_is_trained_it_is_measured_all_the_same():
    trainer = Trainer(made({"label-smoothing": {}}, train="nothing"))
    assert trainer.autonomous
    names, values = trainer.cycle(1, ALL)
    assert (values[:, names.index("term.label-smoothing")] > 0).all()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UserError, match=r"objective\.label-smoothing: a network that fills masks"):
        made({"label-smoothing": {}}, network=MDLM)
    with pytest.raises(ValidationError, match="less than 1"):
        made({"label-smoothing": {"epsilon": 1.0}})
