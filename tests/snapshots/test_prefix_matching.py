from __future__ import annotations

from math import log

import pytest
import torch
from conftest import tiny

from resonance.learning.learner import Learner
from resonance.snapshots.prefix_matching import attends, prefix_matching

HALF = 32
ROWS = torch.cat([torch.arange(1, 1 + HALF)] * 2)[None].repeat(2, 1)


def made(name: str = "gpt") -> Learner:
    return Learner(tiny(name), 60, 0, None)


def test_a_head_that_looks_everywhere_has_the_share_of_one_place() -> None:
    network = made().network
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "q_proj" in name:
                parameter.zero_()
    (first, *_), *_ = prefix_matching(network, ROWS, HALF)
    even = sum(1 / (place + 1) for place in range(HALF, 2 * HALF)) / HALF
    assert first == pytest.approx(even, rel=1e-5)
    assert even == pytest.approx(1.4 / (2 * HALF), rel=0.03)
    assert even == pytest.approx(log(2) / HALF, rel=0.02)


@torch.no_grad()
def test_it_is_the_weight_on_the_place_behind_the_previous_occurrence() -> None:
    """Against the weights themselves, place by place; with a token before the rows."""
    network = made().network
    rows = torch.cat([torch.zeros(2, 1, dtype=torch.int64), ROWS], dim=1)
    network.model.set_attn_implementation("eager")
    found = network.model(input_ids=rows, output_attentions=True, use_cache=False).attentions
    network.model.set_attn_implementation("sdpa")
    for layer, scores in enumerate(prefix_matching(network, rows, HALF)):
        for head, score in enumerate(scores):
            asked = [float(found[layer][b, head, 1 + HALF + n, 1 + n + 1]) for b in range(2) for n in range(HALF)]
            assert score == pytest.approx(sum(asked) / len(asked), rel=1e-5)


def test_the_network_is_as_it_was() -> None:
    network = made().network
    before = network(ROWS).logits_BTV
    prefix_matching(network, ROWS, HALF)
    assert network.model.config._attn_implementation == "sdpa"
    assert torch.equal(network(ROWS).logits_BTV, before)
    with pytest.raises(IndexError):
        prefix_matching(network, ROWS + 100, HALF)
    assert network.model.config._attn_implementation == "sdpa", "also after a fault"


def test_edits_are_applied() -> None:
    network = made().network
    plain, edited = (prefix_matching(network, ROWS, HALF, edit) for edit in (None, lambda layer, h: h * 3 + 1))
    assert plain[0] == edited[0]
    assert plain[1] != edited[1]


def test_whose_attention_can_be_had() -> None:
    assert attends(made().network)
    assert not attends(made("rwkv7").network)
