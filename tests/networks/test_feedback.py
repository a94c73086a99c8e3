"""Feedback Transformer: the authors' numbers, the equations once more, gradients, state, edits and start."""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm

from resonance import params
from resonance.errors import UserError
from resonance.networks.feedback import Feedback
from resonance.networks.feedback_blocks import Folded, TracedPast, read
from resonance.networks.feedback_gradients import Fused
from resonance.networks.network import Below, State

GOLDEN = Path(__file__).with_name("golden") / "feedback.json"
ORACLE = runpy.run_path(str(GOLDEN.with_name("make_feedback.py")))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are slower on several threads, much slower where others use them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(
    seed: int = 0, *, width: int = 16, layers: int = 3, span: int = 7, block: int = 64, shared: bool = True
) -> Feedback:
    """A network in which every tensor matters: fresh weights (some are 0 or 1) plus noise."""
    settings = params.Feedback(
        width=width, layers=layers, heads=2, feedforward=20, span=span, block=block, shared=shared
    )
    network = Feedback(settings, 30, seeded(seed))
    noise = seeded(seed + 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=noise)
    return network


def tokens(B: int, T: int, seed: int = 5) -> Tensor:
    return torch.randint(0, 24, (B, T), generator=seeded(seed))


def some_state(network: Feedback, B: int = 2, seed: int = 8) -> State:
    """Memories that a sequence could have left, in the network's precision."""
    drawn = torch.randn(B, network.span, network.width, generator=seeded(seed), dtype=torch.float64)
    return {"memories": drawn.to(network.emb.weight)}


def error(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().max() / expected.std()).detach())


# The function


def golden_network(block: int) -> Feedback:
    weights = {name: torch.from_numpy(tensor) for name, tensor in ORACLE["weights"]().items()}
    settings = params.Feedback(width=24, layers=2, heads=3, feedforward=40, span=6, block=block)
    network = Feedback(settings, 24, seeded(0)).double()
    network.load_state_dict(weights)
    return network


@pytest.mark.parametrize("block", [5, 64])
def test_golden_probabilities(block: int) -> None:
    """Numbers of the authors' code, float64, committed with ten digits: 1e-8 of their spread is left to rounding."""
    golden = json.loads(GOLDEN.read_text())
    expected = torch.tensor(golden["log_p"], dtype=torch.float64)
    network, read_BT = golden_network(block), torch.tensor([golden["tokens"]])
    assert error(network(read_BT).logits_BTV[0].log_softmax(-1), expected) < 1e-8
    assert error(network.float()(read_BT).logits_BTV[0].log_softmax(-1).double(), expected) < 1e-5


def by_the_book(network: Feedback, read_T: Tensor, state: State | None, mistake: str = "") -> tuple[Tensor, ...]:
    """Logits, hidden states and last memories by the equations, in numpy."""
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    memories = None if state is None else state["memories"][0].detach().numpy()
    found = ORACLE["read"](weights, read_T.tolist(), network.heads, memories, mistake)
    return tuple(torch.from_numpy(np.asarray(each)) for each in found)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("span", [1, 7, 40])
def test_every_pass_is_the_published_rule(shared: bool, begun: bool, span: int) -> None:
    """The three forms (with and without a graph, operation by operation), shorter and longer than span and block."""
    network, read_BT = tiny(shared=shared, span=span, block=8).double(), tokens(1, 21)
    state = some_state(network, 1) if begun else None
    logits, hidden, memories = by_the_book(network, read_BT[0], state)
    for graph, fused in ((False, True), (True, True), (True, False)):
        network.fused = fused
        with torch.set_grad_enabled(graph):
            output = network(read_BT, state)
        assert error(output.logits_BTV[0], logits) < 1e-12
        assert error(torch.stack(output.hidden)[:, 0], hidden) < 1e-12
        assert float((output.state["memories"][0] - memories).abs().max().detach()) < 1e-12


def test_usual_mistakes_are_seen() -> None:
    """Each is told to the version in numpy, and is far from the network."""
    network, read_BT = tiny(shared=False).double(), tokens(1, 19)
    logits = network(read_BT).logits_BTV[0].detach()
    assert error(by_the_book(network, read_BT[0], None)[0], logits) < 1e-12
    for mistake in ORACLE["MISTAKES"]:
        assert error(by_the_book(network, read_BT[0], None, mistake)[0], logits) > 1e-2, mistake


def test_the_past_alone_counts() -> None:
    """Exactly: logits before a changed token are the same bits, and no gradient reaches a token from before it."""
    network, read_BT = tiny(span=30, block=8), tokens(2, 25)
    other = read_BT.clone()
    other[:, 14:] = (other[:, 14:] + 1) % 24
    one, two = (network(x).logits_BTV for x in (read_BT, other))
    assert torch.equal(two[:, :14], one[:, :14])
    assert error(two[:, 14:], one[:, 14:]) > 0.1

    network = tiny(span=30, block=64)
    embedded = network.emb(read_BT).detach().requires_grad_()
    for fused in (True, False):
        network.fused = fused
        logits = network(read_BT, below=Below(-1, embedded)).logits_BTV
        for token in (0, 9, 24):
            (gradient,) = torch.autograd.grad(logits[:, token].square().sum(), embedded, retain_graph=True)
            assert not gradient[:, token + 1 :].any()
            assert bool(gradient[:, : token + 1].any(2).all())


def test_the_span_is_the_reach() -> None:
    """With memories of embeddings alone, what is further back than the span is not seen; the span's first is."""
    network = tiny(span=5)
    with torch.no_grad():
        network.mix.copy_(torch.tensor([50.0, 0.0, 0.0, 0.0]))
    read_BT = tokens(1, 16)
    for far, seen in ((5, True), (6, False)):
        other = read_BT.clone()
        other[0, 15 - far] = (other[0, 15 - far] + 1) % 24
        with torch.no_grad():
            change = float((network(other).logits_BTV[0, 15] - network(read_BT).logits_BTV[0, 15]).abs().max())
        assert change > 1e-4 if seen else change == 0


def test_memories_of_embeddings_make_a_transformer() -> None:
    """softmax(s) = (1, 0, 0, 0): every layer attends to the embeddings of the tokens before, all tokens at once."""
    network, T, H, N, S = tiny(span=9).double(), 23, 2, 8, 9
    with torch.no_grad():
        network.mix.copy_(torch.tensor([60.0, 0.0, 0.0, 0.0]))
    read_BT = tokens(2, T)

    def normed(x: Tensor, norm: nn.LayerNorm) -> Tensor:
        return layer_norm(x, (16,), norm.weight, norm.bias)

    x = network.emb(read_BT)
    embedded = normed(torch.cat([x.new_zeros(2, S, 16), x], 1), network.reader.norm)
    keys, values = (p(embedded).view(2, S + T, H, N) for p in (network.reader.key, network.reader.value))
    distance = torch.arange(T)[:, None] + S - torch.arange(S + T)
    visible = (distance >= 1) & (distance <= S)
    places = network.places.flip(0)[(distance.clamp(1, S) - 1)]
    for layer in network.layers:
        queries = layer.query(normed(x, network.reader.norm)).view(2, T, H, N)
        scores = torch.einsum("bthn,bjhn->bhtj", queries, keys) + torch.einsum("bthn,tjn->bhtj", queries, places)
        attention = (scores / math.sqrt(N)).masked_fill(~visible, -math.inf).softmax(-1)
        x = x + layer.output(torch.einsum("bhtj,bjhn->bthn", attention, values).reshape(2, T, 16))
        x = x + layer.outer(layer.inner(normed(x, layer.norm)).relu())
    assert error(network(read_BT).logits_BTV, network.head(normed(x, network.norm))) < 1e-10


@pytest.mark.parametrize("shared", [True, False])
def test_blocks_and_batches_do_not_matter(shared: bool) -> None:
    read_BT = tokens(3, 48)
    whole = tiny(span=20, block=48, shared=shared)(read_BT).logits_BTV
    for block in (1, 12, 37):
        assert error(tiny(span=20, block=block, shared=shared)(read_BT).logits_BTV, whole) < 1e-6
    assert error(tiny(span=20, block=48, shared=shared)(read_BT[1:2]).logits_BTV, whole[1:2]) < 1e-5


# Gradients


def losses(network: Feedback, read_BT: Tensor, state: State | None = None) -> Tensor:
    """A number that depends on all that a pass returns."""
    output = network(read_BT, state)
    returned = [output.logits_BTV, output.state["memories"], *output.hidden]
    return sum((x * torch.cos(torch.arange(x.numel()).view(x.shape))).sum() for x in returned)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("span", "begun"), [(4, False), (4, True), (30, False), (30, True)])
def test_the_written_gradients_are_those_of_autograd(shared: bool, span: int, begun: bool) -> None:
    network, read_BT = tiny(shared=shared, span=span, block=6).double(), tokens(2, 15)
    state = some_state(network)
    state["memories"].requires_grad_()
    inputs = [*network.parameters(), *([state["memories"]] if begun else [])]
    found = []
    for fused in (True, False):
        network.fused = fused
        found.append(torch.autograd.grad(losses(network, read_BT, state if begun else None), inputs))
    for written, expected in zip(*found, strict=True):
        assert float((written - expected).abs().max() / expected.abs().max()) < 1e-11


@pytest.mark.parametrize("readers", [1, 2])
def test_gradients_of_a_block_are_finite_differences(readers: int) -> None:
    """The block alone, from 2 memories with a span of 3: every input, by finite differences in float64."""
    D, F, L, N, S, C, B, W = 4, 2, 2, 2, 3, 3, 1, 2
    shapes = [(L, D, D), (L, D), (L, D, D), (L, D), (L, D, F), (L, F), (L, F, D), (L, D), (D, 2 * readers * D)]
    shapes = [(C, B, D), (readers, B * 2, N, W), (readers, B * 2, W, N), *shapes, (N, S), (L + 1,)]
    inputs = [
        (0.7 * torch.randn(*shape, dtype=torch.float64, generator=seeded(i))).requires_grad_()
        for i, shape in enumerate(shapes)
    ]
    assert torch.autograd.gradcheck(Fused.apply, inputs)
    plain = read(inputs[0], Folded(*inputs[3:]), TracedPast(*inputs[1:3], S))
    for written, expected in zip(Fused.apply(*inputs), plain, strict=True):
        assert error(written, expected) < 1e-12


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_of_the_network_are_finite_differences(shared: bool) -> None:
    """Of parameters of every kind, along a random direction each, where the block holds the whole sequence."""
    network, read_BT = tiny(shared=shared, layers=2, block=12).double(), tokens(1, 12)
    named = dict(network.named_parameters())
    gradients = dict(zip(named, torch.autograd.grad(losses(network, read_BT), list(named.values())), strict=True))
    for name, parameter in named.items():
        direction = torch.randn(parameter.shape, generator=seeded(3), dtype=torch.float64)
        with torch.no_grad():
            ahead, behind = (losses_at(network, read_BT, parameter, step * direction) for step in (1e-6, -1e-6))
        expected = float((gradients[name] * direction).sum())
        assert float(ahead - behind) / 2e-6 == pytest.approx(expected, rel=1e-5, abs=1e-5), name


def losses_at(network: Feedback, read_BT: Tensor, parameter: nn.Parameter, change: Tensor) -> Tensor:
    before = parameter.clone()
    parameter += change
    found = losses(network, read_BT)
    parameter.copy_(before)
    return found


@pytest.mark.parametrize("fused", [True, False])
def test_gradients_are_cut_where_a_block_begins(fused: bool) -> None:
    """The gradient is that of one pass per block, the state between them cut off; with a longer block it is another."""
    network, read_BT = tiny(span=20, block=5).double(), tokens(2, 17)
    network.fused = fused
    found = torch.autograd.grad(network(read_BT).logits_BTV.square().sum(), list(network.parameters()))

    network.block = 64
    whole = torch.autograd.grad(network(read_BT).logits_BTV.square().sum(), list(network.parameters()))
    state, by_hand = network.empty_state(2), torch.zeros((), dtype=torch.float64)
    for part in read_BT.split(5, 1):
        output = network(part, state)
        state = {name: tensor.detach() for name, tensor in output.state.items()}
        by_hand = by_hand + output.logits_BTV.square().sum()
    expected = torch.autograd.grad(by_hand, list(network.parameters()))
    assert all(error(a, b) < 1e-9 for a, b in zip(found, expected, strict=True))
    assert max(error(a, b) for a, b in zip(found, whole, strict=True)) > 1e-2

    embedded = network.emb(read_BT).detach().requires_grad_()
    for block, reached in ((5, False), (64, True)):
        network.block = block
        last = network(read_BT, below=Below(-1, embedded)).logits_BTV[:, 15:]
        (gradient,) = torch.autograd.grad(last.square().sum(), embedded)
        assert bool(gradient[:, :15].any()) == reached
        assert bool(gradient[:, 15:].all())


@pytest.mark.parametrize("graph", [True, False])
def test_forward_derivatives_with_respect_to_the_state(graph: bool) -> None:
    """Never cut: the derivative of the state after three blocks, against finite differences; also several at once."""
    network, read_BT = tiny(block=5).double(), tokens(1, 13)
    memories = some_state(network, 1)["memories"]
    directions = torch.randn(2, *memories.shape, generator=seeded(2), dtype=torch.float64)

    def after(memories_BSD: Tensor) -> Tensor:
        return network(read_BT, {"memories": memories_BSD}).state["memories"]

    with torch.set_grad_enabled(graph):
        found = torch.stack([torch.func.jvp(after, (memories,), (one,))[1] for one in directions])
        at_once = torch.func.vmap(lambda one: torch.func.jvp(after, (memories,), (one,))[1])(directions)
    with torch.no_grad():
        expected = torch.stack([(after(memories + 1e-6 * d) - after(memories - 1e-6 * d)) / 2e-6 for d in directions])
    assert error(found, expected) < 1e-7
    assert error(at_once, found) < 1e-12


def test_every_parameter_is_used() -> None:
    for shared in (True, False):
        network = tiny(shared=shared, block=8)
        network(tokens(2, 12)).logits_BTV.log_softmax(-1)[..., 0].sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


# State


def test_a_split_sequence_is_the_whole() -> None:
    network, read_BT = tiny(span=11, block=8), tokens(2, 31)
    whole = network(read_BT)
    for cuts in ([16, 15], [1, 30], [8, 1, 5, 17], [2, 3, 26]):
        state: State | None = None
        logits: list[Tensor] = []
        for part in read_BT.split(cuts, dim=1):
            output = network(part, state)
            state = output.state
            logits.append(output.logits_BTV)
        assert state is not None
        assert error(torch.cat(logits, 1), whole.logits_BTV) < 1e-5
        assert error(state["memories"], whole.state["memories"]) < 1e-5


def test_the_state_is_never_changed_in_place() -> None:
    network = tiny(span=9, block=8)
    state = network(tokens(2, 5)).state
    before = state["memories"].clone()
    for T in (1, 3, 20):
        for graph in (True, False):
            with torch.set_grad_enabled(graph):
                after = network(tokens(2, T), state).state
            assert torch.equal(state["memories"], before)
            assert state["memories"].untyped_storage().data_ptr() != after["memories"].untyped_storage().data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_empty_state_is_no_state(dtype: torch.dtype) -> None:
    """It holds as many zeros as the span, which a pass without a state does not compute with: rounding may differ."""
    network, read_BT = tiny().to(dtype), tokens(2, 6)
    empty, output = network.empty_state(2), network(read_BT)
    assert error(network(read_BT, empty).logits_BTV, output.logits_BTV) < 32 * torch.finfo(dtype).eps
    assert {k: (x.shape, x.dtype) for k, x in empty.items()} == {k: (x.shape, x.dtype) for k, x in output.state.items()}
    assert empty["memories"].shape == (2, 7, 16)
    assert not empty["memories"].any()
    assert not output.state["memories"][:, 0].any()
    assert bool(output.state["memories"][:, 1:].any(2).all())


def test_gradients_flow_through_the_state() -> None:
    network, read_BT = tiny(span=20).double(), tokens(1, 12)
    whole = torch.autograd.grad(network(read_BT).logits_BTV[:, -1].sum(), network.emb.weight)[0]
    state = network(read_BT[:, :7]).state
    split = torch.autograd.grad(network(read_BT[:, 7:], state).logits_BTV[:, -1].sum(), network.emb.weight)[0]
    assert error(split, whole) < 1e-10


# Forward pass


def test_hidden_states_and_edits() -> None:
    network, read_BT = tiny(block=4), tokens(2, 10)
    plain = network(read_BT)
    assert len(plain.hidden) == network.depth + 1
    assert torch.equal(plain.hidden[0], network.emb(read_BT))
    assert torch.equal(network.head(network.norm(plain.hidden[-1])), plain.logits_BTV)

    push_D = torch.randn(network.width, generator=seeded(2))
    edited = network(read_BT, edit=lambda layer, x: x + push_D if layer == 1 else x)
    first = [x[:, 0] for x in edited.hidden]
    assert torch.equal(edited.hidden[0], plain.hidden[0])
    assert error(first[1], plain.hidden[1][:, 0]) < 1e-6
    assert error(first[2], plain.hidden[2][:, 0] + push_D) < 1e-6
    assert error(first[3], plain.hidden[3][:, 0]) > 0.01
    assert error(edited.hidden[1][:, 1:], plain.hidden[1][:, 1:]) > 0.01, "an edit is fed back to the lower layers"


def test_an_edit_finds_its_positions() -> None:
    """It is asked about one token at a time, in a tensor as long as the pass; what it leaves is what memories hold."""
    network, read_BT = tiny(block=4), tokens(2, 10)
    shapes = set()

    def edit(layer: int, x_BTD: Tensor) -> Tensor:
        shapes.add(tuple(x_BTD.shape))
        return x_BTD.slice_scatter(x_BTD[:, 6:8] * 3, 1, 6, 8) if layer == 2 else x_BTD

    plain, edited = network(read_BT), network(read_BT, edit=edit)
    assert shapes == {(2, 10, 16)}
    for one, two in zip(edited.hidden, plain.hidden, strict=True):
        assert error(one[:, :6], two[:, :6]) < 1e-6
    assert error(edited.hidden[3][:, 6], 3 * plain.hidden[3][:, 6]) < 1e-6
    shares = network.mix.softmax(0)[:, None, None, None]
    made = (shares * torch.stack(edited.hidden)).sum(0)
    assert error(edited.state["memories"], made[:, -7:]) < 1e-5
    with torch.no_grad():
        assert error(network(read_BT, edit=edit).logits_BTV, edited.logits_BTV) < 1e-5


def test_gradients_of_an_edit() -> None:
    """An edit's own parameter on a frozen network, through memories and layers, against finite differences."""
    network, read_BT = tiny(span=20).double().requires_grad_(False), tokens(1, 9)
    push = torch.zeros(network.width, dtype=torch.float64, requires_grad=True)

    def loss(push_D: Tensor) -> Tensor:
        return network(read_BT, edit=lambda layer, x: x + push_D if layer == 0 else x).logits_BTV.square().sum()

    assert torch.autograd.gradcheck(loss, push)


@pytest.mark.parametrize("layer", [0, 2])
def test_a_pass_from_below_is_the_whole_pass(layer: int) -> None:
    """Only embedded tokens stay below, so that all hidden states are there."""
    network, read_BT = tiny(), tokens(2, 11)

    def edit(at: int, x: Tensor) -> Tensor:
        return x * 1.5 if at >= layer else x

    below = network.below(read_BT, layer)
    for change in (None, edit):
        whole, upper = network(read_BT, edit=change), network(read_BT, edit=change, below=below)
        assert torch.equal(upper.logits_BTV, whole.logits_BTV)
        assert all(torch.equal(a, b) for a, b in zip(upper.hidden, whole.hidden, strict=True))
        assert upper.state is None


def test_below_is_refused_where_it_cannot_be_right() -> None:
    network, read_BT = tiny(), tokens(1, 5)
    below = network.below(read_BT, 1)
    with pytest.raises(ValueError, match="not both"):
        network(read_BT, state=network.empty_state(1), below=below)
    with pytest.raises(ValueError, match="not made by this network"):
        network(read_BT, below=Below(1, below.hidden_BTD))


def test_generation_is_the_plain_way() -> None:
    """Against one full pass per token, with a state before the prompt and with edits of prompt and continuation."""
    network, read_BT, length = tiny(span=12), tokens(2, 8), 6
    start = network(tokens(2, 6, seed=9)).state
    pushes = [3 * torch.randn(network.width, generator=seeded(seed)) for seed in (20, 21)]

    def edit(layer: int, x: Tensor) -> Tensor:
        return x + pushes[0] if layer == 0 else x

    def following(layer: int, x: Tensor) -> Tensor:
        return x + pushes[1] if layer == 1 else x

    def both(layer: int, x: Tensor) -> Tensor:
        return torch.cat([edit(layer, x[:, :8]), following(layer, x[:, 8:])], 1)

    found = []
    for state, edits, in_one in (
        (None, {}, None),
        (start, {}, None),
        (start, {"edit": edit, "following": following}, both),
    ):
        longer_BT = read_BT
        for _ in range(length):
            with torch.no_grad():
                following_B1 = network(longer_BT, state, in_one).logits_BTV[:, -1:].argmax(-1)
            longer_BT = torch.cat([longer_BT, following_B1], 1)
        found.append(network.generate(read_BT, length, state, **edits))
        assert torch.equal(found[-1], longer_BT[:, 8:])
    assert len({str(x.tolist()) for x in found}) == 3, "state and edits must matter for this test to mean anything"
    assert network.generate(read_BT, 0).shape == (2, 0)


def test_autocast_leaves_the_loop_alone() -> None:
    """In bfloat16 only the head is rounded: errors of a fed-back state would add up."""
    network, read_BT = tiny(), tokens(2, 20)
    exact = network(read_BT)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = network(read_BT)
        coarse.logits_BTV.float().square().sum().backward()
    assert torch.equal(coarse.hidden[-1], exact.hidden[-1])
    assert 1e-4 < error(coarse.logits_BTV.float(), exact.logits_BTV) < 0.1
    assert bool(network.layers[0].inner.weight.grad.isfinite().all())


# The start


def fresh(seed: int = 0, *, width: int = 64, layers: int = 3, vocabulary: int = 300, shared: bool = True) -> Feedback:
    return Feedback(params.Feedback(width=width, layers=layers, shared=shared), vocabulary, seeded(seed))


def test_only_the_given_generator_is_used() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, again, other = (fresh(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    drawn = {name for name in one if not torch.equal(one[name], other[name])}
    assert drawn == {name for name in one if name != "mix" and "norm" not in name}
    assert all(tensor.dtype == torch.float32 for tensor in one.values())


def test_numbers_of_the_start() -> None:
    """Normal, uniform within ±1/√inputs, or that divided by √(2 L), as the published code has it."""
    found = fresh().state_dict()
    for name in ("emb.weight", "places"):
        assert float(found[name].std()) == pytest.approx(1, rel=0.03)
    for layer in range(3):
        inputs = {"query.weight": 64, "inner.weight": 64, "inner.bias": 64}
        bounds = {name: 1 / math.sqrt(count) for name, count in inputs.items()}
        bounds |= {"output.weight": 1 / math.sqrt(64 * 6), "outer.weight": 1 / math.sqrt(512 * 6)}
        bounds |= {"outer.bias": 1 / math.sqrt(512 * 6)}
        for name, bound in bounds.items():
            largest = float(found[f"layers.{layer}.{name}"].abs().max())
            assert 0.9 * bound < largest <= bound, name
    assert not found["mix"].any()
    assert bool((found["reader.norm.weight"] == 1).all())
    assert not found["reader.norm.bias"].any()


def test_shared_or_own_readers() -> None:
    """Four layers of the defaults: with a reader of its own, each layer has 2 D² + 2 D weights more."""
    shared, own = ({k: v.numel() for k, v in fresh(shared=s).state_dict().items()} for s in (True, False))
    assert sum(own.values()) - sum(shared.values()) == 2 * (2 * 64 * 64 + 2 * 64)
    assert {name for name in shared if "reader" in name} == {
        f"reader.{part}" for part in ("norm.weight", "norm.bias", "key.weight", "value.weight")
    }
    assert {name.split(".reader.")[0] for name in own if "reader" in name} == {f"layers.{layer}" for layer in range(3)}


@pytest.mark.parametrize("shared", [True, False])
def test_a_fresh_network_learns(shared: bool) -> None:
    settings = params.Feedback(width=32, layers=2, heads=2, feedforward=64, span=24, block=12, shared=shared)
    network, read_BT = Feedback(settings, 24, seeded(0)), tokens(4, 25)
    optimizer = torch.optim.AdamW(network.parameters(), lr=8e-3)
    found = []
    for _ in range(25):
        logits = network(read_BT[:, :-1]).logits_BTV
        loss = cross_entropy(logits.flatten(0, 1), read_BT[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[0] == pytest.approx(math.log(24), rel=0.15)
    assert found[-1] < 0.5 * found[0]


def test_a_width_that_heads_do_not_fill_is_refused() -> None:
    with pytest.raises(UserError, match="width 66 is not a multiple of heads 4"):
        Feedback(params.Feedback(width=66), 50, seeded(0))
