"""What a learner says after several prompts at once, against its greedy output and against full passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import TINY
from speakers import VOCABULARY, awake, example

from resonance.learning.batch import Batch
from resonance.learning.moment import generator
from resonance.learning.speech import ended, over, spoken

CONTEXT = {"train": {"nothing": {"memory": "context", "window": 20}}, "objective": {}}
LEARNERS = [(name, {}) for name in TINY] + [("gpt", CONTEXT), ("rwkv7", {"carry": True})]


def prompts(*batches: Batch) -> torch.Tensor:
    return torch.cat([batch.tokens_BT[:, : batch.prompt] for batch in batches])


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_greedy_rows_are_what_the_learner_says(name, changes):
    made = awake(name, **changes)
    made.carry_on(example(7), made.read(example(7)))
    batches = [example(0), example(1), example(2)]
    found_BN = spoken(made, prompts(*batches), 10, 14, torch.zeros(3, dtype=torch.bool), torch.Generator())
    assert len({tuple(row) for row in found_BN.tolist()}) > 1
    for batch, said_N in zip(batches, found_BN, strict=True):
        assert torch.equal(said_N[None], made.say(batch, 14))


@pytest.mark.parametrize(("name", "changes"), LEARNERS)
def test_drawn_rows_are_what_full_passes_and_the_same_noise_give(name, changes):
    made, batch = awake(name, **changes), example()
    made.carry_on(example(7), made.read(example(7)))
    drawn_B = torch.tensor([False, True])
    found_BN = spoken(made, prompts(batch, batch), 10, 14, drawn_B, generator(0, "test"))
    again_BN = spoken(made, prompts(batch, batch), 10, 14, drawn_B, generator(0, "test"))
    assert torch.equal(found_BN, again_BN)
    assert torch.equal(found_BN[:1], made.say(batch, 14))
    draws = generator(0, "test")
    said_1N = batch.tokens_BT[:, :0]
    for _ in range(14):
        so_far = batch.said(torch.cat([said_1N, said_1N.new_zeros(1, 1)], dim=1))
        scores_V = so_far.predictions(made.read(so_far, whole=True).logits_BTV)[0, -1].double()
        uniform_BV = torch.rand(2, 1, VOCABULARY, generator=draws, dtype=torch.float64)[:, 0]
        noisy_V = scores_V.log_softmax(-1) - (-uniform_BV[1].log()).log()
        said_1N = torch.cat([said_1N, noisy_V.argmax().view(1, 1)], dim=1)
    assert torch.equal(found_BN[1:], said_1N)
    assert not torch.equal(found_BN[0], found_BN[1])


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_draws_have_the_distribution_of_the_network(name):
    made, batch, n = awake(name), example(), 8000
    p_V = batch.predictions(made.read(batch).logits_BTV)[0, 0].softmax(-1).double()
    found_B1 = spoken(made, prompts(batch).expand(n, -1), 10, 1, torch.ones(n, dtype=torch.bool), generator(0, "test"))
    counts_V = torch.bincount(found_B1[:, 0], minlength=VOCABULARY)
    distance = ((counts_V - n * p_V).square() / (n * p_V)).sum()
    assert 0.01 < p_V.max() < 0.9
    assert distance < 72.1, "chi-squared with 39 degrees of freedom exceeds this once in a thousand times"


def test_afterwards_the_network_is_as_it_was():
    made, batch = awake("gpt"), example()
    before = made.say(batch, 14)
    spoken(made, prompts(batch), 10, 14, torch.tensor([True]), generator(0, "test"))
    assert torch.equal(made.say(batch, 14), before)
    with pytest.raises(IndexError):
        spoken(made, prompts(batch) + VOCABULARY, 10, 14, torch.tensor([True]), generator(0, "test"))
    assert torch.equal(made.say(batch, 14), before)


def test_where_an_output_ends():
    tokens_BT = torch.tensor([[0, 5, 6, 7, 8, 9]])
    one, two = Batch(tokens_BT, 3, "1>2", 0), Batch(tokens_BT, 3, "1>2", 0, end=2)
    said_1N = torch.tensor([[4, 9, 8, 9, 3]])
    assert ended(one, said_1N).tolist() == [[4, 9]]
    assert ended(two, said_1N).tolist() == [[4, 9, 8, 9]]
    assert over(one, said_1N)
    assert not over(two, said_1N[:, :3])
    never = replace(one, tokens_BT=torch.tensor([[0, 5, 6, 7, 8, 2]]))
    assert ended(never, said_1N).tolist() == [[4, 9, 8, 9, 3]]
    assert not over(never, said_1N)
