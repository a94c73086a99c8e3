"""What becomes of small changes, by both methods, and which of them is believed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from resonance.snapshots.lyapunov import orthonormal
from resonance.snapshots.tangents import Method, floor, method_for, push

N = 6


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


A_NN = random(N, N)


def curved(s: Tensor) -> Tensor:
    return torch.tanh(A_NN.to(s) @ s)


class Tanh(torch.autograd.Function):
    """Says what its derivative is, but not for several directions at once."""

    @staticmethod
    def forward(s: Tensor) -> Tensor:
        return s.tanh()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_forward(output)

    @staticmethod
    def jvp(ctx, moved: Tensor) -> Tensor:
        (image,) = ctx.saved_tensors
        return moved * (1 - image * image)


def one_by_one(s: Tensor) -> Tensor:
    moved: Tensor = Tanh.apply(A_NN.to(s) @ s)
    return moved


def cut_off(s: Tensor) -> Tensor:
    return curved(s.detach()) + 0.1 * s


class NoForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, s: Tensor) -> Tensor:
        return s.tanh()


def refusing(s: Tensor) -> Tensor:
    moved: Tensor = NoForwardMode.apply(s)
    return moved


@pytest.mark.parametrize(("method", "bound"), [("jvp", 1e-14), ("differences", 1e-9)])
@pytest.mark.parametrize("k", [1, 3])
def test_both_methods_give_the_jacobian(method: Method, bound: float, k: int) -> None:
    s, Q = random(N, seed=1), orthonormal(N, k, torch.Generator().manual_seed(2))
    J_NN = torch.autograd.functional.jacobian(curved, s)
    image, JQ = push(curved, s, Q, method)
    torch.testing.assert_close(image, curved(s))
    torch.testing.assert_close(JQ, J_NN @ Q, rtol=0, atol=bound)


def test_columns_go_one_by_one_where_a_map_does_not_take_several() -> None:
    s, Q = random(N, seed=1), orthonormal(N, 2, torch.Generator().manual_seed(2))
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        torch.func.vmap(lambda q: torch.func.jvp(one_by_one, (s,), (q,))[1])(Q.mT)
    torch.testing.assert_close(push(one_by_one, s, Q), push(curved, s, Q))


def test_tangents_are_in_double_precision_and_the_map_in_its_own() -> None:
    s = random(N, seed=1, dtype=torch.float32)
    image, JQ = push(curved, s, orthonormal(N, 2, torch.Generator()))
    assert (image.dtype, JQ.dtype) == (torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("F", "method"), [(curved, "jvp"), (one_by_one, "jvp"), (cut_off, "differences"), (refusing, "differences")]
)
def test_jvp_is_believed_where_it_is_right(F, method: Method, dtype: torch.dtype) -> None:
    """`cut_off` gives a derivative without a word, and a wrong one."""
    assert method_for(F, random(N, seed=1, dtype=dtype), random(N, seed=2)) == method


def test_differences_that_are_all_rounding_do_not_speak_against_jvp() -> None:
    """A contraction by 1e-9 in float32: 2 h moves an image of length 1 by less than its last bit."""
    far = torch.ones(N)
    assert method_for(lambda s: far + 1e-9 * s, far, random(N)) == "jvp"


def test_a_curved_map_is_looked_at_more_closely() -> None:
    """A step h is almost a whole turn of the sine, and gives nothing of the derivative; a sixteenth gives 98 %."""
    s, q = torch.full((N,), 0.1), torch.eye(N)[0]
    h = torch.finfo(torch.float32).eps ** (1 / 3)

    def waves(s: Tensor) -> Tensor:
        return torch.sin(1200 * s) / 1200

    for step, share in ((h, -0.05), (h / 16, 0.98)):
        found = (waves(s + step * q) - waves(s - step * q))[0] / (2 * step)
        assert float(found / torch.cos(1200 * s[0])) == pytest.approx(share, abs=0.02)
    assert method_for(waves, s, q) == "jvp"


def test_what_is_below_the_floor_is_rounding() -> None:
    s = torch.ones(4)
    eps = torch.finfo(torch.float32).eps
    assert floor(s, s, torch.tensor([2.0, 1e-9])) == pytest.approx(200 * eps)
    assert floor(s, s, torch.zeros(2)) == torch.finfo(torch.float32).tiny
    # ‖s‖ = 2: h is 2 ∛ε, and the last bit of an image of length 2 over h is ε^(2/3)
    assert floor(s, s, torch.ones(2), "differences") == pytest.approx(eps ** (2 / 3))
