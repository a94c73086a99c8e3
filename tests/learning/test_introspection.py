"""Introspection: its features against autograd, what it learns from and minimises, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, tiny
from sklearn.metrics import roc_auc_score
from speakers import VOCABULARY, awake, example
from torch.nn.functional import cross_entropy

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.deviation import deviation
from resonance.learning.head import Critique
from resonance.learning.heads.introspection import FARTHEST, Judge, gradients, noisy, place, unembedding, wrong
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment, generator
from resonance.learning.speech import ended
from resonance.networks.network import Output
from resonance.networks.tensors import named
from resonance.networks.transformer import Transformer
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

CONTEXT = {"train": {"nothing": {"memory": "context", "window": 20}}, "objective": {}}
TRAINED = [("gpt", {}), ("loreft", {}), ("reader", {}), ("rwkv7", {"carry": True}), ("gpt", {"update": "cycle"})]
LEARNERS = [*TRAINED[:4], ("gpt", CONTEXT)]
SMALL = {"candidates": 4, "projected": 6}


def looking(name: str, settings: dict[str, object] | None = None, **changes: object) -> Learner:
    return awake(name, heads={"introspection": SMALL | (settings or {})}, **changes)


def batches() -> list[Batch]:
    return [example(seed, 24, direction) for seed, direction in enumerate(DIRECTIONS)]


def opinionated(learner: Learner) -> None:
    """Let both judges have met something, so that features are neither cut off nor the same to them."""
    for judge in learner.heads["introspection"].judges.values():
        judge.variance_F = torch.ones_like(judge.variance_F)


def normed(learner: Learner, hidden_BTD: torch.Tensor) -> torch.Tensor:
    network = learner.network
    return network.ln_out(hidden_BTD) if hasattr(network, "ln_out") else network.model.model.norm(hidden_BTD)


@pytest.mark.parametrize(("name", "last"), [("gpt", "model.lm_head"), ("rwkv7", "head")])
def test_features_are_the_gradient_of_the_unembedding(name, last):
    """Row k of autograd's gradient of -log p_k, projected, for every token and candidate, in float64."""
    learner, batch = looking(name), example()
    learner.network.double()
    head = learner.heads["introspection"]
    assert head.last == last
    weight_VD = learner.network.get_parameter(f"{last}.weight")
    log_p_NV = batch.predictions(learner.network(batch.tokens_BT).logits_BTV)[0].log_softmax(-1)
    log_p_NK, tokens_NK = log_p_NV.detach().topk(4)
    projection_DJ = head.projection_DJ.double()
    x_ND = batch.predictions(normed(learner, learner.network(batch.tokens_BT).hidden[-1]))[0].detach()
    found_NKJ = gradients(x_ND, log_p_NK, projection_DJ)
    assert found_NKJ.shape == (14, 4, 6)
    for n in range(14):
        for k, token in enumerate(tokens_NK[n]):
            loss = -log_p_NV[n, token]
            gradient_VD = torch.autograd.grad(loss, weight_VD, retain_graph=True)[0]
            torch.testing.assert_close(found_NKJ[n, k], gradient_VD[token] @ projection_DJ, rtol=1e-9, atol=1e-12)
            pull_V = log_p_NV[n].detach().exp() - torch.nn.functional.one_hot(token, VOCABULARY)
            torch.testing.assert_close(gradient_VD, pull_V[:, None] * x_ND[n], rtol=1e-9, atol=1e-12)


def test_features_in_single_precision():
    draws = generator(0, "test")
    x_ND, z_NV = torch.randn(5, 8, generator=draws), 3 * torch.randn(5, 9, generator=draws)
    weight_VD = torch.randn(9, 8, generator=draws)
    z_NV = x_ND @ weight_VD.T
    log_p_NK, tokens_NK = z_NV.log_softmax(-1).topk(3)
    projection_DJ = torch.randn(8, 4, generator=draws)
    found_NKJ = gradients(x_ND, log_p_NK, projection_DJ)
    weight_VD.requires_grad_(True)
    for n in range(5):
        for k in range(3):
            loss = cross_entropy(weight_VD @ x_ND[n], tokens_NK[n, k])
            row_D = torch.autograd.grad(loss, weight_VD)[0][tokens_NK[n, k]]
            torch.testing.assert_close(found_NKJ[n, k], row_D @ projection_DJ, rtol=1e-5, atol=1e-6)


def test_features_have_rank_one():
    """So they are a function of x and of the candidates' probabilities, and say nothing that these do not say."""
    draws = generator(0, "test")
    x_ND, log_p_NK = torch.randn(7, 12, generator=draws), torch.randn(7, 4, generator=draws).log_softmax(-1) - 0.1
    found_NKJ = gradients(x_ND.double(), log_p_NK.double(), torch.randn(12, 6, generator=draws).double())
    values_NK = torch.linalg.svdvals(found_NKJ)
    assert (values_NK[:, 0] > 0.1).all()
    assert (values_NK[:, 1:] < 1e-12).all()


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_it_knows_what_the_unembedding_reads(name, changes):
    learner, batch = looking(name, **changes), example()
    learner.carry_on(example(7), learner.read(example(7)))
    said_1N = learner.say(batch, 14)
    x_ND, log_p_NV = learner.heads["introspection"].known(learner, batch, said_1N)
    output = learner.read(batch.said(said_1N), whole=True)
    torch.testing.assert_close(x_ND, batch.predictions(normed(learner, output.hidden[-1]))[0].detach())
    torch.testing.assert_close(log_p_NV, batch.predictions(output.logits_BTV)[0].log_softmax(-1))
    assert torch.equal(log_p_NV.argmax(-1), said_1N[0])


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_it_learns_from_what_is_said_to_inputs_with_noise(name):
    learner, batch = looking(name, {"noise": 0.5}), example()
    head = learner.heads["introspection"]
    first_1N = learner.say(noisy(batch, 0.5, VOCABULARY, generator(0, "test")), 14)
    unsaid = min(set(range(VOCABULARY)) - set(first_1N[0].tolist()))
    batch = batch.said(torch.cat([first_1N[:, 1:], torch.full((1, 1), unsaid)], dim=1))
    heard_MF = head.listen(learner, batch, generator(0, "test"))
    draws = generator(0, "test")
    start = 0
    for _ in range(2):
        faulty = noisy(batch, 0.5, VOCABULARY, draws)
        said_1N = learner.say(faulty, 14)
        part_NF = heard_MF[start : start + 14]
        x_ND, log_p_NV = head.known(learner, faulty, said_1N)
        log_p_NK, tokens_NK = log_p_NV.topk(4)
        torch.testing.assert_close(part_NF[:, :32], x_ND, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(part_NF[:, 32:36], log_p_NK, rtol=1e-4, atol=1e-5)
        original = [*batch.target_BT[0].tolist(), -1]
        due_N = deviation(said_1N[0].numpy(), batch.target_BT[0].numpy()).due_N
        for due, tokens_K, found in zip(due_N, tokens_NK.tolist(), part_NF[:, 36].tolist(), strict=True):
            assert found == (tokens_K.index(original[due]) if original[due] in tokens_K else 4)
        start += 14
    assert len(heard_MF) == start
    assert heard_MF[1:14, 36].sum() == 0, "the first token was too much, all others are right, not one place too early"


def test_noise_changes_input_tokens_only_and_never_into_themselves():
    batch = replace(example(length=4000), prompt=3000, input=slice(1, 2999))
    faulty = noisy(batch, 0.2, VOCABULARY, generator(0, "test"))
    changed_T = (faulty.tokens_BT != batch.tokens_BT)[0]
    assert not changed_T[0]
    assert not changed_T[2999:].any()
    share = changed_T[1:2999].float().mean()
    assert abs(share - 0.2) < 0.03, "four standard deviations"
    assert torch.bincount(faulty.tokens_BT[0, 1:2999][changed_T[1:2999]], minlength=VOCABULARY).min() > 0
    assert faulty.prompt == batch.prompt
    assert faulty.tokens_BT.max() < VOCABULARY
    everywhere = noisy(batch, 1 - 1e-7, VOCABULARY, generator(0, "test"))
    assert (everywhere.tokens_BT != batch.tokens_BT)[0, 1:2999].all()


def test_nothing_is_learned_from_what_is_said_after_the_end():
    learner, batch = looking("gpt", {"inputs": 1}), example()
    head = learner.heads["introspection"]
    faulty = noisy(batch, 0.15, VOCABULARY, generator(0, "test"))
    said = learner.say(faulty, 14)[0].tolist()
    batch.tokens_BT[0, -1] = said[5]
    assert len(head.listen(learner, batch, generator(0, "test"))) == said.index(said[5]) + 1 < 14


def test_a_judge_standardises_by_what_was_usual():
    judge, draws = Judge(3, 2, generator(0, "judge")), generator(0, "test")
    one_NF = torch.randn(50, 3, generator=draws) * torch.tensor([1.0, 100, 0.01]) + torch.tensor([0.0, 5, -2])
    two_NF = one_NF[:20] * 2 + 1
    judge.meet(one_NF)
    torch.testing.assert_close(judge.mean_F, one_NF.mean(0))
    torch.testing.assert_close(judge.variance_F, one_NF.var(0, correction=0))
    judge.meet(two_NF)
    mean_F = 0.9 * one_NF.mean(0) + 0.1 * two_NF.mean(0)
    square_F = 0.9 * one_NF.square().mean(0) + 0.1 * two_NF.square().mean(0)
    torch.testing.assert_close(judge.mean_F, mean_F)
    torch.testing.assert_close(judge.variance_F, square_F - mean_F.square(), rtol=1e-3, atol=1e-5)
    for parameter in judge.parameters():
        torch.nn.init.normal_(parameter, generator=draws)
    at_NF = judge.mean_F + torch.tensor([[FARTHEST], [FARTHEST + 1]]) * (judge.variance_F + 1e-6).sqrt()
    near_C, far_C = judge(at_NF)
    torch.testing.assert_close(near_C, far_C, msg="further away is not seen")
    assert (near_C - judge(judge.mean_F[None])[0]).abs().max() > 0.1


def test_a_judge_is_two_layers_of_sigmoids_and_none_has_the_score_zero():
    judge, draws = Judge(5, 3, generator(0, "judge")), generator(0, "test")
    assert [tuple(layer.weight.shape) for layer in judge.layers] == [(300, 5), (100, 300), (3, 100)]
    x_NF = torch.randn(4, 5, generator=draws)
    judge.variance_F = torch.ones(5) - 1e-6
    one, two, three = judge.layers
    one_NF = torch.sigmoid(x_NF @ one.weight.T)
    two_NF = torch.sigmoid((one_NF - 0.5) @ two.weight.T)
    torch.testing.assert_close(judge(x_NF)[:, :3], (two_NF - 0.5) @ three.weight.T, rtol=1e-4, atol=1e-5)
    assert torch.equal(judge(x_NF)[:, 3], torch.zeros(4))


def test_what_it_minimises():
    learner, draws = looking("gpt"), generator(0, "h")
    head = learner.heads["introspection"]
    opinionated(learner)
    x_MD, log_p_MK = torch.randn(6, 32, generator=draws), torch.randn(6, 4, generator=draws).log_softmax(-1) - 0.2
    due_M = torch.tensor([0, 1, 4, 2, 4, 3])
    head.heard.kept["1>2/0"] = (0, torch.cat([x_MD, log_p_MK, due_M[:, None].float()], dim=1))
    found = head.loss(learner, example(), learner.read(example()), Moment(0, 1, 0))
    wanted = 0.0
    rows_MF = ((log_p_MK.exp() - 1)[..., None] * (x_MD @ head.projection_DJ)[:, None]).reshape(6, 24)
    for judge, features_MF in (("gradient", rows_MF), ("hidden", torch.cat([x_MD, log_p_MK], dim=1))):
        one, two, three = head.judges[judge].layers
        inner_MF = torch.sigmoid(one(features_MF.clamp(-5, 5)))
        scores_MC = torch.cat([three(torch.sigmoid(two(inner_MF))), torch.zeros(6, 1)], dim=1)
        wanted = wanted + cross_entropy(scores_MC, due_M)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    found.backward()
    assert all(parameter.grad is None for parameter in learner.network.parameters())
    assert all(layer.weight.grad.any() for judge in head.judges.values() for layer in judge.layers)


def test_the_probability_that_a_token_is_wrong():
    """Of the 0.3 that is not at the candidates, the network gives 0.1 to the last token: so a third of `none`."""
    log_p_NK = torch.tensor([[0.5, 0.2]] * 3).log()
    scores_NC = torch.tensor([[1.0, 2.0, 0.0]] * 3)
    said_N = torch.tensor([0.5, 0.2, 0.1]).log()
    found_N = wrong(scores_NC, torch.tensor([0, 1, 2]), said_N, log_p_NK)
    e, e2 = np.e, np.e**2
    whole = e + e2 + 1
    np.testing.assert_allclose(found_N, [1 - e / whole, 1 - e2 / whole, 1 - 1 / whole / 3], rtol=1e-6)
    sure_NK = torch.tensor([[0.0, -40.0]])
    assert 0 <= wrong(scores_NC[:1], torch.tensor([2]), torch.tensor([-41.0]), sure_NK) <= 1
    tokens_NK = torch.tensor([[7, 3], [5, 2], [5, 2]])
    assert place(tokens_NK, torch.tensor([3, 5, 7])).tolist() == [1, 0, 2]


def test_probabilities_over_the_whole_vocabulary_add_up():
    learner, batch = looking("gpt"), example()
    opinionated(learner)
    head, own_1N = learner.heads["introspection"], learner.say(batch, 2)
    said = [torch.cat([own_1N[:, :1], torch.full((1, 1), token)], dim=1) for token in range(VOCABULARY)]
    right = [
        {judge: 1 - float(wrong_N[-1]) for judge, wrong_N in head.estimates(learner, batch, said_1N).items()}
        for said_1N in said
    ]
    for judge in head.judges:
        assert sum(each[judge] for each in right) == pytest.approx(1, abs=1e-5)
        assert min(each[judge] for each in right) >= 0


def test_it_listens_once_in_a_round(monkeypatch):
    learner = looking("gpt", {"every": 3, "inputs": 1})
    head, heard = learner.heads["introspection"], []
    real = head.listen
    monkeypatch.setattr(head, "listen", lambda made, batch, draws: (heard.append(batch), real(made, batch, draws))[1])
    trainer, counts, means = Trainer(learner), [], []
    for cycle in range(1, 6):
        trainer.cycle(cycle, batches()[:2])
        counts.append(len(heard))
        means.append(head.judges["gradient"].mean_F.clone())
    assert counts == [2, 2, 2, 4, 4]
    assert torch.equal(means[0], means[2])
    assert not torch.equal(means[2], means[3])


@pytest.mark.parametrize(("name", "changes"), TRAINED)
def test_it_leaves_its_learner_alone(name, changes):
    alone, watched = awake(name, **changes), looking(name, {"every": 1}, **changes)
    logs = []
    for made in (alone, watched):
        trainer = Trainer(made)
        logs.append([trainer.cycle(cycle, batches()) for cycle in (1, 2)])
    found, wanted = named(watched.network) | watched.scope.saved(), named(alone.network) | alone.scope.saved()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    if alone.carried:
        assert all(torch.equal(watched.carried[key], tensor) for key, tensor in alone.carried.items())
    for (names, values), (watched_names, watched_values) in zip(*logs, strict=True):
        places = [watched_names.index(name) for name in names]
        torch.testing.assert_close(watched_values[:, places], values, rtol=0, atol=0, equal_nan=True)
    assert set(watched_names) - set(names) == {"head.introspection"}
    fresh, taught = looking(name).heads["introspection"], watched.heads["introspection"]
    assert not any(torch.equal(one, two) for one, two in zip(fresh.parameters(), taught.parameters(), strict=True))


@pytest.mark.parametrize(("name", "changes"), TRAINED)
def test_a_run_goes_on_as_if_it_had_never_stopped(name, changes):
    settings = {"every": 2}
    whole = Trainer(looking(name, settings, **changes))
    whole.cycle(1, batches())
    saved = {key: tensor.clone() for key, tensor in whole.saved().items()}
    assert {"head/introspection/heard/1>2/0/0", "head/introspection/projection_DJ"} <= saved.keys()
    again = Trainer(looking(name, settings, **changes))
    with torch.no_grad():
        again.learner.heads["introspection"].projection_DJ.zero_()
    again.restore(saved)
    for cycle in (2, 3):
        found, wanted = again.cycle(cycle, batches()), whole.cycle(cycle, batches())
        assert found[0] == wanted[0]
        torch.testing.assert_close(found[1], wanted[1], rtol=0, atol=0, equal_nan=True)
    assert again.saved().keys() == whole.saved().keys()
    assert all(torch.equal(again.saved()[key], tensor) for key, tensor in whole.saved().items())


def test_a_mark_is_enough_to_examine():
    trainer = Trainer(looking("gpt"))
    for cycle in (1, 2):
        trainer.cycle(cycle, batches())
    mark = {key: tensor.clone() for key, tensor in trainer.learner.marked().items()}
    assert not any("heard" in key for key in mark)
    other = looking("gpt")
    other.restore(mark)
    found, wanted = (
        made.heads["introspection"].examine(made, [example()], generator(0, "test"))
        for made in (other, trainer.learner)
    )
    assert [one.source for one in found] == [one.source for one in wanted]
    assert all(torch.equal(one.estimate_N, two.estimate_N) for one, two in zip(found, wanted, strict=True))


def test_it_starts_from_its_seed_and_draws_from_nobody():
    torch.manual_seed(1)
    learner = looking("gpt")
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    other = looking("gpt")
    assert torch.equal(torch.rand(2), expected)
    head = learner.heads["introspection"]
    others = named(other.heads["introspection"])
    assert all(torch.equal(tensor, others[key]) for key, tensor in named(head).items())
    assert not any(key.startswith("head") for key in learner.trained())
    counted = {name: sum(p.numel() for p in judge.parameters()) for name, judge in head.judges.items()}
    inner = 300 + 300 * 100 + 100 + 100 * 4 + 4
    assert counted == {"gradient": 24 * 300 + inner, "hidden": 36 * 300 + inner}
    assert sum(p.numel() for p in head.trained().values()) == sum(counted.values())


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_what_it_examines(name, changes):
    learner = looking(name, **changes)
    opinionated(learner)
    head, clean = learner.heads["introspection"], example()
    faulty = replace(clean.asked(clean.tokens_BT[:, clean.input].flip(1)), condition="corrupted:turned-100")
    found = {one.source: one for one in head.examine(learner, [clean, faulty], generator(0, "test"))}
    outputs = {"sample": clean, "own": clean, "corrupted:turned-100": faulty}
    judged = [judge + source for source in outputs for judge in ("", "hidden:")]
    chosen = [judge + source for judge in ("reranked:", "hidden:reranked:") for source in list(outputs)[1:]]
    assert list(found) == judged + chosen
    assert torch.equal(found["own"].said_N, learner.say(clean, 14)[0])
    assert torch.equal(found["corrupted:turned-100"].said_N, learner.say(faulty, 14)[0])
    assert not torch.equal(found["own"].said_N, found["sample"].said_N)
    for source, one in found.items():
        assert one.asked is outputs[source.removeprefix("hidden:").removeprefix("reranked:")]
        wrong_N = head.estimates(learner, one.asked, one.said_N[None])
        assert torch.equal(one.estimate_N, wrong_N["hidden" if source.startswith("hidden:") else "gradient"])
        assert not torch.equal(wrong_N["hidden"], wrong_N["gradient"])
    again = head.examine(learner, [clean, faulty], generator(0, "test"))
    assert all(torch.equal(one.said_N, found[one.source].said_N) for one in again)
    assert torch.equal(learner.say(clean, 14)[0], found["own"].said_N), "no hook is left"
    silent = looking(name, {"rerank": False}, **changes)
    sources = [one.source for one in silent.heads["introspection"].examine(silent, [clean], generator(0, "test"))]
    assert sources == ["sample", "hidden:sample", "own", "hidden:own"]


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_reranked_output_is_what_full_passes_and_the_judge_give(name, changes):
    learner, batch = looking(name, **changes), example(length=20)
    learner.carry_on(example(7), learner.read(example(7)))
    opinionated(learner)
    head = learner.heads["introspection"]
    with head.reranking(learner, [None, *head.judges]):
        own_1N, *chosen = head.say(learner, [batch] * 3, generator(0, "test"))
    assert torch.equal(own_1N, learner.say(batch, 10))
    for (name, judge), found_1N in zip(head.judges.items(), chosen, strict=True):
        assert not torch.equal(found_1N, own_1N)
        x_ND, log_p_NV = head.known(learner, batch, found_1N)
        log_p_NK, tokens_NK = log_p_NV.topk(4)
        best_N1 = judge(head.features(x_ND, log_p_NK)[name])[:, :4].argmax(-1, keepdim=True)
        assert torch.equal(found_1N, tokens_NK.gather(1, best_N1).T)


def trained_on(learner: Learner, heard_MF: torch.Tensor, steps: int) -> None:
    """Let the head learn from these examples alone."""
    head = learner.heads["introspection"]
    head.heard.kept["1>2/0"] = (0, head.meet(heard_MF))
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01)
    for _ in range(steps):
        head.loss(learner, example(), Output((), torch.zeros(0)), Moment(0, 1, 0)).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_what_follows_from_the_hidden_state_is_learned_and_put_right(name):
    """The second candidate is due wherever a fixed direction in x says so; nothing else tells where that is."""
    learner = looking(name, {"projected": 32})
    head = learner.heads["introspection"]
    direction_D = torch.randn(32, generator=generator(0, "direction"))
    batches = [example(seed, 110) for seed in range(12)]
    with torch.no_grad():
        known = [head.known(learner, batch, batch.target_BT) for batch in batches]
    x_MD, log_p_MK = (
        torch.cat([x_ND for x_ND, _ in known]),
        torch.cat([log_p_NV.topk(4).values for _, log_p_NV in known]),
    )
    sign_M = x_MD @ direction_D
    heard_MF = torch.cat([x_MD, log_p_MK, (sign_M > sign_M.median()).float()[:, None]], dim=1)
    trained_on(learner, heard_MF[:900], 40)
    x_MD, log_p_MK, due_M = head.parted(heard_MF[900:])
    assert roc_auc_score(due_M, -log_p_MK[:, 0]) < 0.65, "the network does not know"
    for judge, features_MF in head.features(x_MD, log_p_MK).items():
        scores_MC = head.judges[judge](features_MF).detach()
        wrong_M = wrong(scores_MC, torch.zeros_like(due_M), log_p_MK[:, 0], log_p_MK)
        right_M = scores_MC[:, :4].argmax(-1) == due_M
        assert roc_auc_score(due_M, wrong_M) > 0.9, judge
        assert right_M.float().mean() > 0.8 > 0.6 > (due_M == 0).float().mean(), judge


def test_errors_in_its_own_words_are_known():
    """Said to 27 prompts and learned from, said to 9 others and judged: where x says so, the next best was due."""
    learner = looking("rwkv7", {"inputs": 1, "noise": 1e-6, "projected": 32})
    head = learner.heads["introspection"]
    direction_D = torch.randn(32, generator=generator(0, "direction"))
    asked = [replace(example(seed, 22), window=seed) for seed in range(36)]
    outputs = head.say(learner, asked, generator(0, "test"))
    for index, (batch, own_1N) in enumerate(zip(asked, outputs, strict=True)):
        x_ND, log_p_NV = head.known(learner, batch, own_1N)
        second_1N = log_p_NV.topk(2).indices[None, :, 1]
        asked[index] = batch.said(torch.where(x_ND @ direction_D > 0, second_1N, own_1N))
    trained_on(learner, torch.cat([head.listen(learner, batch, generator(0, "test")) for batch in asked[:27]]), 40)
    errors, found = [], {"gradient": [], "hidden": []}
    for batch, whole_1N in list(zip(asked, outputs, strict=True))[27:]:
        own_1N = ended(batch, whole_1N)
        errors.append(deviation(own_1N[0].numpy(), batch.target_BT[0].numpy()).error_N)
        for judge, wrong_N in head.estimates(learner, batch, own_1N).items():
            found[judge].append(wrong_N)
    error_M = np.concatenate(errors)
    assert 10 <= error_M.sum() <= len(error_M) - 10
    areas = {judge: roc_auc_score(error_M, torch.cat(parts)) for judge, parts in found.items()}
    assert min(areas.values()) > 0.85, areas


def settings_of(network: dict[str, object], **head: object) -> params.Learner:
    return tiny("gpt", network=network, heads={"introspection": head})


def test_a_network_that_fills_masks_cannot_have_one():
    network = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 4, "draws": 4}}
    with pytest.raises(UserError, match=r"heads\.introspection: .* any order"):
        Learner(settings_of(network), VOCABULARY, seed=0, base=None)


def test_more_candidates_than_tokens_are_too_many():
    with pytest.raises(UserError, match=r"heads\.introspection\.candidates is 40"):
        Learner(settings_of(TINY["gpt"]["network"], candidates=40), VOCABULARY, seed=0, base=None)


class Capped(Transformer):
    """A network whose scores go through something after the last linear map."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        return Output(output.hidden, output.logits_BTV.tanh())


def test_scores_must_come_from_a_linear_map():
    with pytest.raises(UserError, match=r"heads\.introspection: the scores of Capped"):
        unembedding(Capped(tiny("gpt").network, VOCABULARY, generator(0, "network")))


@pytest.mark.parametrize(
    "network",
    [
        {"gla": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}},
        {"feedback": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}},
        {"memory": {"width": 32, "layers": 2, "heads": 2, "memories": [1]}},
    ],
    ids=lambda network: next(iter(network)),
)
def test_it_can_be_put_on_any_network_that_predicts_the_next_token(network):
    learner = Learner(settings_of(network, **SMALL), VOCABULARY, seed=0, base=None)
    head, batch = learner.heads["introspection"], example()
    weight_VD = learner.network.get_submodule(head.last).weight
    assert weight_VD.shape == (VOCABULARY, 32)
    opinionated(learner)
    found: list[Critique] = head.examine(learner, [batch], generator(0, "test"))
    assert len(found) == 6
    assert all(torch.isfinite(one.estimate_N).all() for one in found)
    assert torch.isfinite(head.loss(learner, batch, learner.read(batch), Moment(0, 1, 0)))
