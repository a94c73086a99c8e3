"""A running mean of the weights answers, and nothing is learned from it."""

from __future__ import annotations

import pytest
import torch
from conftest import tiny
from pydantic import ValidationError
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

VOCABULARY = 60
AVERAGED = {"lm": 1.0, "averaging": {"decay": 0.9}}
MDLM = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}}


def made(objective: object = None, name: str = "gpt", **more: object) -> Learner:
    return Learner(tiny(name, objective=objective or AVERAGED, **more), VOCABULARY, 0, None)


def example(direction: str = "1>2", length: int = 24) -> Batch:
    draws = torch.Generator().manual_seed(DIRECTIONS.index(direction))
    return Batch(torch.randint(VOCABULARY, (1, length), generator=draws), 12, direction, 0)


ALL = [example(direction) for direction in DIRECTIONS]


def run(trainer: Trainer, first: int, last: int) -> dict[str, Tensor]:
    tables = [trainer.cycle(cycle, ALL) for cycle in range(first, last + 1)]
    rows = torch.cat([values for _, values in tables])
    return {name: rows[:, column].nan_to_num(-1) for column, name in enumerate(tables[0][0])}


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


LEARNERS = {
    "weights": ("gpt", {}),
    "edits": ("loreft", {}),
    "factors of updates": ("gpt", {"train": {"lora": {"rank": 2}}}),
    "rounded weights": ("gpt", {"train": {"quantised": {"group": 8}}}),
    "state carried": ("rwkv7", {"carry": True}),
    "masked diffusion": ("gpt", {"network": MDLM}),
    "some layers, a step per cycle": ("gpt", {"train": {"layers": {"layers": [1]}}, "update": "cycle"}),
}


@pytest.mark.parametrize("case", LEARNERS)
def test_training_is_what_it_would_be_without(case):
    name, more = LEARNERS[case]
    averaged, plain = Trainer(made(None, name, **more)), Trainer(made({"lm": 1.0}, name, **more))
    ours, theirs = run(averaged, 1, 3), run(plain, 1, 3)
    assert (ours.pop("term.averaging") == 0).all()
    assert same(ours, theirs)
    own, saved = copies(plain.saved()), copies(averaged.saved())
    assert same({key: saved[key] for key in own}, own), "states hold the weights in training"
    marked, own = averaged.learner.marked(), plain.learner.marked()
    assert marked.keys() == own.keys()
    others = {key for key in own if not torch.equal(marked[key], own[key])}
    assert others
    assert others <= averaged.learner.trained().keys(), "nothing else is averaged"


@pytest.mark.parametrize("case", LEARNERS)
def test_a_run_goes_on_as_if_it_had_never_stopped(case):
    name, more = LEARNERS[case]
    whole = Trainer(made(None, name, **more))
    run(whole, 1, 3)
    saved = copies(whole.saved())
    again = Trainer(made(None, name, **more))
    again.restore(saved)
    assert same(copies(again.saved()), saved)
    assert same(copies(again.learner.marked()), copies(whole.learner.marked()))
    assert same(run(again, 4, 5), run(whole, 4, 5))
    assert same(copies(again.saved()), copies(whole.saved()))
    assert same(copies(again.learner.marked()), copies(whole.learner.marked()))


@pytest.mark.parametrize("case", LEARNERS)
def test_a_mark_is_a_learner_with_the_mean(case):
    """What is restored from a mark answers as the mean, and its own mark is the same one."""
    name, more = LEARNERS[case]
    trainer = Trainer(made(None, name, **more))
    start = copies(trainer.learner.marked())
    run(trainer, 1, 3)
    mark = copies(trainer.learner.marked())
    asked = made(None, name, **more)
    asked.restore(mark)
    assert same(copies(asked.marked()), mark)
    mean = trainer.learner.objectives["averaging"].mean
    assert all(torch.equal(parameter, mean[key]) for key, parameter in asked.trained().items())
    raw = trainer.learner
    assert not torch.equal(asked.answer(ALL[0]).nll_N, raw.answer(ALL[0]).nll_N)
    asked.restore(start)
    assert same(copies(asked.marked()), start), "one learner is restored again and again"


def test_after_many_steps_the_mean_is_that_of_torch():
    """`AveragedModel` has no (s + 1) at its beginning, so that ours is set to be long past it."""
    learner = made()
    trainer, part = Trainer(learner), learner.objectives["averaging"]
    part.steps.fill_(10**6)
    theirs = AveragedModel(learner.network, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    theirs.update_parameters(learner.network)  # the first call copies
    for cycle in range(1, 4):
        for slot, batch in enumerate(ALL):
            trainer.step([batch], [Moment(0, cycle, slot)])
            theirs.update_parameters(learner.network)
    for name, mean in theirs.module.named_parameters():
        torch.testing.assert_close(learner.marked()[f"network/{name}"], mean, rtol=0, atol=1e-7)
        assert not torch.equal(mean, learner.network.get_parameter(name))


@pytest.mark.parametrize("name", ["gpt", "loreft"])
def test_it_is_the_teacher_of_ema_of_the_same_weights(name):
    """A teacher without weight teaches nothing, and so is the mean of the same run."""
    averaged = Trainer(made(None, name))
    taught = Trainer(made({"lm": 1.0, "ema": {"weight": 0.0, "decay": 0.9}}, name))
    run(averaged, 1, 6)
    run(taught, 1, 6)
    teacher = taught.learner.objectives["ema"].teacher.tensors
    for key, tensor in averaged.learner.objectives["averaging"].mean.items():
        assert torch.equal(tensor, teacher[key.replace("/", ".", 1)])


def test_at_first_the_mean_is_that_of_all_weights_so_far():
    trainer = Trainer(made({"lm": 1.0, "averaging": {"decay": 0.999}}))
    learner = trainer.learner
    seen = [copies(learner.trained())]
    assert same(copies(learner.marked()), seen[0])
    for cycle in range(1, 6):
        trainer.cycle(cycle, ALL[:1])
        seen.append(copies(learner.trained()))
    for key, tensor in learner.marked().items():
        torch.testing.assert_close(tensor, sum(past[key] for past in seen) / 6)
    part = learner.objectives["averaging"]
    assert [part.share(step) for step in (1, 5, 998, 10**9)] == [0.5, 5 / 6, 998 / 999, 0.999]


def test_the_signs_of_edits_survive_a_thousand_steps():
    """R is made through a cast to whole numbers: a sign of 0.9999999 in its place would make the edit zero."""
    learner = made(None, "loreft")
    part, batch = learner.objectives["averaging"], ALL[0]
    part.term(learner, batch, learner.read(batch), Moment(0, 1, 0))
    for step in range(1, 1001):
        part.after_step(learner, batch, Moment(0, step, 0))
    assert same(copies(part.mean), copies(learner.trained()))


def test_the_branches_of_one_stand_in_no_mark():
    learner = made({"one": {"branches": 2, "trunk": 1}, "averaging": {}})
    run(Trainer(learner), 1, 1)
    assert not [key for key in learner.marked() if key.startswith("objective/")]
    assert [key for key in learner.objectives["averaging"].mean if key.startswith("objective/one/")]


def test_where_nothing_is_trained_nothing_is_averaged():
    trainer = Trainer(made(None, "rwkv7", train="nothing"))
    before = copies(trainer.learner.network.state_dict())
    run(trainer, 1, 2)
    assert same(copies(trainer.learner.network.state_dict()), before)
    assert trainer.learner.objectives["averaging"].mean == {}
    assert not trainer.autonomous, "it counts its steps"


def test_it_is_no_term():
    with pytest.raises(ValidationError, match="name a term with a weight above 0"):
        made({"averaging": {}})
    with pytest.raises(ValidationError):
        made({"lm": 1.0, "averaging": 0.5})
