from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from families import DEPTH, ENDS, FAMILIES, GPT, LLAMA, NORMS, VOCABULARY, WIDTH, small
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3TextConfig,
    GPTJConfig,
    ModernBertDecoderConfig,
    OPTConfig,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    SiglipVisionConfig,
    XLMConfig,
)

from resonance.errors import UserError
from resonance.networks.causal_lm import CausalLM, decoder_layers, longest
from resonance.networks.network import Edit

PLACE = 4
"""The token whose hidden states are edited."""


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(family: str) -> PreTrainedModel:
    """Untouched, to compare with."""
    return small(family)


@pytest.fixture
def network(family: str) -> CausalLM:
    return CausalLM(small(family))


@pytest.fixture
def tokens_BT() -> Tensor:
    return torch.randint(2, VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(0))


def moving(at: int, by_D: Tensor) -> Edit:
    """Add a vector to one token's hidden states after one layer."""

    def edit(layer: int, hidden_BTD: Tensor) -> Tensor:
        if layer != at:
            return hidden_BTD
        step_TD = torch.zeros(hidden_BTD.shape[1], 1).index_fill(0, torch.tensor([PLACE]), 1.0) * by_D
        return hidden_BTD + step_TD

    return edit


def hooked(model: PreTrainedModel, tokens_BT: Tensor, change: Edit | None = None) -> tuple[list[Tensor], Tensor]:
    """Layer outputs and logits of an untouched model through torch's own hooks, which may change what a layer left."""
    left: list[Tensor] = []

    def look(index: int) -> Callable[..., object]:
        def hook(_layer: nn.Module, _inputs: object, output: object) -> object:
            alone = isinstance(output, Tensor)
            hidden_BTD = output if alone else output[0]  # type: ignore[index]
            hidden_BTD = change(index, hidden_BTD) if change else hidden_BTD
            left.append(hidden_BTD.clone())
            return hidden_BTD if alone else type(output)([hidden_BTD, *output[1:]])  # type: ignore[call-arg,index]

        return hook

    handles = [layer.register_forward_hook(look(i)) for i, layer in enumerate(decoder_layers(model, DEPTH))]
    logits_BTV = model(input_ids=tokens_BT, use_cache=False).logits
    for handle in handles:
        handle.remove()
    return left, logits_BTV


@torch.no_grad()
def test_hidden_states_are_those_of_transformers(model, network, tokens_BT, family):
    """All but the last, which transformers gives after the norm before the head."""
    output = network(tokens_BT)
    theirs = model(input_ids=tokens_BT, output_hidden_states=True, use_cache=False)
    states = theirs.hidden_states
    if family == "mamba":  # transformers leaves the embedding out, and gives the last layer before and after the norm
        states = (model.get_input_embeddings()(tokens_BT), *states[:2], states[3])
    assert len(output.hidden) == len(states) == network.depth + 1 == DEPTH + 1
    assert (network.width, network.vocabulary) == (WIDTH, VOCABULARY)
    assert torch.equal(output.logits_BTV, theirs.logits)
    for ours_BTD, theirs_BTD in zip(output.hidden[:-1], states[:-1], strict=True):
        assert torch.equal(ours_BTD, theirs_BTD)
    last_BTD = output.hidden[-1]
    if family in NORMS:
        last_BTD = model.get_submodule(NORMS[family])(last_BTD)
    assert torch.equal(last_BTD, states[-1])


@torch.no_grad()
@pytest.mark.parametrize("layer", range(DEPTH))
def test_an_edit_changes_what_follows_and_only_that(model, network, tokens_BT, layer):
    edit = moving(layer, torch.linspace(-1, 1, WIDTH))
    plain, edited = network(tokens_BT), network(tokens_BT, edit=edit)
    theirs, logits_BTV = hooked(model, tokens_BT, edit)
    assert torch.equal(edited.logits_BTV, logits_BTV)
    assert all(torch.equal(ours, other) for ours, other in zip(edited.hidden[1:], theirs, strict=True))
    for before in range(layer + 1):
        assert torch.equal(edited.hidden[before], plain.hidden[before])
    for after in range(layer + 1, DEPTH + 1):
        assert torch.equal(edited.hidden[after][:, :PLACE], plain.hidden[after][:, :PLACE])
        assert not torch.equal(edited.hidden[after][:, PLACE], plain.hidden[after][:, PLACE])
    others = [t for t in range(9) if t != PLACE]
    assert torch.equal(edited.hidden[layer + 1][:, others], plain.hidden[layer + 1][:, others])
    assert torch.equal(edited.logits_BTV[:, :PLACE], plain.logits_BTV[:, :PLACE])
    assert not torch.equal(edited.logits_BTV[:, PLACE], plain.logits_BTV[:, PLACE])
    assert torch.equal(network(tokens_BT).logits_BTV, plain.logits_BTV)


@pytest.mark.parametrize("layer", range(DEPTH))
def test_a_pass_from_below_gives_the_same_bits(network, tokens_BT, layer):
    network.requires_grad_(False)
    by_D = nn.Parameter(torch.linspace(-1, 1, WIDTH))
    below = network.below(tokens_BT, layer)
    outputs, gradients = [], []
    for given in (None, below):
        output = network(tokens_BT, edit=moving(layer, by_D), below=given)
        gradients += torch.autograd.grad(output.logits_BTV.logsumexp(-1).sum(), by_D)
        outputs.append(output)
    whole, short = outputs
    assert torch.equal(short.logits_BTV, whole.logits_BTV)
    assert torch.equal(*gradients)
    assert gradients[0].abs().max() > 0
    assert short.hidden[: layer + 1] == (None,) * (layer + 1)
    assert len(short.hidden) == DEPTH + 1
    for ours, other in zip(short.hidden[layer + 1 :], whole.hidden[layer + 1 :], strict=True):
        assert torch.equal(ours, other)


@torch.no_grad()
def test_what_lies_below_is_not_computed(network, tokens_BT):
    below = network.below(tokens_BT, 1)
    logits_BTV = network(tokens_BT, below=below).logits_BTV
    for layer in list(decoder_layers(network.model, DEPTH))[:2]:
        for parameter in layer.parameters():
            parameter.fill_(torch.nan)
    assert torch.equal(network(tokens_BT, below=below).logits_BTV, logits_BTV)
    assert network(tokens_BT).logits_BTV.isnan().all()


@torch.no_grad()
@pytest.mark.parametrize("edits", [False, True], ids=["plain", "edited"])
def test_generation_is_that_of_full_passes(network, tokens_BT, edits, family):
    def shifted(by: float) -> Edit:
        return lambda layer, hidden_BTD: hidden_BTD + by * (layer + 1) * torch.linspace(-1, 1, WIDTH)

    prompt = tokens_BT.shape[1]
    edit, following = (shifted(0.1), shifted(-0.2)) if edits else (None, None)

    def both(layer: int, hidden_BTD: Tensor) -> Tensor:
        return torch.cat([shifted(0.1)(layer, hidden_BTD[:, :prompt]), shifted(-0.2)(layer, hidden_BTD[:, prompt:])], 1)

    written_BT = tokens_BT
    for _ in range(12):
        logits_BTV = network(written_BT, edit=both if edits else None).logits_BTV
        written_BT = torch.cat([written_BT, logits_BTV[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(network.generate(tokens_BT, 12, edit=edit, following=following), written_BT[:, prompt:])
    assert torch.equal(network.generate(tokens_BT, 5, edit=edit, following=following), written_BT[:, prompt:][:, :5])
    assert network.generate(tokens_BT, 0).shape == (2, 0)
    assert len(written_BT[:, prompt:].unique()) > 3


@torch.no_grad()
def test_each_token_is_read_once_where_the_model_remembers(network, tokens_BT, family):
    read = []

    def note(layer: int, hidden_BTD: Tensor) -> Tensor:
        if layer == 0:
            read.append(hidden_BTD.shape[1])
        return hidden_BTD

    network.generate(tokens_BT, 3, edit=note, following=note)
    assert read == ([9, 9, 1, 9, 1, 1] if family == "openai-gpt" else [9, 1, 1])


@torch.no_grad()
def test_no_token_sees_a_later_one(network, tokens_BT):
    other_BT = tokens_BT.clone()
    other_BT[:, PLACE] = (other_BT[:, PLACE] + 1) % VOCABULARY
    ours, other = network(tokens_BT), network(other_BT)
    assert torch.equal(ours.logits_BTV[:, :PLACE], other.logits_BTV[:, :PLACE])
    assert not torch.equal(ours.logits_BTV[:, PLACE:], other.logits_BTV[:, PLACE:])


def test_a_deep_copy_is_a_network_of_its_own(network, tokens_BT):
    before = network(tokens_BT)
    copy = deepcopy(network)  # would fail if the network still held tensors of that pass
    assert torch.equal(copy(tokens_BT).logits_BTV, before.logits_BTV)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.mul_(1.5)
    seen = []
    edited = copy(tokens_BT, edit=lambda layer, hidden_BTD: (seen.append(layer), hidden_BTD)[1])
    assert seen == list(range(DEPTH))
    assert not torch.equal(edited.hidden[1], before.hidden[1])
    again = network(tokens_BT)
    assert all(torch.equal(a, b) for a, b in zip(again.hidden, before.hidden, strict=True))
    assert torch.equal(again.logits_BTV, before.logits_BTV)


@torch.no_grad()
def test_dropout_is_off_and_no_random_number_is_drawn(network, tokens_BT):
    network.train()
    network.eval()
    state = torch.get_rng_state()
    first, second = network(tokens_BT).logits_BTV, network(tokens_BT).logits_BTV
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@torch.no_grad()
def test_an_edit_that_fails_leaves_nothing_behind(network, tokens_BT):
    before = network(tokens_BT)

    def broken(layer: int, hidden_BTD: Tensor) -> Tensor:
        if layer == 1:
            raise RuntimeError("on purpose")
        return hidden_BTD + 1

    with pytest.raises(RuntimeError, match="on purpose"):
        network(tokens_BT, edit=broken)
    again = network(tokens_BT)
    assert torch.equal(again.logits_BTV, before.logits_BTV)
    assert len(again.hidden) == DEPTH + 1


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt-neox", "qwen2"])
def test_layers_stay_tapped_after_pyvene_has_removed_all_hooks(network, tokens_BT):
    import pyvene

    edit = moving(1, torch.ones(WIDTH))
    before, edited = network(tokens_BT), network(tokens_BT, edit=edit)
    zeroed = {"layer": 1, "component": "block_output", "intervention": pyvene.ZeroIntervention(embed_dim=WIDTH)}
    engine = pyvene.IntervenableModel(zeroed, network.model)
    layers = decoder_layers(network.model, DEPTH)
    layers[0].register_forward_hook(lambda *_: None)
    _, theirs = engine({"input_ids": tokens_BT}, unit_locations={"base": PLACE})
    assert not torch.equal(theirs.logits, before.logits_BTV)
    assert not any(layer._forward_hooks for layer in layers)
    for _ in range(2):
        again = network(tokens_BT)
        assert torch.equal(again.logits_BTV, before.logits_BTV)
        assert all(torch.equal(a, b) for a, b in zip(again.hidden, before.hidden, strict=True))
        assert torch.equal(network(tokens_BT, edit=edit).logits_BTV, edited.logits_BTV)


@pytest.mark.parametrize("family", ["llama"])
def test_a_state_is_refused(network, tokens_BT):
    with pytest.raises(ValueError, match="no state"):
        network(tokens_BT, state={})
    with pytest.raises(ValueError, match="no state"):
        network.generate(tokens_BT, 1, state={})


TABLES: dict[str, tuple[PretrainedConfig, int]] = {
    "gpt2": (FAMILIES["gpt2"], 512),
    "openai-gpt": (FAMILIES["openai-gpt"], 512),
    "gptj": (GPTJConfig(**GPT, rotary_dim=8), 512),
    "opt": (
        OPTConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            word_embed_proj_dim=WIDTH,
            ffn_dim=48,
            num_hidden_layers=DEPTH,
            num_attention_heads=4,
            max_position_embeddings=40,
            **ENDS,
        ),
        40,
    ),
    "roberta": (
        RobertaConfig(**{**LLAMA, "pad_token_id": 1}, max_position_embeddings=42, is_decoder=True),
        40,
    ),
}
"""Models whose positions are rows of a table, and how many there are."""


@torch.no_grad()
@pytest.mark.parametrize("name", TABLES)
def test_a_sequence_that_is_longer_than_the_positions_is_refused(name):
    config, limit = TABLES[name]
    network = CausalLM(AutoModelForCausalLM.from_config(config))
    whole_BT = torch.arange(2, limit + 3)[None] % 290 + 2
    assert network(whole_BT[:, :limit]).logits_BTV.shape == (1, limit, VOCABULARY)
    with pytest.raises(UserError, match=rf"{limit + 1} tokens: .* positions for {limit}\. Set text\.context .*window"):
        network(whole_BT)
    with pytest.raises(UserError, match=f"{limit + 1} tokens"):
        network.below(whole_BT, 1)
    assert network.generate(whole_BT[:, : limit - 2], 3).shape == (1, 3)
    with pytest.raises(UserError, match=f"{limit + 1} tokens"):
        network.generate(whole_BT[:, : limit - 2], 4)


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "gpt-neox", "qwen3", "bloom", "mamba"])
def test_positions_that_are_computed_have_no_end(network, family):
    network.model.config.max_position_embeddings = 64
    assert longest(network.model) is None
    assert network(torch.zeros(1, 100, dtype=torch.int64)).logits_BTV.isfinite().all()


def test_the_text_part_of_a_model_that_also_sees_is_tapped():
    """Both its parts have three layers."""
    text = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": DEPTH}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}
    layers = {"layer_types": ["sliding_attention", "full_attention", "full_attention"]}
    sight = {"hidden_size": 16, "num_hidden_layers": DEPTH, "num_attention_heads": 2, "intermediate_size": 16}
    config = Gemma3Config(
        text_config=Gemma3TextConfig(**text, **heads, **layers),
        vision_config=SiglipVisionConfig(**sight, image_size=28, patch_size=14),
        mm_tokens_per_image=1,
        boi_token_index=290,
        eoi_token_index=291,
        image_token_index=292,
    )
    network = CausalLM(AutoModelForCausalLM.from_config(config))
    hidden = network(torch.arange(2, 8)[None]).hidden
    assert [tuple(each.shape) for each in hidden] == [(1, 6, WIDTH)] * (DEPTH + 1)


def test_a_head_that_is_called_decoder_does_not_hide_the_layers():
    config = ModernBertDecoderConfig(**{**LLAMA, "pad_token_id": 0}, cls_token_id=0, sep_token_id=1)
    model = AutoModelForCausalLM.from_config(config)
    assert len(CausalLM(model)(torch.arange(2, 8)[None]).hidden) == DEPTH + 1


def test_a_model_whose_layers_are_not_one_list_is_refused():
    model = AutoModelForCausalLM.from_config(XLMConfig(vocab_size=VOCABULARY, emb_dim=WIDTH, n_layers=DEPTH, n_heads=4))
    with pytest.raises(UserError, match="XLMWithLMHeadModel does not hold its 3 layers in one list"):
        CausalLM(model)
