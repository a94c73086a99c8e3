"""Sharpness against Hessians that are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.optim import SGD, AdamW

from resonance.params import Adamw, Sgd
from resonance.snapshots.curvature import SYMMETRIC, first, hessian, largest, limit, root_of_preconditioner, sharpness

EIGENVALUES = (5.0, 4.0, 1.0, 0.5, 0.0, -2.0, -9.0)


def symmetric(values: tuple[float, ...] = EIGENVALUES, size: int = 30) -> Tensor:
    """A matrix [P, P] with these eigenvalues and 0 otherwise."""
    draws = torch.Generator().manual_seed(1)
    turned = torch.linalg.qr(torch.randn(size, size, generator=draws, dtype=torch.float64)).Q
    return turned[:, : len(values)] @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ turned[:, : len(values)].T


def bowl(H_PP: Tensor) -> tuple[list[Any], list[nn.Parameter]]:
    """Two losses whose mean has this Hessian, of parameters of two shapes; linear terms do not count."""
    draws = torch.Generator().manual_seed(2)
    made = [nn.Parameter(torch.randn(shape, generator=draws, dtype=torch.float64)) for shape in ((4, 5), (10,))]

    def loss(share: float, slope: float) -> Tensor:
        x_P = torch.cat([parameter.flatten() for parameter in made])
        return share * x_P @ H_PP @ x_P / 2 + slope * x_P.sum()

    return [lambda: loss(0.5, 1.0), lambda: loss(1.5, -3.0)], made


def test_the_product_is_that_with_the_hessian_of_the_mean() -> None:
    H_PP = symmetric()
    product, slope_P = hessian(*bowl(H_PP))
    x_P = torch.cat([parameter.detach().flatten() for parameter in bowl(H_PP)[1]])
    torch.testing.assert_close(slope_P, H_PP @ x_P - 1)
    for v_P in torch.eye(30, dtype=torch.float64)[:3]:
        torch.testing.assert_close(product(v_P), H_PP @ v_P, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("values", [EIGENVALUES, (3.0, 2.9), (-1.0, -4.0)])
def test_the_most_positive_eigenvalue_is_found(values: tuple[float, ...]) -> None:
    """Also where a negative one is larger, and where zero is the largest."""
    (product, _), start_P = hessian(*bowl(symmetric(values))), torch.linspace(-1, 1, 30, dtype=torch.float64)
    found, q_P = largest(product, start_P, 30)
    assert float((product(q_P) - found.value * q_P).norm()) == pytest.approx(found.residual, abs=1e-12)
    assert found.value == pytest.approx(max(*values, 0.0), abs=0.01)
    assert found.residual <= 0.01 * abs(found.value) + 1e-9
    assert found.skew < 1e-12


def test_the_residual_says_how_far_the_search_came() -> None:
    losses, made = bowl(symmetric())
    errors = []
    for products in (1, 3, 5):
        (found,) = sharpness(losses, made, products)
        errors.append(5.0 - found.value)
        assert min(abs(found.value - value) for value in (*EIGENVALUES, 0.0)) <= found.residual + 1e-12
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1


def test_the_same_bits_every_time() -> None:
    assert sharpness(*bowl(symmetric()), products=4) == sharpness(*bowl(symmetric()), products=4)


def test_with_a_preconditioner() -> None:
    H_PP = symmetric()
    root_P = torch.linspace(0.1, 2, 30, dtype=torch.float64)
    plain, other = sharpness(*bowl(H_PP), products=30, root_P=root_P)
    wanted = torch.linalg.eigvals(H_PP / root_P.square()[:, None]).real.max()
    assert plain.value == pytest.approx(5.0, rel=1e-3)
    assert other.value == pytest.approx(float(wanted), rel=1e-3)


class Perceptron(nn.Module):
    """Two layers in float64 and four examples."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(3)
        self.inner = nn.Parameter(torch.randn(5, 4, generator=draws, dtype=torch.float64))
        self.outer = nn.Parameter(torch.randn(3, 5, generator=draws, dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.x = torch.randn(4, 4, generator=draws, dtype=torch.float64)

    def loss(self, inner: Tensor, outer: Tensor, unused: Tensor, example: int | slice = slice(None)) -> Tensor:
        scores = (self.x[example] @ inner.T).tanh() @ outer.T
        return -scores.log_softmax(-1)[..., 0].mean()


def test_a_network_against_its_whole_hessian_and_the_state_of_adamw() -> None:
    network, settings = Perceptron(), Adamw(betas=(0.8, 0.95), eps=1e-3)
    parameters = [network.inner, network.outer]
    optimizer = AdamW(parameters, lr=0.01, betas=settings.betas, eps=settings.eps, weight_decay=0.0)
    for _ in range(3):
        network.loss(*network.parameters()).backward()
        optimizer.step()
        optimizer.zero_grad()
    blocks = torch.autograd.functional.hessian(
        lambda inner, outer: network.loss(inner, outer, network.unused), tuple(parameters)
    )
    H_PP = torch.cat([torch.cat([b.reshape(p.numel(), -1) for b in row], 1)
                      for p, row in zip(parameters, blocks, strict=True)])  # fmt: skip
    root_P = root_of_preconditioner(optimizer, parameters, settings)
    scales = [((optimizer.state[p]["exp_avg_sq"] / (1 - 0.95**3)).sqrt() + 1e-3).flatten() for p in parameters]
    P_P = (1 - 0.8**3) * torch.cat(scales)
    losses = [lambda example=example: network.loss(*network.parameters(), example) for example in range(4)]
    plain, other = sharpness(losses, parameters, 35, root_P)
    assert plain.value == pytest.approx(float(torch.linalg.eigvalsh(H_PP)[-1]), rel=1e-3)
    assert other.value == pytest.approx(float(torch.linalg.eigvals(H_PP / P_P[:, None]).real.max()), rel=1e-3)
    product, slope_P = hessian(losses, list(network.parameters()))
    assert product(torch.ones(37, dtype=torch.float64))[-2:].tolist() == slope_P[-2:].tolist() == [0, 0]
    assert (first(slope_P) == 0).nonzero().flatten().tolist() == [35, 36], "no step in a direction that leads nowhere"


def test_the_preconditioner_is_what_a_step_is_divided_by() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    settings = Adamw(lr=0.1, eps=0.3)
    optimizer = AdamW([weight], lr=0.1, betas=settings.betas, eps=settings.eps, weight_decay=0.0)
    for _ in range(4):
        before = weight.detach().clone()
        weight.grad = 2 * before
        optimizer.step()
    root_P = root_of_preconditioner(optimizer, [weight], settings)
    assert root_P is not None
    torch.testing.assert_close(before - weight.detach(), 0.1 * optimizer.state[weight]["exp_avg"] / root_P.square())


def test_only_adamw_that_has_stepped_everything_has_one() -> None:
    weights = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
    assert root_of_preconditioner(SGD(weights), weights, Sgd()) is None
    optimizer = AdamW(weights)
    weights[0].grad = torch.ones(2)
    optimizer.step()
    assert root_of_preconditioner(optimizer, weights, Adamw()) is None
    assert root_of_preconditioner(optimizer, weights[:1], Adamw()) is not None


def test_limits_are_those_of_the_literature() -> None:
    assert limit(Adamw(betas=(0.9, 0.99)), 0.01) == pytest.approx(38 / 0.01)
    assert limit(Sgd(), 0.5) == 4
    assert limit(Sgd(momentum=0.9), 0.5) == pytest.approx(7.6)


@pytest.mark.parametrize(("momentum", "factor"), [(0.0, 0.99), (0.0, 1.01), (0.9, 0.99), (0.9, 1.01)])
def test_beyond_its_limit_descent_on_a_bowl_runs_away(momentum: float, factor: float) -> None:
    losses, made = bowl(symmetric((5.0, 1.0)))
    optimizer = SGD(made, lr=factor * limit(Sgd(momentum=momentum), 1.0) / 5.0, momentum=momentum)
    lengths = []
    for _ in range(400):
        before = [parameter.detach().clone() for parameter in made]
        ((losses[0]() + losses[1]()) / 2 + sum(parameter.sum() for parameter in made)).backward()
        optimizer.step()
        optimizer.zero_grad()
        lengths.append(sum(float((p.detach() - old).square().sum()) for p, old in zip(made, before, strict=True)))
    assert (lengths[-1] > lengths[50]) == (factor > 1)


class Once(torch.autograd.Function):
    """x², with a gradient that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * d


class Twisted(torch.autograd.Function):
    """A sum with M x, M not symmetric, in the place of its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, M: Tensor) -> Tensor:
        ctx.save_for_backward(x, M)
        return x.sum()

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, None]:
        x, M = ctx.saved_tensors
        return M @ x * d, None


def test_what_has_no_second_derivative_has_no_sharpness() -> None:
    """Torch counts the second derivative of the first as 0 and says nothing."""
    weight = nn.Parameter(torch.ones(3))
    assert sharpness([lambda: Once.apply(weight).square().sum()], [weight], 3) == []
    assert sharpness([lambda: (Once.apply(weight) + weight.square()).sum()], [weight], 3) == []
    assert len(sharpness([lambda: weight.square().square().sum()], [weight], 3)) == 1
    assert weight.tolist() == [1, 1, 1]


def test_the_check_leaves_weights_as_they_were() -> None:
    losses, made = bowl(symmetric())
    before = [parameter.detach().clone() for parameter in made]
    sharpness(losses, made, 3)
    assert all(torch.equal(*pair) for pair in zip(made, before, strict=True))


def test_what_is_no_hessian_has_no_sharpness() -> None:
    weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
    upper = torch.triu(torch.ones(3, 3, dtype=torch.float64))
    assert largest(lambda v: upper @ v, torch.ones(3, dtype=torch.float64), 3)[0].skew > SYMMETRIC
    assert sharpness([lambda: Twisted.apply(weight, upper)], [weight], 3) == []
    assert len(sharpness([lambda: Twisted.apply(weight, upper + upper.T)], [weight], 3)) == 1


def test_other_faults_are_not_passed_over() -> None:
    def broken() -> Tensor:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        sharpness([broken], [nn.Parameter(torch.ones(3))], 3)
