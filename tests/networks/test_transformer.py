from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from resonance import params
from resonance.errors import UserError
from resonance.networks.tensors import named
from resonance.networks.transformer import STD, Transformer

SMALL = params.Transformer(width=32, layers=3, heads=4, feedforward=48)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(settings: params.Transformer, seed: int) -> dict[str, Tensor]:
    return named(Transformer(settings, 300, seeded(seed)))


def test_sizes_are_those_of_the_settings():
    network = Transformer(SMALL, 300, seeded(0))
    assert (network.depth, network.width, network.vocabulary, network.recurrent) == (3, 32, 300, False)
    shapes = {
        name: tuple(tensor.shape) for name, tensor in network.named_parameters() if ".1." in name or "." not in name
    }
    assert shapes == {
        "model.model.layers.1.self_attn.q_proj.weight": (32, 32),
        "model.model.layers.1.self_attn.k_proj.weight": (32, 32),
        "model.model.layers.1.self_attn.v_proj.weight": (32, 32),
        "model.model.layers.1.self_attn.o_proj.weight": (32, 32),
        "model.model.layers.1.mlp.gate_proj.weight": (48, 32),
        "model.model.layers.1.mlp.up_proj.weight": (48, 32),
        "model.model.layers.1.mlp.down_proj.weight": (32, 48),
        "model.model.layers.1.input_layernorm.weight": (32,),
        "model.model.layers.1.post_attention_layernorm.weight": (32,),
    }
    assert network.model.lm_head.weight is not network.model.model.embed_tokens.weight


def test_the_default_has_about_a_million_weights():
    count = sum(parameter.numel() for parameter in Transformer(params.Transformer(), 2048, seeded(0)).parameters())
    assert count == 2 * 2048 * 128 + 4 * (4 * 128**2 + 3 * 128 * 344 + 2 * 128) + 128


def test_weights_depend_on_the_generator_alone():
    torch.manual_seed(1)
    first = weights(SMALL, 0)
    torch.manual_seed(2)
    second, other = weights(SMALL, 0), weights(SMALL, 1)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    drawn = {name for name in first if not torch.equal(first[name], other[name])}
    assert drawn == {name for name, tensor in first.items() if tensor.ndim == 2}


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    Transformer(SMALL, 300, seeded(0))
    assert torch.equal(torch.rand(3), expected)


def test_matrices_are_normal_and_gains_are_one():
    network = Transformer(params.Transformer(), 2048, seeded(0))
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            assert name.endswith("norm.weight")
            assert torch.equal(parameter, torch.ones(128))
        else:
            noise = 1 / (2 * parameter.numel()) ** 0.5  # standard error of a standard deviation, in units of it
            assert abs(parameter.std() / STD - 1) < 5 * noise
            assert abs(parameter.mean()) < 5 * STD / parameter.numel() ** 0.5
            assert parameter.abs().max() < 6 * STD


@torch.no_grad()
def test_it_is_the_llama_of_transformers():
    network = Transformer(SMALL, 300, seeded(0))
    llama = LlamaForCausalLM(network.model.config).eval()
    llama.load_state_dict(network.model.state_dict())
    tokens_BT = torch.randint(300, (2, 17), generator=seeded(5))
    assert torch.equal(network(tokens_BT).logits_BTV, llama(tokens_BT).logits)


@torch.no_grad()
def test_only_distances_between_tokens_count():
    """Rotary positions: without its first token's influence, a sequence may stand anywhere."""
    network = Transformer(SMALL, 300, seeded(0))
    tokens_BT = torch.randint(300, (1, 9), generator=seeded(5))
    here = network.model(tokens_BT, position_ids=torch.arange(9)[None]).logits
    there = network.model(tokens_BT, position_ids=torch.arange(9)[None] + 1000).logits
    assert (here - there).abs().max() < 1e-4 * here.std()
    apart = network.model(tokens_BT, position_ids=2 * torch.arange(9)[None]).logits
    assert (here - apart).abs().max() > 1e-3 * here.std()


@pytest.mark.parametrize("width", [30, 36])
def test_a_width_that_heads_cannot_share_is_refused(width):
    with pytest.raises(
        UserError, match=rf"transformer: width {width} is not an even multiple of heads 4 .* change one"
    ):
        Transformer(params.Transformer(width=width, heads=4), 300, seeded(0))
