"""Test-time memory: parity with the authors' layer and with Llama's, state, derivatives, concepts read back in."""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from resonance import params
from resonance.errors import UserError
from resonance.networks.memory import SEPARATORS, Memory
from resonance.networks.memory_blocks import Attention, Block, TTTLinear
from resonance.networks.network import Below, State, relative_change
from resonance.networks.soft_tokens import MOST, SoftTokens
from resonance.networks.tensors import named
from resonance.networks.ttt import Fast
from resonance.text.concepts import concept_graph
from resonance.text.prompt import prompt, separator
from resonance.text.tokens import read_tokens

MAKER = Path(__file__).with_name("golden") / "make_memory.py"
GOLDEN = json.loads(MAKER.with_name("memory.json").read_text())
maker = runpy.run_path(str(MAKER))
BLOCK, V = 8, 50
ONE, TWO = (40,), (41, 42)
"""Separators of the hand-made pair: the second has two tokens."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are slower on several threads, much slower where others use them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class HandMade:
    """Four concepts in a row, 0 - 1 - 2 - 3; concept c is token 10 + c, concept 3 also the tokens 20 21."""

    names: tuple[str, ...] = ("a", "b", "c", "d")
    pieces: tuple[tuple[tuple[int, ...], ...], ...] = (((10,),), ((11,),), ((12,),), ((13,), (20, 21)))
    asked: list[dict[int, float]] = field(default_factory=list)

    def rank(self, seeds: Mapping[int, float]) -> np.ndarray:
        self.asked.append(dict(seeds))
        graph = nx.path_graph(len(self.names))
        ranks = nx.pagerank(graph, 0.5, dict(seeds) or None, tol=1e-12)
        return np.array([ranks[concept] for concept in graph])

    def found(self, ids: Sequence[int]) -> dict[int, int]:
        return {c: list(ids).count(10 + c) for c in range(len(self.names)) if 10 + c in ids}


def tiny(seed: int = 0, *, concepts: int = 0, met: bool = True, **changes: object) -> Memory:
    """A network in which every tensor matters: fresh weights plus noise, four layers, the second and third memories."""
    sizes = {"width": 16, "layers": 4, "heads": 2, "feedforward": 24, "memories": (1, 2), "block": BLOCK}
    network = Memory(params.Memory(**{**sizes, "concepts": concepts, **changes}), V, seeded(seed))
    noise = seeded(seed + 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=noise)
        network.emb.weight += torch.randn(network.emb.weight.shape, generator=noise)
    if network.soft is not None and met:
        network.soft.meet(HandMade(), [ONE, TWO])
    return network


def tokens(B: int, T: int, seed: int = 5) -> Tensor:
    """Tokens without a separator, some of them concepts."""
    return torch.randint(0, 40, (B, T), generator=seeded(seed))


def separated(B: int, T: int, place: int, seed: int = 5, ids: tuple[int, ...] = ONE) -> Tensor:
    """The same with a separator whose first token is number `place`."""
    read = tokens(B, T, seed)
    read[:, place : place + len(ids)] = torch.tensor(ids)
    return read


KINDS = pytest.mark.parametrize("concepts", [0, 3], ids=["plain", "concepts"])
"""With concepts, `asked` holds a separator, after which soft tokens stand."""


def asked(concepts: int, B: int, T: int, seed: int = 5) -> Tensor:
    return separated(B, T, T // 2, seed) if concepts else tokens(B, T, seed)


def error(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().max() / expected.std()).detach()) if expected.numel() else 0.0


def filled(state: State | None) -> State:
    assert state is not None
    return {name: tensor for name, tensor in state.items() if tensor.numel()}


# Parity


def test_the_layer_is_that_of_the_authors() -> None:
    """Numbers of their code, committed to ten digits, so 1e-8 is left."""
    layer = maker["filled"](TTTLinear(maker["WIDTH"], maker["HEADS"], maker["BLOCK"], 1.0))
    found, _ = layer(maker["read"](), layer.empty(1))
    assert error(found[0], torch.tensor(GOLDEN["layer"], dtype=torch.float64)) < 1e-8


def test_golden_logits() -> None:
    """This project's own numbers; in float64 and to ten digits, so 1e-8 is left to another machine's sums."""
    network = maker["filled"](Memory(params.Memory(**maker["NETWORK"]), maker["VOCABULARY"], seeded(0)))
    found = network(maker["tokens"]()).logits_BTV[0]
    assert error(found, torch.tensor(GOLDEN["logits"], dtype=torch.float64)) < 1e-8


def test_a_layer_with_attention_is_a_layer_of_llama() -> None:
    """Rotary positions, norms, order and SwiGLU, in float64, also from the twelfth token on."""
    width, heads, hidden, T = 16, 2, 24, 19
    own = Block(Attention(width, heads), width, hidden).double()
    config = LlamaConfig(
        hidden_size=width, num_attention_heads=heads, intermediate_size=hidden, attn_implementation="eager"
    )
    theirs = LlamaDecoderLayer(config, 0).double()
    noise = seeded(1)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise, dtype=torch.float64) * 0.4 + 0.1)
    names = {"mixing.": "self_attn.", "mixing_norm.": "input_layernorm.", "mlp_norm.": "post_attention_layernorm."}
    renamed = {}
    for name, tensor in own.state_dict().items():
        head = next((head for head in names if name.startswith(head)), "")
        renamed[names.get(head, "") + name[len(head) :]] = tensor
    theirs.load_state_dict(renamed)

    x = torch.randn(2, T, width, generator=noise, dtype=torch.float64)
    future = torch.full((T, T), -torch.inf, dtype=torch.float64).triu(1)[None, None]
    turns = LlamaRotaryEmbedding(config)(x, torch.arange(T)[None])
    expected = theirs(x, attention_mask=future, position_embeddings=turns)
    expected = expected if isinstance(expected, Tensor) else expected[0]
    one, state = own(x[:, :12], own.mixing.empty(2))
    two, _ = own(x[:, 12:], state)
    assert error(own(x, own.mixing.empty(2))[0], expected) < 1e-6, "Llama takes its angles in float32"
    assert error(torch.cat([one, two], 1), expected) < 1e-6


# State


@KINDS
def test_a_split_sequence_is_the_whole(concepts: int) -> None:
    """Cuts inside blocks; with concepts all cuts lie after the separator, which ranks what its own call has read."""
    network, read = tiny(concepts=concepts), asked(concepts, 2, 59)
    whole = network(read)
    for cuts in ([32, 27], [37, 1, 1, 2, 18], [40, 7, 12], [31] + [1] * 28):
        state: State | None = None
        logits = []
        for part in read.split(cuts, dim=1):
            output = network(part, state)
            state = output.state
            logits.append(output.logits_BTV)
        assert error(torch.cat(logits, 1), whole.logits_BTV) < 1e-5
        assert state.keys() == whole.state.keys()
        assert all(error(state[name], tensor) < 1e-5 for name, tensor in whole.state.items())
    inside = (59 + concepts) % BLOCK
    assert inside
    assert whole.state["blocks.1.keys"].shape == whole.state["blocks.2.steps"].shape == (2, 2, inside, 8)
    assert whole.state["blocks.0.keys"].shape == whole.state["blocks.3.values"].shape == (2, 2, 59 + concepts, 8)


def test_without_concepts_any_cut_will_do() -> None:
    network, read = tiny().double(), tokens(2, 2 * BLOCK + 3)
    whole = network(read)
    for cut in range(1, read.shape[1]):
        first = network(read[:, :cut])
        second = network(read[:, cut:], first.state)
        assert error(torch.cat([first.logits_BTV, second.logits_BTV], 1), whole.logits_BTV) < 1e-10
        assert all(error(second.state[name], tensor) < 1e-10 for name, tensor in whole.state.items())


def test_between_sequences_only_fast_weights_are_carried() -> None:
    """The next sequence is attended to for itself; its memory starts with the weights of the last token."""
    network, read, following = tiny().double(), tokens(2, 21), tokens(2, 13, seed=6)
    end = network(read).state
    carried = network.between(end)
    assert carried.keys() == end.keys()
    assert filled(carried).keys() == {"blocks.1.weights", "blocks.2.weights"}
    assert all(x.shape == y.shape for x, y in zip(carried.values(), network.empty_state(2).values(), strict=True))
    for layer in (1, 2):
        mixing = network.layers()[layer].mixing
        W, k, steps = (end[f"blocks.{layer}.{part}"] for part in Fast._fields)
        scale = mixing.rule().scales_C[21 % BLOCK - 1]
        now = carried[f"blocks.{layer}.weights"]
        assert error(now[:, :, :-1], W[:, :, :-1] - scale * torch.einsum("bhjf,bhjg->bhfg", k, steps)) < 1e-10
        assert error(now[:, :, -1], W[:, :, -1] - scale * steps.sum(2)) < 1e-10
    again = network.between(carried)
    assert all(torch.equal(again[name], tensor) for name, tensor in carried.items())

    found = network(following, carried).logits_BTV
    only_weights = network.empty_state(2) | filled(carried)
    assert torch.equal(network(following, only_weights).logits_BTV, found)
    assert error(network(following).logits_BTV, found) > 0.01, "the memory must matter"
    assert error(network(following, end).logits_BTV, found) > 0.01, "so must what is dropped"
    with torch.no_grad():
        assert relative_change(network.between(network(following, carried).state), carried) > 1e-3


def test_a_state_does_not_grow_from_sequence_to_sequence() -> None:
    network, state = tiny(), None
    for _ in range(3):
        state = network.between(network(tokens(1, 30), state).state)
    assert sum(x.numel() for x in state.values()) == 2 * 2 * 9 * 8


def test_the_state_is_never_changed_in_place() -> None:
    network = tiny()
    state = network(tokens(2, 9)).state
    before = {name: tensor.clone() for name, tensor in state.items()}
    for T in (1, 3, 30):
        network.between(network(tokens(2, T), state).state)
        assert all(torch.equal(state[name], before[name]) for name in state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_empty_state_is_no_state(dtype: torch.dtype) -> None:
    network, read = tiny().to(dtype), tokens(2, 6)
    empty, output = network.empty_state(2), network(read)
    assert torch.equal(network(read, empty).logits_BTV, output.logits_BTV)
    assert {name: x.dtype for name, x in empty.items()} == {name: x.dtype for name, x in output.state.items()}
    assert empty["blocks.2.weights"].dtype == torch.promote_types(dtype, torch.float32)
    assert all(len(x) == 2 for x in empty.values())
    mixing = network.layers()[1].mixing
    for row in empty["blocks.1.weights"]:
        assert torch.equal(row, torch.cat([mixing.W1, mixing.b1], 1).to(row.dtype))


def test_gradients_flow_through_the_state() -> None:
    """To the embedding of what was read before, and to the fast weights that it all began with."""
    network, read = tiny().double(), tokens(1, 21)
    leaves = [network.emb.weight, network.layers()[1].mixing.W1, network.layers()[2].mixing.b1]
    whole = torch.autograd.grad(network(read).logits_BTV[:, -1].sum(), leaves)
    state = network(read[:, :12]).state
    split = torch.autograd.grad(network(read[:, 12:], state).logits_BTV[:, -1].sum(), leaves)
    assert all(error(x, y) < 1e-10 for x, y in zip(split, whole, strict=True))
    assert all(x.abs().max() > 0 for x in whole)


@KINDS
@pytest.mark.parametrize("grad", [True, False])
def test_forward_derivatives_along_the_state(grad: bool, concepts: int) -> None:
    """Of one sequence, and of all that is carried after it, against central differences."""
    network, read = tiny(concepts=concepts).double(), asked(concepts, 1, 21)
    start = {name: x.detach() for name, x in network.between(network(tokens(1, 11, seed=6)).state).items()}
    along = {name: torch.randn(x.shape, generator=seeded(8), dtype=x.dtype) for name, x in start.items()}

    def run(state: State) -> tuple[Tensor, State]:
        output = network(read, state)
        return output.logits_BTV, network.between(output.state)

    def at(step: float) -> tuple[Tensor, State]:
        return run({name: x + step * along[name] for name, x in start.items()})

    with torch.set_grad_enabled(grad):
        _, (logits, after) = torch.func.jvp(run, (start,), (along,))
        ahead, back, h = at(1e-5), at(-1e-5), 2e-5
    assert error(logits, (ahead[0] - back[0]) / h) < 1e-6
    assert filled(after).keys() == {"blocks.1.weights", "blocks.2.weights"}
    assert all(error(x, (ahead[1][name] - back[1][name]) / h) < 1e-6 for name, x in filled(after).items())


# Forward pass


@KINDS
def test_the_future_is_not_seen(concepts: int) -> None:
    """Bit for bit, before and after the separator, and at the separator itself."""
    network, read = tiny(concepts=concepts), asked(concepts, 1, 60)
    logits = network(read).logits_BTV
    for changed in (17, 31, 45):
        other = read.clone()
        other[:, changed:] = (other[:, changed:] + 1) % 40
        if changed < 30 and concepts:
            other[:, 30] = read[:, 30]
        found = network(other).logits_BTV
        assert torch.equal(found[:, :changed], logits[:, :changed])
        assert error(found[:, changed:], logits[:, changed:]) > 0.1


def test_every_row_is_read_for_itself() -> None:
    read = tokens(3, 50)
    logits = tiny()(read).logits_BTV
    assert error(tiny()(read[1:2]).logits_BTV, logits[1:2]) < 1e-5


@pytest.mark.parametrize("change", [{"block": 5}, {"inner_rate": 0.5}])
def test_settings_of_the_memory_matter(change: dict[str, object]) -> None:
    read = tokens(1, 30)
    one, other = tiny(), tiny(**change)
    other.load_state_dict(one.state_dict() | {n: x for n, x in other.state_dict().items() if "token_idx" in n})
    assert error(other(read).logits_BTV, one(read).logits_BTV) > 1e-3


def test_the_inner_rate_of_a_token() -> None:
    """inner_rate σ(w·x + b) / F: with the weights of the rate at 0 and b at −30 the memory stands still."""
    network, read = tiny(), tokens(1, 30)
    for layer in (1, 2):
        mixing = network.layers()[layer].mixing
        with torch.no_grad():
            mixing.learnable_ttt_lr_weight.zero_()
            mixing.learnable_ttt_lr_bias.fill_(-30)
    empty, state = network.empty_state(1), network(read).state
    assert error(state["blocks.1.weights"], empty["blocks.1.weights"]) < 1e-6


@KINDS
def test_every_parameter_is_used(concepts: int) -> None:
    network, read = tiny(concepts=concepts), asked(concepts, 2, 30)
    network(read).logits_BTV.log_softmax(-1)[..., 0].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@KINDS
def test_hidden_states_and_edits(concepts: int) -> None:
    network, read = tiny(concepts=concepts), asked(concepts, 2, 10)
    plain = network(read)
    assert [tuple(x.shape) for x in plain.hidden] == [(2, 10, 16)] * 5
    if not concepts:
        assert torch.equal(plain.hidden[0], network.emb(read))
    assert torch.equal(network.head(network.norm(plain.hidden[-1])), plain.logits_BTV)
    assert all(torch.equal(x, y) for x, y in zip(network(read, edit=lambda _, x: x).hidden, plain.hidden, strict=True))

    shapes = []

    def edit(layer: int, x: Tensor) -> Tensor:
        shapes.append(tuple(x.shape))
        return x + 1 if layer == 1 else x

    edited = network(read, edit=edit)
    assert shapes == [(2, 10, 16)] * 4
    assert torch.equal(edited.hidden[1], plain.hidden[1])
    assert torch.equal(edited.hidden[2], plain.hidden[2] + 1)
    assert not torch.equal(edited.hidden[3], plain.hidden[3])


@KINDS
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_a_pass_from_below_is_the_whole_pass(layer: int, concepts: int) -> None:
    network, read = tiny(concepts=concepts), asked(concepts, 2, 21)

    def edit(at: int, x: Tensor) -> Tensor:
        return x * 1.5 if at >= layer else x

    below = network.below(read, layer)
    assert below.hidden_BTD.shape == (2, 21, 16)
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
        network(read, below=Below(4, below.hidden_BTD))
    with pytest.raises(ValueError, match="not made by this network"):
        tiny(concepts=3)(separated(1, 5, 2), below=below)


@KINDS
def test_generation_is_the_plain_way(concepts: int) -> None:
    """Against one full pass per token, with a state before the prompt and with edits of prompt and continuation."""
    network, length = tiny(concepts=concepts), 11
    read = separated(2, 13, 12) if concepts else tokens(2, 13)
    start = network.between(network(tokens(2, 6, seed=9)).state)
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
    assert len({str(x.tolist()) for x in found}) == 3, "state and edits must matter for this test to mean anything"
    assert not any(token in x for x in found for token in (40, 41)), "no separator is said"
    assert network.generate(read, 0).shape == (2, 0)


@KINDS
def test_gradients_are_those_of_finite_differences(concepts: int) -> None:
    network = tiny(concepts=concepts, layers=2, memories=(1,), width=8, feedforward=8, block=3).double()
    read = asked(concepts, 1, 5)
    mixing = "blocks.1.mixing."
    if concepts:
        chosen = ["soft.map.weight", mixing + "b1"]
    else:
        chosen = [mixing + name for name in ("W1", "b1", "learnable_ttt_lr_bias", "learnable_token_idx")]
        chosen += [mixing + name for name in ("ttt_norm_weight", "ttt_norm_bias", "post_norm.weight", "k_proj.weight")]
        chosen += ["blocks.0.mixing_norm.weight", "blocks.0.mlp_norm.weight", "norm.weight"]
    leaves = [network.get_parameter(name) for name in chosen]
    direction = torch.randn(5, V, generator=seeded(3), dtype=torch.float64)

    def run(*given: Tensor) -> Tensor:
        found = torch.func.functional_call(network, dict(zip(chosen, given, strict=True)), (read,))
        return (found.logits_BTV[0] * direction).sum()

    assert torch.autograd.gradcheck(run, leaves)


def test_bfloat16_by_autocast_is_near_float32() -> None:
    network, read = tiny(concepts=3), separated(2, 40, 20)
    exact = network(read).logits_BTV
    with torch.autocast("cpu", torch.bfloat16):
        coarse = network(read)
        following = network(tokens(2, 3), coarse.state)
    assert 1e-4 < error(coarse.logits_BTV.float(), exact) < 0.3
    assert coarse.state["blocks.1.weights"].dtype == torch.float32
    assert following.logits_BTV.isfinite().all()


# Concepts


def by_hand(network: Memory, read: list[int], best: list[tuple[float, list[int]]], place: int) -> Tensor:
    """Logits of all places, with soft tokens (share, tokens) put in before `place` by hand: [S, V]."""
    E, A = network.emb.weight, network.soft.map.weight
    soft = [A @ (share * E[ids].mean(0)) for share, ids in best]
    x = torch.stack([*E[read[:place]], *soft, *E[read[place:]]])[None]
    state = network.empty_state(1)
    for layer, block in enumerate(network.layers()):
        x, _ = block(x, {part: state[f"blocks.{layer}.{part}"] for part in block.mixing.parts})
    return network.head(network.norm(x))[0]


@pytest.mark.parametrize(("ids", "end"), [(ONE, 7), (TWO, 8)])
def test_soft_tokens_stand_after_the_separator(ids: tuple[int, ...], end: int) -> None:
    """The two best concepts of what was read before it, by their shares; the separator's place is that of the last."""
    network, graph = tiny(concepts=2).double(), HandMade()
    read = [1, 13, 3, 13, 12, 5, *ids, 10, 10, 10, 9]
    ranks = graph.rank({2: 1, 3: 2})
    assert np.argsort(-ranks)[:2].tolist() == [3, 2]
    total = ranks[3] + ranks[2]
    expected = by_hand(network, read, [(ranks[3] / total, [13, 20, 21]), (ranks[2] / total, [12])], end)
    found = network(torch.tensor([read])).logits_BTV[0]
    kept = [*range(end - 1), end + 1, *range(end + 2, len(read) + 2)]
    assert error(found, expected[kept]) < 1e-10
    plain = by_hand(network, read, [], end)
    assert error(plain[: end - 1], found[: end - 1]) < 1e-10
    assert error(plain[end - 1 :], found[end - 1 :]) > 0.01


def test_concepts_change_with_what_is_read_before_and_not_with_what_comes_after() -> None:
    network = tiny(concepts=1)
    ranking = network.soft.ranking
    assert [ranking((token, 1))[0] for token in (10, 12, 13)] == [(0,), (2,), (3,)]
    read = torch.tensor([[1, 10, 2, 40, 3, 4]])
    changed, later = read.clone(), read.clone()
    changed[0, 1], later[0, 4] = 12, 13
    one, two, three = (network(x).hidden[0] for x in (read, changed, later))
    assert not torch.equal(one[0, 3], two[0, 3])
    assert torch.equal(one[0, :4], three[0, :4])
    assert torch.equal(one[0, 2], two[0, 2])


def test_without_a_concept_before_it_all_are_started_from() -> None:
    network, graph = tiny(concepts=4), HandMade()
    network.soft.meet(graph, [ONE])
    network(torch.tensor([[40, 1, 2]]))
    assert graph.asked == [{}]
    concepts, shares = network.soft.ranking(())
    assert sorted(concepts) == [0, 1, 2, 3]
    assert shares == tuple(sorted(shares, reverse=True))
    assert sum(shares) == pytest.approx(1)


def test_a_ranking_is_made_once() -> None:
    network, graph = tiny(concepts=2), HandMade()
    network.soft.meet(graph, [ONE])
    for target in (3, 4, 5):
        network(torch.tensor([[1, 11, 40, target]]))
    assert graph.asked == [{1: 1}]
    for number in range(MOST + 5):
        network.soft.ranking((number,))
    assert 0 < len(network.soft.rankings) <= MOST


def test_rows_may_have_their_separators_elsewhere() -> None:
    network = tiny(concepts=2).double()
    read = tokens(3, 12)
    for row, place in enumerate((2, 9, 11)):
        read[row, place] = ONE[0]
    found = network(read)
    for row in range(3):
        alone = network(read[row : row + 1])
        assert error(found.logits_BTV[row], alone.logits_BTV[0]) < 1e-10
        assert all(error(found.state[name][row], x[0]) < 1e-10 for name, x in alone.state.items())
    read[1, 3] = ONE[0]
    with pytest.raises(ValueError, match="different numbers of separators"):
        network(read)


def test_every_separator_has_its_soft_tokens() -> None:
    network = tiny(concepts=2)
    read = torch.tensor([[1, 10, 40, 2, 13, 41, 42, 3, 40, 40, 41]])
    places = network.soft.places(read)
    assert places.order_BS.tolist() == [[0, 1, 2, 11, 12, 3, 4, 5, 6, 13, 14, 7, 8, 15, 16, 9, 17, 18, 10]]
    assert places.kept_BT.tolist() == [[0, 1, 4, 5, 6, 7, 10, 11, 14, 17, 18]]
    expected = [network.soft.ranking(tuple(read[0, :end].tolist()))[0] for end in (2, 5, 8, 9)]
    assert places.concepts_BN.tolist() == [[concept for best in expected for concept in best]]


def test_no_soft_tokens_where_there_is_nothing_to_put_in() -> None:
    """Before a pair is met, without a separator, and for a pair without concepts; fewer where it has fewer."""
    read = separated(2, 12, 5)
    for network in (tiny(concepts=3, met=False), tiny(concepts=3)):
        if network.soft.graph is not None:
            network.soft.meet(HandMade((), ()), [ONE])
        assert network.soft.places(read) is None
        assert network(read).state["blocks.0.keys"].shape[2] == 12
    assert tiny(concepts=3).soft.places(tokens(2, 12)) is None
    network = tiny(concepts=9)
    assert network(read).state["blocks.0.keys"].shape[2] == 12 + 4


def test_the_map_of_soft_tokens_starts_as_the_identity_and_nothing_else_is_saved() -> None:
    network = Memory(params.Memory(width=16, heads=2, concepts=2), V, seeded(0))
    assert torch.equal(network.soft.map.weight, torch.eye(16))
    without = Memory(params.Memory(width=16, heads=2), V, seeded(0))
    network.soft.meet(HandMade(), [ONE])
    assert named(network).keys() - named(without).keys() == {"soft.map.weight"}
    assert isinstance(network.soft, SoftTokens)
    assert without.soft is None


@pytest.mark.parametrize("marker", ["relation", "target", "none"])
def test_a_real_pair(tokens_file: Path, marker: params.Marker) -> None:
    """The concepts of a tokenised pair stand after the separator of a prompt, whatever the separator is called."""
    pair = read_tokens(tokens_file)
    settings = params.Memory(width=16, heads=2, feedforward=16, concepts=4)
    network, graph = Memory(settings, pair.vocabulary, seeded(0)), concept_graph(pair)
    network.meet(pair)
    assert len(graph.names) >= 2
    for direction in params.DIRECTIONS:
        assert separator(direction, marker) in SEPARATORS
        made = prompt(pair, direction, marker)
        read = torch.from_numpy(made.tokens)[None]
        places = network.soft.places(read)
        seeds = graph.found(made.tokens[: made.input.stop].tolist())
        best = np.argsort(-graph.rank(seeds), kind="stable")[:4]
        assert seeds
        assert places.concepts_BN.tolist() == [best.tolist()]
        assert places.order_BS[0, made.target.start : made.target.start + len(best)].min() == len(made.tokens)
        assert network(read).logits_BTV.shape == (1, len(made.tokens), pair.vocabulary)
    without = Memory(params.Memory(width=16, heads=2, feedforward=16), pair.vocabulary, seeded(0))
    without.meet(pair)
    assert without.soft is None


# The start


def fresh(seed: int = 0, **changes: object) -> Memory:
    return Memory(params.Memory(**{"width": 64, "feedforward": 96, "layers": 3, **changes}), 300, seeded(seed))


def test_only_the_given_generator_is_used() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, again, other = (fresh(seed, concepts=2).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    assert {tensor.dtype for tensor in one.values()} == {torch.float32}


def test_the_start() -> None:
    network = fresh(width=128, heads=4)
    for name, tensor in network.state_dict().items():
        if name.endswith(("b1", "bias", "token_idx")):
            assert not tensor.any(), name
        elif "norm" in name:
            assert bool((tensor == 1).all()), name
        else:
            assert float(tensor.std()) == pytest.approx(0.02, rel=0.15), name
            assert abs(float(tensor.mean())) < 0.005, name
    mixing = network.layers()[1].mixing
    assert mixing.W1.shape == (4, 32, 32)
    assert torch.allclose(mixing.rule().scales_C, 1 / torch.arange(1, 17))
    kinds = [type(block.mixing) for block in network.layers()]
    assert kinds == [Attention, TTTLinear, TTTLinear]


@pytest.mark.parametrize("memories", [(1,), (0, 1, 2)])
def test_a_fresh_network_learns(memories: tuple[int, ...]) -> None:
    network = Memory(params.Memory(width=64, layers=3, memories=memories, feedforward=96), 40, seeded(0))
    read = tokens(4, 32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        logits = network(read[:, :-1]).logits_BTV
        loss = cross_entropy(logits.flatten(0, 1), read[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(40), rel=0.05)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 36, "heads": 4}, "width 36 is not an even multiple of heads 4"),
        ({"layers": 2, "memories": (1, 2)}, "memories names layer 2, but with layers: 2 they are 0 to 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Memory(params.Memory(**settings), V, seeded(0))
