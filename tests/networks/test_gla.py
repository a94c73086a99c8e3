"""GLA: the rule written out once more, state, edits, start and files."""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.networks.gla import GLA
from resonance.networks.network import Below, State

MAKER = Path(__file__).with_name("golden") / "make_gla.py"
golden = runpy.run_path(str(MAKER))
official_weights = golden["weights"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are slower on several threads, much slower where others use them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(seed: int = 0, *, layers: int = 3, chunk: int = 8) -> GLA:
    """A network in which every tensor matters: fresh weights plus noise, and gates of all strengths."""
    settings = params.GLA(width=32, layers=layers, heads=2, gate_rank=6, feedforward=40, chunk=chunk)
    network = GLA(settings, 50, seeded(seed))
    noise = seeded(seed + 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=noise)
        for block in network.layers():
            block.attn.gk_proj[1].bias *= 20
        network.model.embeddings.weight += torch.randn(network.model.embeddings.weight.shape, generator=noise)
    return network


def tokens(B: int, T: int, seed: int = 5) -> Tensor:
    return torch.randint(0, 24, (B, T), generator=seeded(seed))


def error(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().max() / expected.std()).detach())


# The rule, written out once more

MISTAKES = (
    "no bias in the gate",
    "no temperature",
    "gate in place of its complement",
    "one gate per head",
    "writes before it forgets",
    "reads before it writes",
    "heads interleaved",
    "sigmoid in place of swish",
    "no output gate",
    "LayerNorm",
    "norm over all heads",
    "norm after the gate",
)


def test_golden_logits() -> None:
    """Committed numbers of the formulas in numpy, float64, seven digits; 2e-5 is what float32 loses in two layers."""
    expected = json.loads(MAKER.with_name("gla.json").read_text())
    network = GLA.from_official(official_weights(), golden["HEADS"], chunk=8)
    for precision, allowed in ((torch.float32, 2e-5), (torch.float64, 1e-6)):
        logits = network.to(precision)(torch.tensor([expected["tokens"]])).logits_BTV[0]
        assert error(logits, torch.tensor(expected["logits"], dtype=precision)) < allowed


def test_the_numbers_of_the_formulas_are_still_the_same() -> None:
    """The golden file is what its maker makes; and that is this network, to the precision of float64."""
    expected = json.loads(MAKER.with_name("gla.json").read_text())
    again = torch.from_numpy(golden["logits"](official_weights(), expected["tokens"], golden["HEADS"]))
    assert error(again, torch.tensor(expected["logits"], dtype=torch.float64)) < 1e-6
    network = GLA.from_official(official_weights(), golden["HEADS"], chunk=8).double()
    assert error(network(torch.tensor([expected["tokens"]])).logits_BTV[0], again) < 1e-12


def test_attention_is_the_published_rule_and_no_usual_mistake() -> None:
    """The mistakes are those that independent versions of GLA make; each is seen in the output."""
    network = tiny().double()
    attention = network.layers()[1].attn
    x = torch.randn(19, 32, generator=seeded(1), dtype=torch.float64)
    p = {name: tensor.numpy() for name, tensor in attention.state_dict().items()}
    with torch.no_grad():
        ours, _ = attention(x[None], network.empty_state(1)["model.layers.1.attn.matrix"])
    assert error(ours[0], torch.from_numpy(golden["attention"](x.numpy(), p, 2))) < 1e-10
    for mistake in MISTAKES:
        assert error(ours[0], torch.from_numpy(golden["attention"](x.numpy(), p, 2, mistake))) > 1e-2, mistake


# State


def test_a_split_sequence_is_the_whole() -> None:
    network, read = tiny(), tokens(2, 41)
    whole = network(read)
    for cuts in ([20, 21], [1, 40], [8, 1, 5, 27], [2, 3, 36]):
        state: State | None = None
        logits: list[Tensor] = []
        for part in read.split(cuts, dim=1):
            output = network(part, state)
            state = output.state
            logits.append(output.logits_BTV)
        assert error(torch.cat(logits, 1), whole.logits_BTV) < 1e-5
        assert state is not None
        assert state.keys() == whole.state.keys()
        assert all(error(state[name], whole.state[name]) < 1e-5 for name in whole.state)


def test_the_state_is_never_changed_in_place() -> None:
    network = tiny()
    state = network(tokens(2, 9)).state
    before = {name: tensor.clone() for name, tensor in state.items()}
    for T in (1, 3, 30):
        after = network(tokens(2, T), state).state
        assert all(torch.equal(state[name], before[name]) for name in state)
        assert not {x.untyped_storage().data_ptr() for x in state.values()} & {
            x.untyped_storage().data_ptr() for x in after.values()
        }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_empty_state_is_no_state(dtype: torch.dtype) -> None:
    network, read = tiny().to(dtype), tokens(2, 6)
    empty, output = network.empty_state(2), network(read)
    assert torch.equal(network(read, empty).logits_BTV, output.logits_BTV)
    assert {k: (x.shape, x.dtype) for k, x in empty.items()} == {k: (x.shape, x.dtype) for k, x in output.state.items()}
    assert output.state["model.layers.2.attn.matrix"].shape == (2, 2, 8, 16)
    assert output.state["model.layers.2.attn.matrix"].dtype == torch.promote_types(dtype, torch.float32)
    assert len({x.untyped_storage().data_ptr() for x in empty.values()}) == len(empty) == 3


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # torch itself, in forward mode
@pytest.mark.parametrize("T", [3, 21])
def test_derivatives_by_the_state(T: int) -> None:
    """Forward mode under no_grad, as Lyapunov exponents take it; given the tokens, the first layer's map is affine."""
    network, read = tiny().double(), tokens(1, T)
    state = network(tokens(1, 9, seed=8)).state
    direction = {name: torch.randn(x.shape, generator=seeded(3), dtype=x.dtype) for name, x in state.items()}

    def moved(by: float) -> State:
        return network(read, {name: x + by * direction[name] for name, x in state.items()}).state

    with torch.no_grad():
        after, tangent = torch.func.jvp(lambda s: network(read, s).state, (state,), (direction,))
        for name in state:
            assert torch.equal(after[name], moved(0)[name])
            assert error(tangent[name], (moved(1e-5)[name] - moved(-1e-5)[name]) / 2e-5) < 1e-7
        first = "model.layers.0.attn.matrix"
        assert error(tangent[first], moved(1)[first] - moved(0)[first]) < 1e-10


def test_gradients_flow_through_the_state() -> None:
    network, read = tiny().double(), tokens(1, 12)
    weight = network.model.embeddings.weight
    whole = torch.autograd.grad(network(read).logits_BTV[:, -1].sum(), weight)[0]
    state = network(read[:, :7]).state
    split = torch.autograd.grad(network(read[:, 7:], state).logits_BTV[:, -1].sum(), weight)[0]
    assert error(split, whole) < 1e-10


# Forward pass


def test_the_future_is_not_seen() -> None:
    network, read = tiny(), tokens(1, 40)
    for t in (1, 8, 25, 39):
        other = read.clone()
        other[:, t:] = (other[:, t:] + 1) % 24
        one, two = (network(x).logits_BTV for x in (read, other))
        assert torch.equal(two[:, :t], one[:, :t])
        assert error(two[:, t:], one[:, t:]) > 0.1


def test_chunks_and_batches_do_not_matter() -> None:
    read = tokens(3, 50)
    logits = tiny(chunk=16)(read).logits_BTV
    for chunk in (8, 32, 64):
        assert error(tiny(chunk=chunk)(read).logits_BTV, logits) < 1e-5
    assert error(tiny(chunk=16)(read[1:2]).logits_BTV, logits[1:2]) < 1e-5


def test_every_parameter_is_used() -> None:
    network, read = tiny(), tokens(2, 30)
    network(read).logits_BTV.log_softmax(-1)[..., 0].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_gradients_are_those_of_finite_differences() -> None:
    """Of what is this network's own: the bias of the gate, in both layers, and its norms."""
    network, read = tiny(layers=2).double(), tokens(1, 10)
    names = ("attn.gk_proj.1.bias", "attn.g_norm_swish_gate.weight", "mlp_norm.weight")
    names = (*(f"model.layers.0.{name}" for name in names), "model.layers.1.attn.gk_proj.1.bias")
    chosen = [network.get_parameter(name).detach().clone().requires_grad_() for name in names]
    weights = torch.randn(1, 10, 50, generator=seeded(4), dtype=torch.float64)

    def loss(*values: Tensor) -> Tensor:
        output = torch.func.functional_call(network, dict(zip(names, values, strict=True)), (read,))
        return (output.logits_BTV * weights).sum()

    assert torch.autograd.gradcheck(loss, chosen)


def test_hidden_states_and_edits() -> None:
    network, read = tiny(), tokens(2, 10)
    plain = network(read)
    assert len(plain.hidden) == network.depth + 1
    assert torch.equal(plain.hidden[0], network.model.embeddings(read))
    assert torch.equal(network.lm_head(network.model.norm(plain.hidden[-1])), plain.logits_BTV)

    edited = network(read, edit=lambda layer, x: x + 1 if layer == 1 else x)
    assert torch.equal(edited.hidden[1], plain.hidden[1])
    assert torch.equal(edited.hidden[2], plain.hidden[2] + 1)
    assert not torch.equal(edited.hidden[3], plain.hidden[3])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_pass_from_below_is_the_whole_pass(layer: int) -> None:
    network, read = tiny(), tokens(2, 21)

    def edit(at: int, x: Tensor) -> Tensor:
        return x * 1.5 if at >= layer else x

    below = network.below(read, layer)
    for change in (None, edit):
        whole, upper = network(read, edit=change), network(read, edit=change, below=below)
        assert torch.equal(upper.logits_BTV, whole.logits_BTV)
        assert upper.hidden[: layer + 1] == (None,) * (layer + 1)
        assert all(torch.equal(a, b) for a, b in zip(upper.hidden[layer + 1 :], whole.hidden[layer + 1 :], strict=True))
        assert upper.state is None


def test_below_is_refused_where_it_cannot_be_right() -> None:
    network, read = tiny(), tokens(1, 5)
    below = network.below(read, 1)
    with pytest.raises(ValueError, match="not both"):
        network(read, state=network.empty_state(1), below=below)
    with pytest.raises(ValueError, match="not made by this network"):
        network(read, below=Below(3, below.hidden_BTD))


def test_generation_is_the_plain_way() -> None:
    """Against one full pass per token, with a state before the prompt and with edits of prompt and continuation."""
    network, read, length = tiny(), tokens(2, 13), 9
    start = network(tokens(2, 6, seed=9)).state
    pushes = [4 * torch.randn(network.width, generator=seeded(seed)) for seed in (20, 21)]

    def edit(layer: int, x: Tensor) -> Tensor:
        return x + pushes[0] if layer == 0 else x

    def following(layer: int, x: Tensor) -> Tensor:
        return x + pushes[1] if layer == 1 else x

    def both(layer: int, x: Tensor) -> Tensor:
        return torch.cat([edit(layer, x[:, :13]), following(layer, x[:, 13:])], 1)

    found = []
    for state, edits, in_one in (
        (None, {}, None),
        (start, {}, None),
        (start, {"edit": edit, "following": following}, both),
    ):
        read_BT = read
        for _ in range(length):
            following_B1 = network(read_BT, state, in_one).logits_BTV[:, -1:].argmax(-1)
            read_BT = torch.cat([read_BT, following_B1], 1)
        found.append(network.generate(read, length, state, **edits))
        assert torch.equal(found[-1], read_BT[:, 13:])
    assert len({str(x.tolist()) for x in found}) == 3, "the state and the edits must matter for this to mean anything"


def test_bfloat16_by_autocast_is_near_float32() -> None:
    network, read = tiny(), tokens(2, 40)
    exact = network(read).logits_BTV
    with torch.autocast("cpu", torch.bfloat16):
        output = network(read)
    assert 1e-4 < error(output.logits_BTV.float(), exact) < 0.2
    assert {tensor.dtype for tensor in output.state.values()} == {torch.float32}


def test_a_pass_is_deterministic() -> None:
    """Same bits from the same inputs, gradients too, with operations that torch calls deterministic."""
    torch.use_deterministic_algorithms(True)
    try:
        passes = []
        for _ in range(2):
            network = tiny()
            logits = network(tokens(2, 40)).logits_BTV
            logits.square().sum().backward()
            passes.append([logits, *(p.grad for p in network.parameters())])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(one, two) for one, two in zip(*passes, strict=True))


# The start


def fresh(seed: int = 0, *, width: int = 128, layers: int = 4, vocabulary: int = 300) -> GLA:
    return GLA(params.GLA(width=width, layers=layers), vocabulary, seeded(seed))


def test_only_the_given_generator_is_used() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, again, other = (fresh(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])


def test_the_start() -> None:
    """float32 on the CPU: matrices N(0, 0.02²), each its own; norms 1; with a bias of 0 a token forgets 4 %."""
    network = fresh()
    found = network.state_dict()
    assert {(tensor.dtype, tensor.device.type) for tensor in found.values()} == {(torch.float32, "cpu")}
    for name, tensor in found.items():
        if tensor.ndim == 2:
            assert float(tensor.std()) == pytest.approx(0.02, rel=0.1), name
            assert abs(float(tensor.mean())) < 0.003, name
        else:
            assert bool((tensor == (0 if name.endswith("bias") else 1)).all()), name
    assert len({float(tensor.flatten()[0]) for tensor in found.values() if tensor.ndim == 2}) == 2 + 4 * 10
    assert found["model.layers.3.attn.k_proj.weight"].shape == (64, 128)
    assert found["model.layers.3.attn.gk_proj.0.weight"].shape == (16, 128)
    state = {name: torch.full_like(tensor, 1e6) for name, tensor in network.empty_state(1).items()}
    with torch.no_grad():
        kept = [float(tensor.mean()) / 1e6 for tensor in network(tokens(1, 1), state).state.values()]
    assert kept == pytest.approx([0.5 ** (1 / 16)] * 4, rel=1e-3)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_fresh_network_learns(layers: int) -> None:
    network, read = fresh(width=64, layers=layers, vocabulary=24), tokens(4, 32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(50):
        logits = network(read[:, :-1]).logits_BTV
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), read[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(24), rel=0.05)
    assert losses[-1] < 0.2 * losses[0]


def test_widths_that_heads_do_not_fill_are_refused() -> None:
    for wrong, message in (
        ({"width": 100, "heads": 3}, "width 100 × expand_k 0.5 is 50, not a multiple of heads 3"),
        ({"width": 32, "heads": 4, "expand_v": 0.3}, "width 32 × expand_v 0.3 is 9.6, not a multiple of heads 4"),
        ({"width": 8, "heads": 64}, "width 8 × expand_k 0.5 is 4, not a multiple of heads 64"),
    ):
        with pytest.raises(UserError, match=message):
            GLA(params.GLA(**wrong), 50, seeded(0))


def test_the_kernel_is_never_silently_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"network\.gla\.kernel: fla needs an NVIDIA GPU"):
        GLA(params.GLA(kernel="fla"), 50, seeded(0))


# Files


def test_published_files_come_back_as_they_were() -> None:
    weights = official_weights()
    network = GLA.from_official(weights, 3)
    assert (network.depth, network.width, network.vocabulary) == (2, 48, 24)
    assert (network.sizes.key, network.sizes.value, network.sizes.feedforward, network.sizes.gate_rank) == (
        24,
        36,
        40,
        5,
    )
    back = network.state_dict()
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_the_network_does_not_share_memory_with_the_file() -> None:
    weights = official_weights()
    network = GLA.from_official(weights, 3)
    with torch.no_grad():
        network.lm_head.weight.zero_()
    assert weights["lm_head.weight"].any()
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_bfloat16_files_become_float32() -> None:
    coarse = {name: tensor.bfloat16() for name, tensor in official_weights().items()}
    network = GLA.from_official(coarse, 3)
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    assert torch.equal(network.state_dict()["lm_head.weight"], coarse["lm_head.weight"].float())


def test_own_weights_go_round() -> None:
    for layers in (1, 3):
        network, read = tiny(layers=layers), tokens(2, 20)
        again = GLA.from_official(network.state_dict(), 2, chunk=8)
        assert torch.equal(again(read).logits_BTV, network(read).logits_BTV)


def test_what_a_config_may_change_matters() -> None:
    """The eps of the norms, the temperature of the gate."""
    read = tokens(1, 12)
    plain = GLA.from_official(official_weights(), 3)(read).logits_BTV
    for changed in ({"norm_eps": 1e-2}, {"gate_normalizer": 4.0}):
        other = GLA.from_official(official_weights(), 3, **changed)(read).logits_BTV
        assert error(other, plain) > 1e-3, changed


def test_a_tied_head_is_the_embedding() -> None:
    """The file may hold it once or twice; it stays one parameter, and gradients of both uses meet there."""
    whole = official_weights()
    whole["lm_head.weight"] = whole["model.embeddings.weight"].clone()
    once = {name: tensor for name, tensor in whole.items() if name != "lm_head.weight"}
    read = tokens(1, 12)
    untied = GLA.from_official(whole, 3)
    untied(read).logits_BTV.square().sum().backward()
    for file in (whole, once):
        network = GLA.from_official(file, 3, tied=True)
        assert network.lm_head.weight is network.model.embeddings.weight
        assert torch.equal(network(read).logits_BTV, untied(read).logits_BTV)
        assert network.state_dict().keys() == whole.keys()
        network(read).logits_BTV.square().sum().backward()
        both = untied.lm_head.weight.grad + untied.model.embeddings.weight.grad
        assert error(network.lm_head.weight.grad, both) < 1e-5
    with pytest.raises(UserError, match=r"'lm_head\.weight' is missing.*or tied=True"):
        GLA.from_official(once, 3)
    with pytest.raises(UserError, match=r"'lm_head\.weight' differs from 'model\.embeddings\.weight'"):
        GLA.from_official(official_weights(), 3, tied=True)


@pytest.mark.parametrize("name", sorted(official_weights()))
def test_a_missing_or_misshapen_tensor_is_named(name: str) -> None:
    weights = official_weights()
    whole = weights.pop(name)
    with pytest.raises(UserError, match=f"{name!r} is missing"):
        GLA.from_official(weights, 3)
    for wrong in (whole[..., :-1], whole[None]):
        with pytest.raises(UserError, match="has the shape"):
            GLA.from_official({**weights, name: wrong}, 3)


@pytest.mark.parametrize("heads", [0, 2, 6])
def test_another_number_of_heads_is_seen(heads: int) -> None:
    """The norm of 12 entries makes 3 heads of 36 value channels."""
    message = (
        rf"g_norm_swish_gate\.weight' has the shape \[12\], not \[36 / num_heads\], and num_heads is given as {heads}"
    )
    with pytest.raises(UserError, match=message):
        GLA.from_official(official_weights(), heads)


def test_keys_that_heads_do_not_fill_are_named() -> None:
    weights = official_weights()
    weights["model.layers.0.attn.q_proj.weight"] = torch.zeros(25, 48)
    with pytest.raises(UserError, match=r"q_proj\.weight' has the shape \[25, 48\], not rows for num_heads = 3"):
        GLA.from_official(weights, 3)


def test_a_tensor_of_another_network_is_named() -> None:
    extra = {"model.layers.1.attn.q_conv1d.weight": torch.zeros(24, 1, 4)}
    with pytest.raises(UserError, match=r"'model\.layers\.1\.attn\.q_conv1d\.weight' is not a tensor of GLA"):
        GLA.from_official({**official_weights(), **extra}, 3)
