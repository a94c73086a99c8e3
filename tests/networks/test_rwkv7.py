"""RWKV-7: parity with the published package, the rule written out once more, state, edits, start and files."""

from __future__ import annotations

import json
import math
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.networks.network import Below, State
from resonance.networks.rwkv7 import RWKV7
from resonance.networks.rwkv7_blocks import Sizes

MAKER = Path(__file__).with_name("golden") / "make_rwkv7.py"
GOLDEN = MAKER.with_name("rwkv7.json")
official_weights = runpy.run_path(str(MAKER))["weights"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are slower on several threads, much slower where others use them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(seed: int = 0, *, width: int = 32, layers: int = 3, head_size: int = 8, chunk: int = 8) -> RWKV7:
    """A network in which every tensor matters: fresh weights (many are zero) plus noise."""
    settings = params.RWKV7(width=width, layers=layers, head_size=head_size, chunk=chunk)
    network = RWKV7(settings, 50, seeded(seed))
    noise = seeded(seed + 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=noise)
        network.emb.weight += torch.randn(network.emb.weight.shape, generator=noise)
    return network


def tokens(B: int, T: int, seed: int = 5) -> Tensor:
    return torch.randint(0, 24, (B, T), generator=seeded(seed))


def error(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().max() / expected.std()).detach())


# Parity


def test_golden_logits() -> None:
    """Numbers of the package `rwkv`, committed; both sides are float32, so 1e-5 of their spread is left to rounding."""
    golden = json.loads(GOLDEN.read_text())
    network = RWKV7.from_official(official_weights(), chunk=8)
    logits = network(torch.tensor([golden["tokens"]])).logits_BTV[0]
    assert error(logits, torch.tensor(golden["logits"])) < 1e-5


@pytest.mark.parametrize("layers", [1, 3])
def test_parity_with_the_package(tmp_path: Path, layers: int) -> None:
    """max|difference| / std <= 1e-4, the measure and the bound that the authors of RWKV use themselves."""
    pytest.importorskip("rwkv")
    network = tiny(width=128, layers=layers, head_size=64, chunk=16)
    read = tokens(1, 45)
    weights, asked, out = tmp_path / "weights.pth", tmp_path / "tokens.json", tmp_path / "out.json"
    torch.save(network.state_dict(), weights)
    asked.write_text(json.dumps(read[0].tolist()))
    one_thread_too = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, MAKER, weights, asked, out], check=True, capture_output=True, env=one_thread_too)
    theirs = {mode: torch.tensor(logits) for mode, logits in json.loads(out.read_text()).items()}

    ours = {"sequence": network(read).logits_BTV[0]}
    steps, state = [], None
    for token in read.T:
        output = network(token[None], state)
        steps.append(output.logits_BTV[0, 0])
        state = output.state
    ours["steps"] = torch.stack(steps)
    for mode in ("sequence", "steps"):
        assert error(ours[mode], theirs[mode]) < 1e-4


# The rule, written out once more

MISTAKES = (
    "no removal",
    "removal key not normalised",
    "no rate in the removal",
    "no rate in the key",
    "decay down to 0",
    "read with the key",
    "transposed state",
    "no value of layer 0",
    "no bonus",
    "no gate",
    "norm over all heads",
    "norm with the usual eps",
    "no look back",
)


def by_the_book(network: RWKV7, layer: int, x: Tensor, first: Tensor, mistake: str = "") -> Tensor:
    """Time mixing of one layer, token by token and head by head: x, first and the result are [T, D]."""
    p = {name: tensor.squeeze() for name, tensor in network.layers()[layer].att.state_dict().items()}
    (T, D), N = x.shape, network.head_size
    S = torch.zeros(D // N, N, N, dtype=x.dtype)
    previous, out = torch.zeros(D, dtype=x.dtype), []
    for t in range(T):
        past = x[t] if mistake == "no look back" else previous
        xr, xw, xk, xv, xa, xg = ((1 - p[f"x_{c}"]) * x[t] + p[f"x_{c}"] * past for c in "rwkvag")
        r, k, v = p["receptance.weight"] @ xr, p["key.weight"] @ xk, p["value.weight"] @ xv
        fade = torch.sigmoid(p["w0"] + torch.tanh(xw @ p["w1"]) @ p["w2"])
        w = 1 - fade if mistake == "decay down to 0" else torch.exp(-fade / math.sqrt(math.e))
        if layer > 0 and mistake != "no value of layer 0":
            share = torch.sigmoid(p["v0"] + xv @ p["v1"] @ p["v2"])
            v = (1 - share) * v + share * first[t]
        rate = torch.sigmoid(p["a0"] + xa @ p["a1"] @ p["a2"])
        gate = 1 if mistake == "no gate" else torch.sigmoid(xg @ p["g1"]) @ p["g2"]
        direction = k * p["k_k"]
        k = k if mistake == "no rate in the key" else k * (1 - p["k_a"] + rate * p["k_a"])

        y = torch.zeros(D, dtype=x.dtype)
        for head in range(D // N):
            own = slice(head * N, (head + 1) * N)
            removed = direction[own]
            if mistake != "removal key not normalised":
                removed = removed / removed.square().sum().sqrt()
            taken = removed if mistake == "no rate in the removal" else removed * rate[own]
            matrix = S[head] @ torch.diag(w[own])
            if mistake != "no removal":
                matrix = matrix - torch.outer(S[head] @ removed, taken)
            S[head] = matrix + torch.outer(v[own], k[own])
            reader = k[own] if mistake == "read with the key" else r[own]
            y[own] = S[head].T @ reader if mistake == "transposed state" else S[head] @ reader

        parts = y[None] if mistake == "norm over all heads" else y.view(-1, N)
        eps = 1e-5 if mistake == "norm with the usual eps" else 64e-5
        centred = parts - parts.mean(1, keepdim=True)
        y = (centred / (centred.square().mean(1, keepdim=True) + eps).sqrt()).flatten()
        y = y * p["ln_x.weight"] + p["ln_x.bias"]
        if mistake != "no bonus":
            y = y + ((r * k * p["r_k"].flatten()).view(-1, N).sum(1, keepdim=True) * v.view(-1, N)).flatten()
        out.append(p["output.weight"] @ (y * gate))
        previous = x[t]
    return torch.stack(out)


def test_time_mixing_is_the_published_rule_and_no_usual_mistake() -> None:
    """The mistakes are those that independent versions of RWKV-7 make; each is seen in the output."""
    network, layer = tiny(layers=2).double(), 1
    x, first = (torch.randn(19, 32, generator=seeded(seed), dtype=torch.float64) for seed in (1, 2))
    state = {name: tensor.double() for name, tensor in network.empty_state(1).items()}
    att = network.layers()[layer].att
    with torch.no_grad():
        ours, _, _ = att(x[None], first[None], state["blocks.1.att.last"], state["blocks.1.att.matrix"])
        assert error(ours[0], by_the_book(network, layer, x, first)) < 1e-10
        for mistake in MISTAKES:
            assert error(ours[0], by_the_book(network, layer, x, first, mistake)) > 1e-3, mistake


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
    assert output.state["blocks.2.att.matrix"].shape == (2, 4, 8, 8)
    assert output.state["blocks.2.att.matrix"].dtype == torch.promote_types(dtype, torch.float32)
    assert len({x.untyped_storage().data_ptr() for x in empty.values()}) == len(empty) == 9


def test_gradients_flow_through_the_state() -> None:
    network, read = tiny().double(), tokens(1, 12)
    whole = torch.autograd.grad(network(read).logits_BTV[:, -1].sum(), network.emb.weight)[0]
    state = network(read[:, :7]).state
    split = torch.autograd.grad(network(read[:, 7:], state).logits_BTV[:, -1].sum(), network.emb.weight)[0]
    assert error(split, whole) < 1e-10


# Forward pass


def test_the_future_is_not_seen() -> None:
    network, read = tiny(), tokens(1, 40)
    other = read.clone()
    other[:, 25:] = (other[:, 25:] + 1) % 24
    one, two = (network(x).logits_BTV for x in (read, other))
    assert error(two[:, :25], one[:, :25]) < 1e-6
    assert error(two[:, 25:], one[:, 25:]) > 0.1


def test_chunks_and_batches_do_not_matter() -> None:
    read = tokens(3, 50)
    logits = tiny(chunk=16)(read).logits_BTV
    for chunk in (1, 5, 64):
        assert error(tiny(chunk=chunk)(read).logits_BTV, logits) < 1e-5
    assert error(tiny(chunk=16)(read[1:2]).logits_BTV, logits[1:2]) < 1e-5


def test_every_parameter_is_used() -> None:
    network, read = tiny(), tokens(2, 30)
    network(read).logits_BTV.log_softmax(-1)[..., 0].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_hidden_states_and_edits() -> None:
    network, read = tiny(), tokens(2, 10)
    plain = network(read)
    assert len(plain.hidden) == network.depth + 1
    first = network.layers()[0]
    assert torch.equal(plain.hidden[0], first.ln0(network.emb(read)))
    assert torch.equal(network.head(network.ln_out(plain.hidden[-1])), plain.logits_BTV)

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
    for foreign in (Below(1, below.hidden_BTD), Below(3, below.hidden_BTD, below.extra)):
        with pytest.raises(ValueError, match="not made by this network"):
            network(read, below=foreign)


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
    found += [
        network.generate(read, length, start, edit=edit),
        network.generate(read, length, start, following=following),
    ]
    assert len({str(x.tolist()) for x in found}) == 5, (
        "the state and both edits must matter for this test to mean anything"
    )
    assert network.generate(read, 0).shape == (2, 0)


def test_bfloat16_by_autocast_is_near_float32() -> None:
    network, read = tiny(), tokens(2, 40)
    exact = network(read).logits_BTV
    with torch.autocast("cpu", torch.bfloat16):
        coarse = network(read).logits_BTV
    assert 1e-4 < error(coarse.float(), exact) < 0.2


# The start


def fresh(seed: int = 0, *, width: int = 128, layers: int = 4, vocabulary: int = 300) -> RWKV7:
    return RWKV7(params.RWKV7(width=width, layers=layers), vocabulary, seeded(seed))


def test_only_the_given_generator_is_used() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, again, other = (fresh(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.parametrize("layers", [1, 4])
def test_curves_of_the_start(layers: int) -> None:
    """Mixes and offsets, number by number, as the reference code says them."""
    found, C, N = fresh(layers=layers).state_dict(), 128, 64
    for layer in range(layers):
        att, ffn = f"blocks.{layer}.att.", f"blocks.{layer}.ffn."
        q, p = (layer / (layers - 1) if layers > 1 else 0.0), 1 - layer / layers
        for i in (0, 1, 31, 63, 64, 100, 127):
            z = (i % N - (N - 1) / 2) / ((N - 1) / 2)
            z, lin = z * abs(z), i / (C - 1) - 0.5
            expected = {
                **{f"{att}x_{c}": 1 - (i / C) ** (0.2 * p) for c in "rg"},
                **{f"{att}x_{c}": 1 - (i / C) ** (0.9 * p) for c in "wa"},
                **{f"{att}x_{c}": 1 - (i / C) ** (0.7 * p) for c in "kv"},
                f"{ffn}x_k": 1 - (i / C) ** p**4,
                f"{att}w0": -6 + 6 * (i / (C - 1)) ** (1 + q**0.3) + 0.5 + 2.5 * z,
                f"{att}a0": -0.19 + 0.3 * z + 0.4 * lin,
                f"{att}k_k": 0.71 - 0.1 * lin,
                f"{att}k_a": 1.02,
            }
            if layer > 0:
                expected[f"{att}v0"] = 0.73 - 0.4 * lin
            for name, value in expected.items():
                assert float(found[name][0, 0, i]) == pytest.approx(value, abs=2e-6), name
        assert torch.equal(found[f"{att}r_k"], torch.full((2, 64), -0.04))
        assert torch.allclose(found[f"{att}ln_x.weight"], torch.tensor(((layer + 1) / layers) ** 0.7))


def test_matrices_of_the_start() -> None:
    """Zero, uniform or orthogonal with the official gains and ranks."""
    network = fresh(vocabulary=512)
    found = network.state_dict()
    for layer in range(4):
        att, ffn = f"blocks.{layer}.att.", f"blocks.{layer}.ffn."
        ranks = {"w": 32, "a": 32, "g": 64} | ({"v": 32} if layer else {})
        for name, rank in ranks.items():
            assert found[f"{att}{name}1"].shape == (128, rank)
            assert not found[f"{att}{name}1"].any()
            second = found[f"{att}{name}2"]
            assert torch.allclose(second @ second.T, 0.01 * torch.eye(rank), atol=1e-6)
        for name, gain in {f"{att}receptance": 1, f"{att}key": 0.1, f"{att}value": 1, f"{ffn}key": 1}.items():
            weight = found[f"{name}.weight"]
            assert torch.allclose(weight.T @ weight, gain**2 * torch.eye(128), atol=1e-5)
        assert not found[f"{att}output.weight"].any()
        assert found[f"{ffn}value.weight"].shape == (128, 512)
        assert not found[f"{ffn}value.weight"].any()
        for norm in ("ln1", "ln2"):
            assert bool((found[f"blocks.{layer}.{norm}.weight"] == 1).all())
            assert not found[f"blocks.{layer}.{norm}.bias"].any()
        assert not found[f"{att}ln_x.bias"].any()
    head, embedding = found["head.weight"], found["emb.weight"]
    assert torch.allclose(head.T @ head, 0.25 * 4 * torch.eye(128), atol=1e-5)
    assert embedding.abs().max() <= 1e-4
    assert float(embedding.std()) == pytest.approx(1e-4 / 3**0.5, rel=0.02)
    small = RWKV7(params.RWKV7(width=128, layers=1), 100, seeded(0)).head.weight
    assert torch.allclose(small @ small.T, 0.25 * torch.eye(100), atol=1e-5)


def test_official_ranks() -> None:
    """decay, rate, value and gate: the nearest multiple of 32, an even one where two are as near (80 → 64)."""
    for width, ranks in {64: (32, 32, 32, 32), 256: (32, 32, 32, 64), 768: (64, 64, 32, 128)}.items():
        sizes = Sizes.official(width)
        assert (sizes.decay, sizes.rate, sizes.value, sizes.gate) == ranks


@pytest.mark.parametrize("layers", [1, 2])
def test_a_fresh_network_learns(layers: int) -> None:
    network, read = fresh(width=64, layers=layers, vocabulary=24), tokens(4, 32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        logits = network(read[:, :-1]).logits_BTV
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), read[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(24), rel=0.05)
    assert losses[-1] < 0.6 * losses[0]


def test_a_width_that_heads_do_not_fill_is_refused() -> None:
    with pytest.raises(UserError, match="width 96 is not a multiple of head_size 64"):
        RWKV7(params.RWKV7(width=96), 50, seeded(0))


# Files


def test_released_files_come_back_as_they_were() -> None:
    weights = official_weights()
    assert "blocks.0.att.v0" not in weights
    network = RWKV7.from_official(weights)
    assert (network.depth, network.width, network.head_size, network.vocabulary) == (2, 128, 64, 24)
    back = network.state_dict()
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_the_network_does_not_share_memory_with_the_file() -> None:
    weights = official_weights()
    network = RWKV7.from_official(weights)
    with torch.no_grad():
        network.head.weight.zero_()
    assert weights["head.weight"].any()
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_files_of_the_training_code_come_back_too() -> None:
    """They hold v0, v1, v2 for layer 0, which nothing reads; kept, but not as parameters."""
    released = official_weights()
    unread = {f"blocks.0.att.{name}": released[f"blocks.1.att.{name}"] for name in ("v0", "v1", "v2")}
    network = RWKV7.from_official({**released, **unread})
    assert network.state_dict().keys() == {**released, **unread}.keys()
    assert not unread.keys() & dict(network.named_parameters()).keys()
    read = tokens(1, 9)
    assert torch.equal(network(read).logits_BTV, RWKV7.from_official(released)(read).logits_BTV)


def test_bfloat16_files_become_float32() -> None:
    coarse = {name: tensor.bfloat16() for name, tensor in official_weights().items()}
    network = RWKV7.from_official(coarse)
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    assert torch.equal(network.state_dict()["head.weight"], coarse["head.weight"].float())


def test_own_weights_go_round() -> None:
    for layers in (1, 3):
        network, read = tiny(layers=layers), tokens(2, 20)
        again = RWKV7.from_official(network.state_dict(), chunk=8)
        assert torch.equal(again(read).logits_BTV, network(read).logits_BTV)


@pytest.mark.parametrize("name", sorted(official_weights()))
def test_a_missing_or_misshapen_tensor_is_named(name: str) -> None:
    weights = official_weights()
    whole = weights.pop(name)
    with pytest.raises(UserError, match=f"{name!r} is missing"):
        RWKV7.from_official(weights)
    for wrong in (whole[..., :-1], whole[None]):
        with pytest.raises(UserError, match="has the shape"):
            RWKV7.from_official({**weights, name: wrong})


def test_a_tensor_of_another_network_is_named() -> None:
    extra = {"blocks.1.ffn.s_emb.weight": torch.zeros(24, 8)}
    with pytest.raises(UserError, match=r"'blocks\.1\.ffn\.s_emb\.weight' is not a tensor of RWKV-7"):
        RWKV7.from_official({**official_weights(), **extra})
