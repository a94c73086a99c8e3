"""The input text as something to know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny
from torch import Tensor

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.batch import batch as on_device
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.networks.network import Output
from resonance.text.prompt import prompt
from resonance.text.tokens import read_tokens
from resonance.training.step import Trainer

VOCABULARY = 60
MDLM = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}}
BOTH = {"lm": 1.0, "input-lm": 1.0}


def made(objective: object = None, name: str = "gpt", **more: object) -> Learner:
    return Learner(tiny(name, objective=objective or BOTH, **more), VOCABULARY, 0, None)


def example(direction: str = "1>2", length: int = 24) -> Batch:
    draws = torch.Generator().manual_seed(5)
    tokens_BT = torch.randint(VOCABULARY, (1, length), generator=draws)
    return Batch(tokens_BT, 12, direction, 0, input=slice(1, 11))


def scores() -> Tensor:
    return 3 * torch.randn(1, 24, VOCABULARY, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def term(logits_BTV: Tensor, batch: Batch | None = None) -> Tensor:
    learner = made()
    part = learner.objectives["input-lm"]
    return part.term(learner, batch or example(), Output((), logits_BTV), Moment(0, 1, 0))


def by_hand(logits_BTV: Tensor, batch: Batch, places: range) -> float:
    z_TV = logits_BTV[0].numpy()
    log_p_TV = z_TV - np.log(np.exp(z_TV).sum(-1, keepdims=True))
    return float(np.mean([-log_p_TV[place - 1, int(batch.tokens_BT[0, place])] for place in places]))


def test_it_is_the_loss_of_the_input_tokens():
    assert float(term(scores())) == pytest.approx(by_hand(scores(), example(), range(1, 11)), rel=1e-12)
    assert float(term(scores().float())) == pytest.approx(by_hand(scores(), example(), range(1, 11)), rel=1e-6)


def test_a_first_token_that_nothing_stands_before_is_left_out():
    bare = replace(example(), input=slice(0, 11))
    assert float(term(scores(), bare)) == pytest.approx(by_hand(scores(), bare, range(1, 11)), rel=1e-12)


def test_the_gradient_stands_before_the_input_alone():
    logits_BTV = scores().requires_grad_()
    (gradient_BTV,) = torch.autograd.grad(term(logits_BTV), logits_BTV)
    wanted_NV = logits_BTV.detach()[0, :10].softmax(-1)
    wanted_NV -= torch.eye(VOCABULARY, dtype=torch.float64)[example().tokens_BT[0, 1:11]]
    torch.testing.assert_close(gradient_BTV[0, :10], wanted_NV / 10)
    assert not gradient_BTV[:, 10:].any()
    assert torch.autograd.gradcheck(term, scores().requires_grad_(), fast_mode=True)


def test_of_a_pair_it_reads_the_input_text(tokens_file):
    tokens = read_tokens(tokens_file)
    asked = on_device(prompt(tokens, "1>2", "relation"), "1>2", 0, torch.device("cpu"))
    logits_BTV = torch.randn(1, asked.tokens_BT.shape[1], tokens.vocabulary, generator=torch.Generator().manual_seed(0))
    log_p_TV = logits_BTV[0].log_softmax(-1)
    ids = tokens.ids("1", 0)
    wanted = -np.mean([float(log_p_TV[place, id]) for place, id in enumerate(ids)])
    assert float(term(logits_BTV, asked)) == pytest.approx(wanted, rel=1e-5)


def test_the_total_is_the_weighted_sum():
    learner = made({"lm": 0.25, "input-lm": 3.0})
    total, row = Trainer(learner)._measure(example(), learner.read(example()), Moment(0, 1, 0))
    torch.testing.assert_close(total, 0.25 * row["term.lm"] + 3 * row["term.input-lm"])
    assert row["term.input-lm"] != row["term.lm"]


@pytest.mark.parametrize(("name", "more"), [("gpt", {"update": "cycle"}), ("loreft", {}), ("rwkv7", {"carry": True})])
def test_a_run_goes_on_as_if_it_had_never_stopped(name, more):
    batches = [example(), replace(example("2>1", 20), input=slice(1, 9))]
    whole = Trainer(made(name=name, **more))
    before = whole.cycle(1, batches)[1]
    saved = {key: tensor.detach().clone() for key, tensor in whole.saved().items()}
    again = Trainer(made(name=name, **more))
    again.restore(saved)
    ours, theirs = whole.cycle(2, batches)[1], again.cycle(2, batches)[1]
    assert torch.equal(ours.nan_to_num(-1), theirs.nan_to_num(-1))
    assert not torch.equal(ours.nan_to_num(-1), before.nan_to_num(-1))


def test_one_direction_teaches_both_texts():
    """Without the term the input text is read and never learned."""
    known = {}
    for case, objective in (("both", BOTH), ("target", {"lm": 1.0})):
        learner = made(objective, optimizer={"adamw": {"lr": 0.005}})
        trainer = Trainer(learner)
        for cycle in range(1, 81):
            trainer.cycle(cycle, [example()])
        with torch.no_grad():
            known[case] = float(term(learner.read(example()).logits_BTV))
    assert known["both"] < 0.5
    assert known["target"] > 3


def test_where_nothing_is_trained_it_is_measured_all_the_same():
    trainer = Trainer(made(train="nothing"))
    assert trainer.autonomous
    names, values = trainer.cycle(1, [example()])
    assert (values[:, names.index("term.input-lm")] > 0).all()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UserError, match=r"objective\.input-lm: a network that fills masks"):
        made(network=MDLM)
    with pytest.raises(ValueError, match="does not say where its input stands"):
        term(scores(), replace(example(), input=None))
