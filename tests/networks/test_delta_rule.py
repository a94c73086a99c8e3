"""The chunked delta rule is the recurrence: values, states and gradients, also where the decay is strongest."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from resonance.networks import delta_rule
from resonance.networks.delta_rule import chunked, recurrent

STRONGEST = -math.exp(-0.5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are slower on several threads, much slower where others use them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn(T: int, N: int, dtype: torch.dtype, B: int = 2, H: int = 3, strongest: bool = False) -> list[Tensor]:
    """r, log_w, k, v, a, b, state as RWKV-7 makes them: a = -unit vector, b = unit vector × rate in (0, 1)."""
    generator = torch.Generator().manual_seed(T * 1000 + N)
    r, k, v, removed = (torch.randn(B, T, H, N, generator=generator, dtype=torch.float64) for _ in range(4))
    removed = torch.nn.functional.normalize(removed, dim=-1)
    rate, decay = (torch.rand(B, T, H, N, generator=generator, dtype=torch.float64) for _ in range(2))
    log_w = STRONGEST * (torch.ones_like(decay) if strongest else decay)
    state = torch.randn(B, H, N, N, generator=generator, dtype=torch.float64)
    return [x.to(dtype).requires_grad_() for x in (r, log_w, k, v, -removed, removed * rate, state)]


def error(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().max() / expected.std()).detach())


@pytest.mark.parametrize("strongest", [False, True])
@pytest.mark.parametrize(("T", "chunk"), [(1, 4), (7, 16), (32, 16), (33, 16), (96, 32), (101, 32), (150, 64)])
def test_chunked_is_recurrent(T: int, chunk: int, strongest: bool) -> None:
    """In float32, e^{-g} costs a digit, and gradients sum over more terms that cancel than values do."""
    for dtype, allowed, allowed_gradient in ((torch.float64, 1e-10, 1e-10), (torch.float32, 1e-5, 3e-5)):
        inputs = drawn(T, 16, dtype, strongest=strongest)
        results = []
        for y, state in (recurrent(*inputs), chunked(*inputs, chunk)):
            generator = torch.Generator().manual_seed(1)
            weights = [torch.randn(x.shape, generator=generator).to(dtype) for x in (y, state)]
            loss = (y * weights[0]).sum() + (state * weights[1]).sum()
            results.append([y, state, *torch.autograd.grad(loss, inputs)])
        for index, (expected, found) in enumerate(zip(*results, strict=True)):
            assert error(found, expected) < (allowed if index < 2 else allowed_gradient)


def test_longest_chunk_stays_inside_float32() -> None:
    """e^{-g} reaches 5e33 at 128 tokens of strongest decay: no overflow, a few digits are lost."""
    inputs = drawn(256, 64, torch.float32, B=1, H=1, strongest=True)
    expected, found = recurrent(*inputs), chunked(*inputs, 128)
    assert error(found[0], expected[0]) < 5e-5
    assert error(found[1], expected[1]) < 5e-5
    gradients = torch.autograd.grad(found[0].square().sum(), inputs)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # torch itself, in forward mode
def test_gradients_are_those_of_finite_differences() -> None:
    inputs = drawn(5, 3, torch.float64, B=1, H=2)
    assert torch.autograd.gradcheck(lambda *x: chunked(*x, 2), inputs, check_forward_ad=True)
    assert torch.autograd.gradcheck(recurrent, inputs, check_forward_ad=True)


@pytest.mark.parametrize("T", [1, delta_rule.SHORT, delta_rule.SHORT + 1, 40])
def test_either_form_is_computed_in_float32_at_least(T: int) -> None:
    """bfloat16 inputs, and float32 inputs under autocast, give what float32 gives for the same numbers."""
    coarse = [x.detach().bfloat16() for x in drawn(T, 16, torch.float32)]
    fine = [x.float() for x in coarse]
    y, state = delta_rule.delta_rule(*fine, 16)
    coarse_y, coarse_state = delta_rule.delta_rule(*coarse[:6], fine[6], 16)
    assert coarse_y.dtype == torch.bfloat16
    assert torch.equal(coarse_y, y.bfloat16())
    assert torch.equal(coarse_state, state)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(delta_rule.delta_rule(*fine, 16)[0], y)
