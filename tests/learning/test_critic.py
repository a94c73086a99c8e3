"""The critic: what it learns from, what it minimises, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, tiny
from sklearn.metrics import roc_auc_score
from speakers import VOCABULARY, awake, example
from torch.nn.functional import binary_cross_entropy_with_logits

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.deviation import deviation
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment, generator
from resonance.networks.tensors import named
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

LEARNERS = [(name, {}) for name in TINY] + [("rwkv7", {"carry": True}), ("gpt", {"update": "cycle"})]


def critical(name: str, settings: dict[str, object] | None = None, **changes: object) -> Learner:
    return awake(name, heads={"critic": settings or {}}, **changes)


def batches() -> list[Batch]:
    return [example(seed, 24, direction) for seed, direction in enumerate(DIRECTIONS)]


def last_hidden(learner: Learner, batch: Batch, said_1N: torch.Tensor) -> torch.Tensor:
    """[N, D], of root mean square 1."""
    with torch.no_grad():
        hidden_ND = learner.read(batch.said(said_1N), whole=True).hidden[-1][0, batch.prompt :]
    return hidden_ND / hidden_ND.square().mean(1, keepdim=True).sqrt()


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_it_learns_from_what_the_learner_says_itself(name, changes):
    learner, batch = critical(name, **changes), example()
    heard_MF = learner.heads["critic"].listen(learner, batch, generator(0, "test"))
    own_1N = learner.say(batch, 14)
    found = deviation(own_1N[0].numpy(), batch.target_BT[0].numpy())
    assert heard_MF.shape == (28, 34), "a greedy and a drawn output, hidden states of 32 and two numbers"
    torch.testing.assert_close(heard_MF[:14, :32], last_hidden(learner, batch, own_1N))
    np.testing.assert_array_equal(heard_MF[:14, 32], found.error_N)
    np.testing.assert_allclose(heard_MF[:14, 33], found.suffix_N, rtol=1e-6)
    assert not torch.equal(heard_MF[14:, :32], heard_MF[:14, :32])
    alone = critical(name, {"sample": False}, **changes)
    torch.testing.assert_close(alone.heads["critic"].listen(alone, batch, generator(0, "test")), heard_MF[:14])


def test_nothing_is_learned_from_what_is_said_after_the_end():
    learner, batch = critical("gpt", {"sample": False}), example()
    own_1N = learner.say(batch, 14)
    end = int(own_1N[0, 5])
    batch.tokens_BT[0, -1] = end
    length = own_1N[0].tolist().index(end) + 1
    heard_MF = learner.heads["critic"].listen(learner, batch, generator(0, "test"))
    torch.testing.assert_close(heard_MF[:, :32], last_hidden(learner, batch, own_1N[:, :length]))
    found = deviation(own_1N[0, :length].numpy(), batch.target_BT[0].numpy())
    np.testing.assert_array_equal(heard_MF[:, 32], found.error_N)


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_its_estimates_are_a_linear_map_of_the_hidden_state(name):
    learner, batch = critical(name), example()
    critic = learner.heads["critic"]
    w, b = torch.randn(2, 32, generator=generator(0, "w")), torch.randn(2, generator=generator(0, "b"))
    critic.restore({"judge.0.weight": w, "judge.0.bias": b})
    own_1N = learner.say(batch, 14)
    v_N2 = last_hidden(learner, batch, own_1N) @ w.T + b
    wrong_N, distance_N = critic.estimates(learner, batch, own_1N)
    torch.testing.assert_close(wrong_N, v_N2[:, 0].sigmoid(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(distance_N, v_N2[:, 1], rtol=1e-6, atol=1e-6)


def test_behind_a_hidden_layer_they_are_a_linear_map_of_its_tanh():
    learner, batch = critical("gpt", {"hidden": 8}), example()
    critic = learner.heads["critic"]
    draws = generator(0, "weights")
    tensors = {name: torch.randn(value.shape, generator=draws) for name, value in critic.saved().items()}
    critic.restore(tensors)
    own_1N = learner.say(batch, 14)
    inner_NK = (last_hidden(learner, batch, own_1N) @ tensors["judge.0.weight"].T + tensors["judge.0.bias"]).tanh()
    v_N2 = inner_NK @ tensors["judge.2.weight"].T + tensors["judge.2.bias"]
    wrong_N, distance_N = critic.estimates(learner, batch, own_1N)
    torch.testing.assert_close(wrong_N, v_N2[:, 0].sigmoid(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(distance_N, v_N2[:, 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_no_gradient_goes_from_it_to_the_learner(name, changes):
    """Not even where the hidden states that it is given still hang on the graph of the network."""
    learner, batch = critical(name, {"hidden": 8}, **changes), example()
    critic = learner.heads["critic"]
    critic.judge[2].weight.data.fill_(0.1)
    critic.loss(learner, batch, learner.read(batch), Moment(0, 1, 0)).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in critic.parameters())
    others = [*learner.network.parameters(), *learner.scope.parameters()]
    assert others
    assert all(parameter.grad is None for parameter in others)


def test_what_it_minimises():
    learner = critical("gpt")
    critic = learner.heads["critic"]
    hidden_MD = torch.randn(6, 32, generator=generator(0, "h"))
    error_M, suffix_M = torch.tensor([0.0, 1, 1, 0, 0, 1]), torch.linspace(0, 1, 6)
    critic.heard.kept["1>2/0"] = (0, torch.cat([hidden_MD, error_M[:, None], suffix_M[:, None]], dim=1))
    critic.restore({"judge.0.weight": torch.full((2, 32), 0.1), "judge.0.bias": torch.tensor([0.5, -0.5])})
    assert critic.heard.kept == {}, "a mark has no outputs"
    critic.heard.kept["1>2/0"] = (0, torch.cat([hidden_MD, error_M[:, None], suffix_M[:, None]], dim=1))
    v_M = 0.1 * hidden_MD.sum(1)
    wanted = binary_cross_entropy_with_logits(v_M + 0.5, error_M) + ((v_M - 0.5 - suffix_M) ** 2).mean() / 2
    found = critic.loss(learner, example(), learner.read(example()), Moment(0, 1, 0))
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_it_listens_once_in_a_round(monkeypatch):
    learner = critical("gpt", {"every": 3})
    critic, heard = learner.heads["critic"], []
    real = critic.listen
    monkeypatch.setattr(critic, "listen", lambda made, batch, draws: (heard.append(batch), real(made, batch, draws))[1])
    trainer = Trainer(learner)
    counts = []
    for cycle in range(1, 8):
        trainer.cycle(cycle, batches())
        counts.append(len(heard))
    assert counts == [4, 4, 4, 8, 8, 8, 12]


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_it_leaves_its_learner_alone(name, changes):
    alone, watched = awake(name, **changes), critical(name, {"every": 2}, **changes)
    logs = []
    for made in (alone, watched):
        trainer = Trainer(made)
        logs.append([trainer.cycle(cycle, batches()) for cycle in range(1, 5)])
    found, wanted = named(watched.network) | watched.scope.saved(), named(alone.network) | alone.scope.saved()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    if alone.carried:
        assert all(torch.equal(watched.carried[key], tensor) for key, tensor in alone.carried.items())
    for (names, values), (watched_names, watched_values) in zip(*logs, strict=True):
        places = [watched_names.index(name) for name in names]
        torch.testing.assert_close(watched_values[:, places], values, rtol=0, atol=0, equal_nan=True)
    assert set(watched_names) - set(names) == {"head.critic"}
    assert watched.heads["critic"].judge[0].weight.abs().max() > 0


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_a_run_goes_on_as_if_it_had_never_stopped(name, changes):
    settings = {"every": 2, "hidden": 8}
    whole = Trainer(critical(name, settings, **changes))
    for cycle in (1, 2, 3):
        whole.cycle(cycle, batches())
    saved = {key: tensor.clone() for key, tensor in whole.saved().items()}
    assert "head/critic/heard/1>2/0/1" in saved
    again = Trainer(critical(name, settings, **changes))
    again.restore(saved)
    for cycle in (4, 5, 6):
        found, wanted = again.cycle(cycle, batches()), whole.cycle(cycle, batches())
        assert found[0] == wanted[0]
        torch.testing.assert_close(found[1], wanted[1], rtol=0, atol=0, equal_nan=True)
    assert again.saved().keys() == whole.saved().keys()
    assert all(torch.equal(again.saved()[key], tensor) for key, tensor in whole.saved().items())


@pytest.mark.parametrize("hidden", [0, 8])
def test_it_starts_without_an_opinion_and_draws_from_nobody(hidden):
    torch.manual_seed(1)
    learner, batch = critical("gpt", {"hidden": hidden}), example()
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    other = critical("gpt", {"hidden": hidden})
    assert torch.equal(torch.rand(2), expected)
    critic = learner.heads["critic"]
    wrong_N, distance_N = critic.estimates(learner, batch, batch.target_BT)
    assert (wrong_N == 0.5).all()
    assert (distance_N == 0).all()
    assert all(
        torch.equal(one, two) for one, two in zip(critic.parameters(), other.heads["critic"].parameters(), strict=True)
    )
    assert sum(p.numel() for p in critic.parameters()) == (32 * 8 + 8 + 8 * 2 + 2 if hidden else 32 * 2 + 2)


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
@pytest.mark.parametrize("hidden", [0, 16])
def test_errors_that_can_be_known_are_known(name, hidden):
    """All odd tokens are wrong: learned from what is said to 45 prompts, tested on what is said to 15 others."""
    learner = critical(name, {"hidden": hidden, "sample": False}, strength=0.05)
    critic = learner.heads["critic"]
    asked = []
    for seed in range(60):
        batch = replace(example(seed, 22), window=seed)
        own_1N = learner.say(batch, 12)
        asked.append(batch.said(torch.where(own_1N % 2 == 1, 1, own_1N)))
    output = learner.read(asked[0])
    optimizer = torch.optim.AdamW(critic.parameters(), lr=0.05)
    for _ in range(40):
        sum(critic.loss(learner, batch, output, Moment(0, 1, 0)) for batch in asked[:45]).backward()
        optimizer.step()
        optimizer.zero_grad()
    estimates, errors = [], []
    for batch in asked[45:]:
        own_1N = learner.say(batch, 12)
        estimates.append(critic.estimates(learner, batch, own_1N)[0])
        errors.append(deviation(own_1N[0].numpy(), batch.target_BT[0].numpy()).error_N)
    error_M, wrong_M = np.concatenate(errors), torch.cat(estimates)
    assert 10 <= error_M.sum() <= len(error_M) - 10
    assert roc_auc_score(error_M, wrong_M) > 0.9


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_what_it_examines(name, changes):
    learner = critical(name, {"threshold": 0.4}, **changes)
    critic, clean = learner.heads["critic"], example()
    faulty = replace(clean.asked(clean.tokens_BT[:, clean.input].flip(1)), condition="corrupted:turned-100")
    found = critic.examine(learner, [clean, faulty], generator(0, "test"))
    assert [one.source for one in found] == ["own", "sample", "controlled", "corrupted:turned-100"]
    own, sample, _, corrupted = found
    assert torch.equal(own.said_N, learner.say(clean, 14)[0])
    assert torch.equal(corrupted.said_N, learner.say(faulty, 14)[0])
    assert not torch.equal(own.said_N, sample.said_N)
    assert [one.asked for one in found] == [clean, clean, clean, faulty]
    for one in found:
        wrong_N, distance_N = critic.estimates(learner, one.asked, one.said_N[None])
        assert torch.equal(one.estimate_N, wrong_N)
        assert torch.equal(one.distance_N, distance_N)
    again = critic.examine(learner, [clean, faulty], generator(0, "test"))
    assert all(torch.equal(one.said_N, two.said_N) for one, two in zip(found, again, strict=True))


def test_without_attempts_there_is_no_controller():
    learner = critical("gpt", {"attempts": 0})
    found = learner.heads["critic"].examine(learner, [example()], generator(0, "test"))
    assert [one.source for one in found] == ["own", "sample"]


def test_a_network_that_fills_masks_cannot_have_one():
    network = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 4, "draws": 4}}
    values = {"network": network, "heads": {"critic": {}}, "init": "random"}
    with pytest.raises(UserError, match=r"heads\.critic"):
        Learner(type(tiny("gpt")).model_validate(values), VOCABULARY, seed=0, base=None)
