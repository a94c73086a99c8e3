"""The rule of TTT-Linear: two forms of one function, the inner gradient, states inside a block, derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from resonance.networks.ttt import EPS, Fast, Rule, dual, folded, inner_gradient, layer_norm, primal, ttt_linear

BLOCK = 8
F64 = torch.float64


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=F64).to(dtype)


def rule(dtype: torch.dtype = F64, H: int = 2, size: int = 6, block: int = BLOCK) -> Rule:
    """Scales that are not 1/i, one of them 0, and gains and offsets that matter."""
    scales = (1 / torch.arange(1, block + 1) + 0.2 * draw(block, seed=90)).clamp_min(0).to(dtype)
    return Rule(scales, 1 + 0.3 * draw(H, 1, size, seed=91, dtype=dtype), 0.3 * draw(H, 1, size, seed=92, dtype=dtype))


def inputs(T: int, dtype: torch.dtype = F64, B: int = 2, H: int = 2, size: int = 6) -> tuple[Tensor, ...]:
    q, k, v = (draw(B, H, T, size, seed=seed, dtype=dtype) for seed in (1, 2, 3))
    return q, k, v, draw(B, H, T, seed=4, dtype=dtype).sigmoid() / size


def start(J: int = 0, dtype: torch.dtype = F64, B: int = 2, H: int = 2, size: int = 6) -> Fast:
    """Fast weights with J tokens in an unfinished block."""
    keys, steps = draw(B, H, J, size, seed=6, dtype=dtype), 0.1 * draw(B, H, J, size, seed=7, dtype=dtype)
    return Fast(0.5 * draw(B, H, size + 1, size, seed=5, dtype=dtype), keys, steps)


def error(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().max() / expected.std()).detach()) if expected.numel() else 0.0


def by_the_book(
    q: Tensor, k: Tensor, v: Tensor, rates: Tensor, W: Tensor, b: Tensor, rule: Rule, mistake: str = ""
) -> Tensor:
    """One head, [T, F], block by block; the inner gradient by autograd, all of W_i written out. Returns y."""
    gain, offset = rule.gain_H1F[0, 0], rule.offset_H1F[0, 0]
    y, C, size = [], len(rule.scales_C), q.shape[1]

    def norm(z: Tensor) -> Tensor:
        spread = z.var(unbiased=mistake == "unbiased variance") + (
            1e-5 if mistake == "norm with the usual eps" else EPS
        )
        return gain * (z - z.mean()) / spread.sqrt() + offset

    def loss(W: Tensor, b: Tensor, j: int) -> Tensor:
        target = v[j] if mistake == "target without its key" else v[j] - k[j]
        found = k[j] @ W + b
        found = found if mistake == "no norm inside" else norm(found)
        return (found - target).square().sum() / (1 if mistake == "loss not halved" else 2)

    for first in range(0, len(q), C):
        W_i, b_i = W, b
        for i in range(min(C, len(q) - first)):
            scale = 1.0 if mistake == "no scale" else rule.scales_C[i]
            W_i, b_i = W.clone(), b.clone()
            for j in range(i if mistake == "own step left out" else i + 1):
                at = (W_i, b_i) if mistake == "gradients at the newest weights" else (W, b)
                dW, db = torch.func.grad(loss, argnums=(0, 1))(*at, first + j)
                W_i = W_i - scale * rates[first + (i if mistake == "rate of the reader" else j)] * dW
                if mistake != "b is not trained":
                    b_i = b_i - scale * rates[first + j] * db
            z = q[first + i] @ W_i + b_i
            y.append((0 if mistake == "no residual" else q[first + i]) + norm(z))
        W, b = W_i, b_i
        assert size == len(b)
    return torch.stack(y)


MISTAKES = (
    "unbiased variance",
    "norm with the usual eps",
    "target without its key",
    "no norm inside",
    "loss not halved",
    "no scale",
    "own step left out",
    "gradients at the newest weights",
    "rate of the reader",
    "b is not trained",
    "no residual",
)


def test_the_rule_is_the_published_one_and_no_usual_mistake() -> None:
    """Both forms against a version whose inner gradients are autograd's; small z, so that eps is seen too."""
    q, k, v, rates = (x[:1, :1] for x in inputs(11))
    fast = start()
    fast = Fast(0.02 * fast.weights[:1, :1], fast.keys[:1, :1], fast.steps[:1, :1])
    one = rule(H=1)
    args = (q[0, 0], k[0, 0], v[0, 0], rates[0, 0], fast.weights[0, 0, :-1], fast.weights[0, 0, -1], one)
    book = by_the_book(*args)
    for form in (primal, dual):
        y, _ = form(q, k, v, rates, fast, one)
        assert error(y[0, 0], book) < 1e-10
    for mistake in MISTAKES:
        assert error(by_the_book(*args, mistake), book) > 1e-4, mistake


@pytest.mark.parametrize(("dtype", "bound"), [(F64, 1e-10), (torch.float32, 1e-6)])
def test_the_inner_gradient_is_that_of_the_inner_loss(dtype: torch.dtype, bound: float) -> None:
    """In parts of its largest entry."""
    z, target, own = draw(2, 2, 5, 6, seed=1, dtype=dtype), draw(2, 2, 5, 6, seed=2, dtype=dtype), rule(dtype)

    def loss(z: Tensor) -> Tensor:
        return (layer_norm(z, own) - target).square().sum() / 2

    expected = torch.func.grad(loss)(z)
    assert (inner_gradient(z, target, own) - expected).abs().max() < bound * expected.abs().max()


@pytest.mark.parametrize(("dtype", "bound"), [(F64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("J", [0, 3, BLOCK - 1])
@pytest.mark.parametrize("T", [1, 5, BLOCK, BLOCK + 1, 41])
def test_dual_is_primal(T: int, J: int, dtype: torch.dtype, bound: float) -> None:
    """Outputs, the state after them, and gradients of both with respect to all that goes in."""
    results = []
    for form in (primal, dual):
        own, given, fast = rule(dtype), inputs(T, dtype), start(J, dtype)
        leaves = [*given, *(x for x in fast if x.numel()), own.scales_C, own.gain_H1F, own.offset_H1F]
        for leaf in leaves:
            leaf.requires_grad_(True)
        y, after = form(*given, fast, own)
        loss = sum((x * draw(*x.shape, seed=seed, dtype=dtype)).sum() for seed, x in enumerate((y, *after)))
        results.append([y, *after, *torch.autograd.grad(loss, leaves)])
    for found, expected in zip(results[1], results[0], strict=True):
        assert found.shape == expected.shape
        assert error(found, expected) < bound


@pytest.mark.parametrize("block", [1, 3, 64])
def test_any_block(block: int) -> None:
    """One token per block is online gradient descent; one block for all is batch gradient descent."""
    own, given, fast = rule(block=block), inputs(23), start()
    for found, expected in zip(dual(*given, fast, own)[1], primal(*given, fast, own)[1], strict=True):
        assert error(found, expected) < 1e-10
    assert error(dual(*given, fast, own)[0], primal(*given, fast, own)[0]) < 1e-10


@pytest.mark.parametrize(("dtype", "bound"), [(F64, 1e-10), (torch.float32, 1e-5)])
def test_a_split_sequence_is_the_whole(dtype: torch.dtype, bound: float) -> None:
    own, given = rule(dtype), inputs(37, dtype)
    y, end = ttt_linear(*given, start(3, dtype), own)
    for cuts in ([5, 32], [1, 36], [13, 1, 2, 21], [3, 1, 1, 20, 12], [8, 8, 21], [1] * 37):
        fast, found = start(3, dtype), []
        for part in zip(*(x.split(cuts, 2) for x in given), strict=True):
            y_part, fast = ttt_linear(*part, fast, own)
            found.append(y_part)
        assert error(torch.cat(found, 2), y) < bound
        assert fast.keys.shape == end.keys.shape == (2, 2, (3 + 37) % BLOCK, 6)
        assert all(error(x, z) < bound for x, z in zip(fast, end, strict=True))


def test_folding_gives_the_weights_that_the_last_token_was_read_with() -> None:
    own, (q, k, v, rates), size = rule(), inputs(13), 6
    y, fast = dual(q, k, v, rates, start(), own)
    assert fast.keys.shape[2] == 13 - BLOCK
    now = folded(fast, own)
    W, b = now.weights.split([size, 1], 2)
    assert error(q[:, :, -1:] + layer_norm(q[:, :, -1:] @ W + b, own), y[:, :, -1:]) < 1e-10
    assert now.keys.shape == now.steps.shape == (2, 2, 0, size)
    assert all(x is z for x, z in zip(folded(now, own), now, strict=True))
    whole = dual(*inputs(16), start(), own)[1]
    assert whole.keys.shape[2] == 0


def test_the_memory_learns_what_it_reads() -> None:
    """Values that are a fixed function of their keys are found: the inner loss falls a hundredfold."""
    size, T, C = 6, 400, 16
    plain = Rule(
        1 / torch.arange(1, C + 1, dtype=F64), torch.ones(1, 1, size, dtype=F64), torch.zeros(1, 1, size).double()
    )
    k = draw(1, 1, T, size, seed=1)
    aim = layer_norm(k @ draw(size, size, seed=2), plain)
    before = Fast(0.3 * draw(1, 1, size + 1, size, seed=3), k[:, :, :0], k[:, :, :0])
    _, after = dual(k, k, k + aim, torch.full((1, 1, T), 0.5, dtype=F64), before, plain)

    def loss(fast: Fast) -> Tensor:
        return (layer_norm(k @ fast.weights[:, :, :size] + fast.weights[:, :, size:], plain) - aim).square().mean()

    assert loss(after) < 0.01 * loss(before)


def test_gradients_are_those_of_finite_differences() -> None:
    own = rule(block=3, H=1, size=4)
    leaves = [*inputs(4, B=1, H=1, size=4), *start(1, B=1, H=1, size=4), own.scales_C, own.gain_H1F, own.offset_H1F]
    for leaf in leaves:
        leaf.requires_grad_(True)

    def run(q: Tensor, k: Tensor, v: Tensor, rates: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        y, after = dual(q, k, v, rates, Fast(*others[:3]), Rule(*others[3:]))
        return (y, *(x for x in after if x.numel()))

    assert torch.autograd.gradcheck(run, leaves, check_forward_ad=True)


def test_low_precision_is_computed_in_float32() -> None:
    own, given, fast = rule(torch.float32), inputs(30, torch.float32), start(3, torch.float32)
    coarse = [x.bfloat16() for x in given]
    exact, end = ttt_linear(*(x.float() for x in coarse), fast, own)
    with torch.autocast("cpu", torch.bfloat16):
        y, after = ttt_linear(*coarse, fast, own)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, exact.bfloat16())
    assert all(x.dtype == torch.float32 and torch.equal(x, z) for x, z in zip(after, end, strict=True))


def test_nothing_is_changed_in_place() -> None:
    own = rule()
    for T in (1, 5, 30):
        given, fast = inputs(T), start(3)
        before = [x.clone() for x in (*given, *fast)]
        ttt_linear(*given, fast, own)
        assert all(torch.equal(x, z) for x, z in zip((*given, *fast), before, strict=True))
