from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import recurrent_families
import torch
from recurrent_families import DEPTH, VOCABULARY
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from resonance.networks.causal_lm import CausalLM
from resonance.networks.recurrent_cache import remembered_by
from resonance.networks.selective_scan import begin_where_left, continued, scan

FAMILIES = ["mamba", "falcon-mamba"]
LENGTH = 12


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokens_BT() -> Tensor:
    return torch.randint(2, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1e-6), (torch.bfloat16, 0.03)], ids=str)
def test_a_mixer_does_what_transformers_does_token_by_token(family, dtype, share):
    """From a state, transformers is right for single tokens: what several at once come to is held against these."""
    model = recurrent_families.small(family).to(dtype)
    mixer: Any = model.backbone.layers[1].mixer
    draws = torch.Generator().manual_seed(0)
    hidden_BTD = torch.randn(2, LENGTH, 32, generator=draws).to(dtype)
    last_BEK, state_BEN = torch.randn(2, 64, 4, generator=draws).to(dtype), torch.randn(2, 64, 8, generator=draws)
    cache = DynamicCache(config=model.config)
    cache.update_conv_state(last_BEK, 1)
    cache.update_recurrent_state(state_BEN, 1)
    steps = [mixer(hidden_BTD[:, t : t + 1], cache_params=cache) for t in range(LENGTH)]
    before = [last_BEK.clone(), state_BEN.clone()]
    mixed_BTD, left_BEK, left_BEN = continued(mixer, hidden_BTD, last_BEK, state_BEN)
    assert torch.equal(last_BEK, before[0])
    assert torch.equal(state_BEN, before[1])
    assert (mixed_BTD.dtype, left_BEK.dtype, left_BEN.dtype) == (dtype, dtype, torch.float32)
    for ours, theirs in (
        (mixed_BTD, torch.cat(steps, dim=1)),
        (left_BEK, cache.get_conv_state(1)),
        (left_BEN, cache.get_recurrent_state(1)),
    ):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= share * theirs.abs().max()


def test_the_scan_is_its_formula():
    draws = torch.Generator().manual_seed(0)
    decay_BTEN, gain_BTEN = (torch.rand(2, 5, 3, 4, generator=draws, dtype=torch.float64) for _ in range(2))
    state_BEN = torch.rand(2, 3, 4, generator=draws, dtype=torch.float64)
    states_BTEN = scan(decay_BTEN, gain_BTEN, state_BEN)
    for t in range(5):
        carried_BEN = decay_BTEN[:, : t + 1].prod(1) * state_BEN
        written_BEN = sum(decay_BTEN[:, s + 1 : t + 1].prod(1) * gain_BTEN[:, s] for s in range(t + 1))
        assert torch.allclose(states_BTEN[:, t], carried_BEN + written_BEN, rtol=1e-12)


def test_gradients_of_the_scan_are_those_of_finite_differences():
    draws = torch.Generator().manual_seed(0)
    inputs = [torch.rand(*shape, generator=draws, dtype=torch.float64) for shape in ((1, 4, 2, 3),) * 2 + ((1, 2, 3),)]
    leaves = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(scan, leaves, check_forward_ad=True)


@torch.no_grad()
def test_without_a_cache_or_with_an_empty_one_nothing_changes(family, tokens_BT):
    """Bit for bit, so that a pass without a state stays that of the published model."""
    model, untouched = recurrent_families.small(family), recurrent_families.small(family)
    begin_where_left(model)
    for use_cache in (False, True):
        ours, theirs = (each(input_ids=tokens_BT, use_cache=use_cache) for each in (model, untouched))
        assert torch.equal(ours.logits, theirs.logits)
    for layer in range(DEPTH):
        ours_BEN, theirs_BEN = (each.cache_params.get_recurrent_state(layer) for each in (ours, theirs))
        assert torch.equal(ours_BEN, theirs_BEN)


@torch.no_grad()
def test_weights_that_lie_on_a_disk_are_fetched(family, tokens_BT, tmp_path: Path):
    """By hooks of accelerate's, which take the place of a mixer's own forward method."""
    recurrent_families.small(family).save_pretrained(tmp_path / "model")
    places = {"embeddings": "cpu", "layers.0": "cpu", "layers.1": "disk", "layers.2": "disk", "norm_f": "cpu"}
    device_map = {"lm_head": "cpu", **{f"backbone.{name}": at for name, at in places.items()}}
    spread = AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", device_map=device_map, offload_folder=tmp_path / "disk"
    )
    networks = []
    for model in (spread, recurrent_families.small(family)):
        begin_where_left(model)
        networks.append(CausalLM(model, remembered_by(model)))
    assert "meta" in {parameter.device.type for parameter in spread.parameters()}
    ours, theirs = (network(tokens_BT[:, 5:], network(tokens_BT[:, :5]).state) for network in networks)
    assert torch.equal(ours.logits_BTV, theirs.logits_BTV)
    assert all(torch.equal(part, theirs.state[name]) for name, part in ours.state.items())
