"""The term in which a masked-diffusion network fills its own output again and again."""

from __future__ import annotations

import pytest
import torch
from conftest import tiny
from torch import Tensor

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

VOCABULARY = 40
NETWORK = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 4, "draws": 4}}


def made(train: object = "all", lr: float = 1e-3, **settings: object) -> Learner:
    values = {"network": NETWORK, "train": train, "objective": {"self-diffusion": settings}, "init": "random"}
    values |= {"optimizer": {"adamw": {"lr": lr}}}
    return Learner(type(tiny("gpt")).model_validate(values), VOCABULARY, seed=0, base=None)


def example(direction: str = "1>2", length: int = 30) -> Batch:
    draws = torch.Generator().manual_seed(DIRECTIONS.index(direction))
    return Batch(torch.randint(VOCABULARY, (1, length), generator=draws), 12, direction, 0)


def visit(learner: Learner, cycle: int, batch: Batch) -> Tensor:
    part = learner.objectives["self-diffusion"]
    return part.term(learner, batch, learner.read(batch), Moment(0, cycle, 0))


def test_the_first_visit_fills_masks_alone():
    learner, batch = made(), example()
    term = visit(learner, 1, batch)
    network = learner.network
    masks_BT = batch.said(torch.full_like(batch.target_BT, network.mask)).tokens_BT
    scores_BNV = network(masks_BT).logits_BTV[:, batch.prompt - 1 : -1]
    wanted = torch.nn.functional.cross_entropy(scores_BNV[0], batch.target_BT[0])
    torch.testing.assert_close(term, wanted)
    own_BN = learner.objectives["self-diffusion"].current["1>2/0"]
    assert torch.equal(own_BN, scores_BNV.argmax(-1))
    match = learner.objectives["self-diffusion"].measured()["match"]
    assert match == (own_BN == batch.target_BT).float().mean()


def test_later_visits_change_masked_places_only_and_learn_from_them_only():
    learner, batch = made(start=0.5, end=0.5), example()
    part = learner.objectives["self-diffusion"]
    visit(learner, 1, batch)
    planted_BN = batch.target_BT.clone()
    part.current["1>2/0"] = planted_BN
    term = visit(learner, 2, batch)
    masked_BN = torch.rand(planted_BN.shape, generator=Moment(0, 2, 0).generator("self-diffusion")) < 0.5
    assert 0 < masked_BN.sum() < masked_BN.numel()
    assert torch.equal(part.current["1>2/0"][~masked_BN], planted_BN[~masked_BN])
    shown_BT = batch.said(planted_BN.masked_fill(masked_BN, learner.network.mask)).tokens_BT
    log_p_BNV = learner.network(shown_BT).logits_BTV[:, batch.prompt - 1 : -1].log_softmax(-1)
    nll_BN = -log_p_BNV.gather(-1, batch.target_BT[..., None])[..., 0]
    torch.testing.assert_close(term, nll_BN[masked_BN].mean())


def test_the_share_of_masks_falls_with_the_absolute_cycle():
    part = made(start=0.9, end=0.1, half=4).objectives["self-diffusion"]
    assert [round(part.rate(cycle), 6) for cycle in (1, 5, 9)] == [0.9, 0.5, 0.3]
    assert part.rate(10**9) == pytest.approx(0.1)


def test_every_direction_has_its_own_text():
    learner = made()
    for direction in DIRECTIONS:
        visit(learner, 1, example(direction))
    assert learner.marked().keys() >= {f"objective/self-diffusion/current/{direction}/0" for direction in DIRECTIONS}


def test_without_weight_updates_only_the_texts_change():
    trainer = Trainer(made("nothing", start=0.5, end=0.5, draw=True))
    before = {name: tensor.clone() for name, tensor in trainer.learner.network.named_parameters()}
    batches = [example(direction) for direction in DIRECTIONS]
    texts = []
    for cycle in (1, 2, 3):
        names, _ = trainer.cycle(cycle, batches)
        texts.append(trainer.learner.objectives["self-diffusion"].current["1>2/0"])
    assert {"self-diffusion.match", "self-diffusion.rate", "term.self-diffusion"} <= set(names)
    assert not torch.equal(texts[0], texts[2])
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.learner.network.named_parameters())


def test_it_learns_to_fill_what_it_masks():
    trainer = Trainer(made(lr=3e-3, start=1.0, end=0.3, half=10))
    batches = [example(direction) for direction in DIRECTIONS]
    for cycle in range(1, 151):
        names, values = trainer.cycle(cycle, batches)
    assert values[:, names.index("self-diffusion.match")].min() > 0.5, "by chance it would be 1 in 40"


def test_a_run_goes_on_as_if_it_had_never_stopped():
    batches = [example(direction) for direction in DIRECTIONS]
    whole = Trainer(made(start=0.6))
    for cycle in (1, 2, 3):
        whole.cycle(cycle, batches)
    saved = {name: tensor.clone() for name, tensor in whole.saved().items()}
    again = Trainer(made(start=0.6))
    again.restore(saved)
    for cycle in (4, 5):
        found, wanted = again.cycle(cycle, batches), whole.cycle(cycle, batches)
        assert found[0] == wanted[0]
        assert torch.equal(found[1], wanted[1])
    assert all(torch.equal(again.saved()[name], tensor) for name, tensor in whole.saved().items())


def test_a_causal_network_cannot_do_it():
    values = {"network": "transformer", "objective": {"self-diffusion": {}}, "init": "random"}
    with pytest.raises(UserError, match="set network: mdlm"):
        Learner(type(tiny("gpt")).model_validate(values), VOCABULARY, seed=0, base=None)
