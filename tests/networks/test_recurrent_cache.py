from __future__ import annotations

from copy import deepcopy

import families
import pytest
import recurrent_families
import torch
from recurrent_families import DEPTH, RECURRENT, VOCABULARY
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    MistralConfig,
    OlmoHybridConfig,
    PretrainedConfig,
    Qwen3NextConfig,
    RecurrentGemmaConfig,
)

from resonance.networks.causal_lm import CausalLM
from resonance.networks.network import Edit, State
from resonance.networks.recurrent_cache import remembered_by
from resonance.networks.selective_scan import begin_where_left

LENGTH = 22
"""More than two chunks of the models that compute in chunks."""


@pytest.fixture(params=RECURRENT)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def network(family: str) -> CausalLM:
    return recurrent(family)


def recurrent(family: str) -> CausalLM:
    model = recurrent_families.small(family)
    begin_where_left(model)
    return CausalLM(model, remembered_by(model))


@pytest.fixture
def tokens_BT() -> Tensor:
    return torch.randint(2, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(0))


def random_like(state: State, seed: int) -> State:
    draws = torch.Generator().manual_seed(seed)
    return {name: torch.randn(part.shape, generator=draws) for name, part in state.items()}


def close(one: Tensor, other: Tensor, share: float = 1e-5) -> bool:
    """The tolerance of the issue: the order of sums differs between one part and two."""
    return bool((one - other).abs().max() <= share * other.abs().max())


PARTS = {
    "mamba": {"conv": (64, 4), "ssm": (64, 8)},
    "falcon-mamba": {"conv": (64, 4), "ssm": (64, 8)},
    "mamba2": {"conv": (96, 4), "ssm": (8, 8, 8)},
    "rwkv": dict.fromkeys(("ffn_last", "att_last", "numerator", "denominator", "exponent"), (32,)),
    "xlstm": {"matrix": (4, 16, 32), "normalizer": (4, 16), "exponent": (4, 1)},
}


@torch.no_grad()
def test_a_state_is_named_and_does_not_grow(network, tokens_BT, family):
    assert network.recurrent
    expected = {
        f"layers.{layer}.{name}": (2, *shape) for layer in range(DEPTH) for name, shape in PARTS[family].items()
    }
    for length in (1, 2, LENGTH):
        state = network(tokens_BT[:, :length]).state
        assert {name: tuple(part.shape) for name, part in state.items()} == expected
    empty = network.empty_state(2)
    assert {name: (part.shape, part.dtype) for name, part in empty.items()} == {
        name: (part.shape, part.dtype) for name, part in state.items()
    }


@torch.no_grad()
def test_without_a_state_a_pass_is_that_of_the_untouched_model(network, tokens_BT, family):
    output = network(tokens_BT)
    theirs = recurrent_families.small(family)(input_ids=tokens_BT, use_cache=False)
    assert torch.equal(output.logits_BTV, theirs.logits)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [[1], [3], [LENGTH - 1], [2, 9, 10], list(range(1, LENGTH))], ids=str)
def test_parts_are_the_whole(network, tokens_BT, cuts):
    whole = network(tokens_BT)
    state, outputs = None, []
    for start, stop in zip([0, *cuts], [*cuts, LENGTH], strict=True):
        outputs.append(network(tokens_BT[:, start:stop], state))
        state = outputs[-1].state
    assert close(torch.cat([o.logits_BTV for o in outputs], 1), whole.logits_BTV)
    for layer in range(DEPTH + 1):
        assert close(torch.cat([o.hidden[layer] for o in outputs], 1), whole.hidden[layer])
    assert state.keys() == whole.state.keys()
    assert all(close(state[name], part) for name, part in whole.state.items())


@torch.no_grad()
def test_the_empty_state_is_that_before_the_first_token(network, tokens_BT):
    afresh, begun = network(tokens_BT), network(tokens_BT, network.empty_state(2))
    assert close(begun.logits_BTV, afresh.logits_BTV)
    assert all(close(begun.state[name], part) for name, part in afresh.state.items())


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 5])
def test_a_state_matters_and_is_never_changed_in_place(network, tokens_BT, length):
    state = network(tokens_BT[:, :9]).state
    before = {name: part.clone() for name, part in state.items()}
    first, second = (network(tokens_BT[:, 9 : 9 + length], state) for _ in range(2))
    assert torch.equal(first.logits_BTV, second.logits_BTV)
    assert all(torch.equal(part, before[name]) for name, part in state.items())
    assert all(torch.equal(part, second.state[name]) for name, part in first.state.items())
    assert not close(first.logits_BTV, network(tokens_BT[:, 9 : 9 + length]).logits_BTV, 1e-2)


@torch.no_grad()
def test_a_state_holds_no_more_than_itself(network, tokens_BT):
    """And can be saved: no part of it shares memory with another, or with what was computed on the way."""
    first = network(tokens_BT[:, :9]).state
    for state in (first, network(tokens_BT[:, 9:], first).state, network(tokens_BT[:, 9:10], first).state):
        assert all(part.is_contiguous() for part in state.values())
        assert all(part.untyped_storage().nbytes() == part.nbytes for part in state.values())
        assert len({part.data_ptr() for part in state.values()}) == len(state)


@torch.no_grad()
def test_an_edit_finds_its_place_in_a_pass_from_a_state(network, tokens_BT):
    def at(place: int) -> Edit:
        step_D = torch.linspace(-1, 1, network.width)
        return lambda layer, hidden_BTD: (
            hidden_BTD.index_add(1, torch.tensor([place]), step_D.expand(2, 1, -1)) if layer == 1 else hidden_BTD
        )

    whole = network(tokens_BT, edit=at(12))
    state = network(tokens_BT[:, :9]).state
    part = network(tokens_BT[:, 9:], state, edit=at(3))
    assert close(part.logits_BTV, whole.logits_BTV[:, 9:])
    assert not close(part.logits_BTV, network(tokens_BT[:, 9:], state).logits_BTV, 1e-2)


@torch.no_grad()
def test_a_pass_from_below_has_no_state(network, tokens_BT):
    below = network.below(tokens_BT, 1)
    output = network(tokens_BT, below=below)
    assert torch.equal(output.logits_BTV, network(tokens_BT).logits_BTV)
    assert output.state is None
    with pytest.raises(ValueError, match="`state` or `below`, not both"):
        network(tokens_BT, state=network.empty_state(2), below=below)


def test_gradients_flow_through_a_state(network, tokens_BT):
    """Those of all weights, carried from one part to the next, are those of the whole."""

    def gradients(parts: list[Tensor]) -> dict[str, Tensor]:
        state, total = None, torch.zeros(())
        for part_BT in parts:
            output = network(part_BT, state)
            state, total = output.state, total + output.logits_BTV.logsumexp(-1).sum()
        names, parameters = zip(*network.named_parameters(), strict=True)
        return dict(zip(names, torch.autograd.grad(total, parameters), strict=True))

    whole, parted = gradients([tokens_BT]), gradients([tokens_BT[:, :7], tokens_BT[:, 7:]])
    assert all(close(parted[name], gradient, 1e-4) for name, gradient in whole.items())
    assert all(gradient.abs().max() > 0 for gradient in whole.values())


@pytest.mark.parametrize("length", [2, 11])
def test_forward_and_backward_derivatives_by_the_state_agree(network, tokens_BT, length):
    """⟨c, J v⟩ = ⟨Jᵀ c, v⟩, J being the derivative of logits and state by the state before; forward without a graph."""
    network.requires_grad_(False)
    read_BT = tokens_BT[:, 9 : 9 + length]
    state = network(tokens_BT[:, :9]).state
    direction = random_like(state, 1)

    def after(state: State) -> State:
        output = network(read_BT, state)
        return output.state | {"logits": output.logits_BTV}

    with torch.no_grad():
        outputs, moved = torch.func.jvp(after, (state,), (direction,))
    assert all(torch.equal(part, outputs[name]) for name, part in after(state).items())
    weights = random_like(outputs, 2)
    forward = sum((weights[name] * part).double().sum() for name, part in moved.items())
    leaves = {name: part.clone().requires_grad_() for name, part in state.items()}
    total = sum((weights[name] * part).sum() for name, part in after(leaves).items())
    pulled = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    backward = sum((direction[name] * part).double().sum() for name, part in zip(leaves, pulled, strict=True))
    scale = sum((weights[name] * part).double().square().sum() for name, part in moved.items()).sqrt()
    assert abs(forward - backward) <= 1e-5 * scale
    assert scale > 0.1


@torch.no_grad()
@pytest.mark.parametrize("family", ["mamba", "falcon-mamba", "mamba2"])
def test_forward_derivatives_are_those_of_finite_differences(network, tokens_BT):
    state = network(tokens_BT[:, :9]).state
    direction = {name: part * state[name].std() for name, part in random_like(state, 1).items()}
    step = 1e-2
    _, moved_BTV = torch.func.jvp(lambda s: network(tokens_BT[:, 9:], s).logits_BTV, (state,), (direction,))
    ahead_BTV, behind_BTV = (
        network(tokens_BT[:, 9:], {name: part + sign * direction[name] for name, part in state.items()}).logits_BTV
        for sign in (step, -step)
    )
    assert close((ahead_BTV - behind_BTV) / (2 * step), moved_BTV, 5e-3)


@torch.no_grad()
@pytest.mark.parametrize("edits", [False, True], ids=["plain", "edited"])
def test_generation_goes_on_from_a_state(network, tokens_BT, edits):
    def shifted(by: float) -> Edit:
        return lambda layer, hidden_BTD: hidden_BTD + by * (layer + 1) * torch.linspace(-1, 1, network.width)

    edit, following = (shifted(0.1), shifted(-0.2)) if edits else (None, None)
    state = network(tokens_BT[:, :9]).state
    read_BT, prompt = tokens_BT[:, 9:], LENGTH - 9

    def both(layer: int, hidden_BTD: Tensor) -> Tensor:
        if not edits:
            return hidden_BTD
        return torch.cat([shifted(0.1)(layer, hidden_BTD[:, :prompt]), shifted(-0.2)(layer, hidden_BTD[:, prompt:])], 1)

    written_BT = read_BT
    for _ in range(6):
        logits_BTV = network(written_BT, state, edit=both).logits_BTV
        written_BT = torch.cat([written_BT, logits_BTV[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(network.generate(read_BT, 6, state, edit, following), written_BT[:, prompt:])
    assert network.generate(read_BT, 0, state).shape == (2, 0)


@torch.no_grad()
def test_a_deep_copy_carries_on(network, tokens_BT):
    state = network(tokens_BT[:, :9]).state
    expected_BTV = network(tokens_BT[:, 9:], state).logits_BTV
    copy = deepcopy(network)
    for parameter in network.parameters():
        parameter.fill_(torch.nan)
    assert torch.equal(copy(tokens_BT[:, 9:], state).logits_BTV, expected_BTV)


ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
HYBRID = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, **ENDS}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "head_dim": 8,
    "num_key_value_heads": 2,
}
MIXED = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8}

GROWING: dict[str, PretrainedConfig] = {
    **{name: families.FAMILIES[name] for name in ("llama", "gpt2", "gpt-neox", "qwen3", "openai-gpt")},
    "qwen3-next": Qwen3NextConfig(**HYBRID, **LINEAR, **MIXED, **EXPERTS),
    "olmo-hybrid": OlmoHybridConfig(**HYBRID, **LINEAR, **MIXED),
    "recurrent-gemma": RecurrentGemmaConfig(
        **HYBRID, num_hidden_layers=3, lru_width=32, head_dim=8, attention_window_size=2
    ),
    "window of one": MistralConfig(**HYBRID, num_hidden_layers=2, num_key_value_heads=2, sliding_window=2),
}


@torch.no_grad()
@pytest.mark.parametrize("name", GROWING)
def test_what_attends_is_not_recurrent(name, tokens_BT):
    """Also where linear layers stand beside attention, or keys and values are dropped, as their positions count on."""
    model = AutoModelForCausalLM.from_config(GROWING[name]).eval()
    network = CausalLM(model, remembered_by(model))
    assert not network.recurrent
    assert network(tokens_BT).state is None
    with pytest.raises(ValueError, match="no state"):
        network(tokens_BT, state={})
    with pytest.raises(ValueError, match="no state"):
        network.empty_state(1)


@torch.no_grad()
def test_what_attends_in_vain_is_not_recurrent():
    """Its keys and values still grow, though on four tokens nothing depends on them."""
    model = AutoModelForCausalLM.from_config(GROWING["qwen3-next"]).eval()
    model.get_submodule("model.layers.1.self_attn.o_proj").weight.zero_()
    assert remembered_by(model) is None


@pytest.mark.parametrize("family", ["mamba", "falcon-mamba"])
def test_a_model_that_goes_on_wrongly_is_not_recurrent(family):
    """transformers' own Mamba: should this fail, it has learnt to, and `selective_scan.py` can go."""
    assert remembered_by(recurrent_families.small(family)) is None


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_carry_a_state_too(family, tokens_BT, dtype):
    model = recurrent_families.small(family).to(dtype)
    begin_where_left(model)
    network = CausalLM(model, remembered_by(model))
    assert network.recurrent
    whole = network(tokens_BT)
    rest = network(tokens_BT[:, 9:], network(tokens_BT[:, :9]).state)
    share = {torch.bfloat16: 0.1, torch.float16: 0.02, torch.float64: 1e-5}[dtype]
    assert close(rest.logits_BTV, whole.logits_BTV[:, 9:], share)
    assert {name: part.dtype for name, part in rest.state.items()} == {n: p.dtype for n, p in whole.state.items()}
