"""How sharply the loss bends: the largest eigenvalue of its Hessian, also as an adaptive optimizer sees it.

The Hessian is never formed: gradients are differentiated once more, along one vector at a time. P numbers are trained.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import grad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from resonance import params
from resonance.learning.moment import generator

logger = logging.getLogger(__name__)

Product = Callable[[Tensor], Tensor]
"""v [P] → A v [P] of a symmetric matrix A."""

TOLERANCE = 0.01
"""The search ends where |A q - value q| is below this share of the value; the value is then better known than that."""
SYMMETRIC = 0.05
"""Most of a skew that passes for rounding."""
NEAR = 0.1
"""Share by which the curvature that differences of gradients find may differ from the sharpness."""
LENGTHS = (1e-1, 1e-2, 1e-3)
"""Of the differences; the losses bend too much over the longer ones where they are sharp, and where they are flat the
shorter ones drown in rounding."""
ONCE = ("once_differentiable", "is not implemented")
"""What torch says of a graph that can be differentiated once only."""


class Eigenvalue(NamedTuple):
    """value: of the matrix, as far as it is known. residual: |A q - value q|, q of length 1: one of its eigenvalues is
    no farther from `value` than this. skew: how far what was seen of the matrix is from symmetric, as a share.
    """

    value: float
    residual: float
    skew: float


def sharpness(
    losses: Sequence[Callable[[], Tensor]], parameters: Sequence[Tensor], products: int, root_P: Tensor | None = None
) -> list[Eigenvalue]:
    """Of the Hessian H of the mean of `losses` (each makes a scalar with its graph): its largest eigenvalue.

    With root_P [P] a second one follows, of diag(root)⁻¹ H diag(root)⁻¹, which has the eigenvalues of diag(root²)⁻¹ H.
    products: at most so many products with H for each of them. Nothing where the losses cannot be differentiated twice.
    Torch does not always say so: a part that has no second derivative may count as one that is 0. So what was found
    must be symmetric, and must be how the gradients really change.
    """
    try:
        # The fused kernels of attention have no second derivative.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            product, slope_P = hessian(losses, parameters)
            start_P = first(slope_P)
            plain, along_P = largest(product, start_P, products)
            found = [plain]
            if root_P is not None:
                found.append(largest(lambda v_P: product(v_P / root_P) / root_P, start_P, products)[0])
    except RuntimeError as error:
        if not any(words in str(error) for words in ONCE):
            raise
        logger.info("no sharpness: %s", error)
        return []
    if max(each.skew for each in found) > SYMMETRIC or not confirmed(plain.value, along_P, losses, parameters):
        logger.info("no sharpness: what was found is no Hessian of this loss (%s)", found)
        return []
    return found


def confirmed(
    value: float, along_P: Tensor, losses: Sequence[Callable[[], Tensor]], parameters: Sequence[Tensor]
) -> bool:
    """Whether differences of gradients find the same curvature along a direction, over one of three lengths."""
    own = [parameter.detach().clone() for parameter in parameters]

    def slope(length: float) -> float:
        with torch.no_grad():
            for parameter, old, way in zip(parameters, own, unpacked(along_P, parameters), strict=True):
                parameter.copy_(old + length * way)
        with torch.enable_grad():
            found = grad(torch.stack([loss() for loss in losses]).mean(), parameters, allow_unused=True)
        return float(packed(found, parameters).double() @ along_P.double())

    try:
        for length in LENGTHS:
            curvature = (slope(length) - slope(-length)) / (2 * length)
            if abs(curvature - value) <= NEAR * max(abs(curvature), abs(value)):
                return True
    finally:
        with torch.no_grad():
            for parameter, old in zip(parameters, own, strict=True):
                parameter.copy_(old)
    return False


def hessian(losses: Sequence[Callable[[], Tensor]], parameters: Sequence[Tensor]) -> tuple[Product, Tensor]:
    """v [P] → H v [P] for the Hessian of the mean of the losses, and its gradient [P]; graphs are made once."""
    graphs = [grad(loss() / len(losses), parameters, create_graph=True, allow_unused=True) for loss in losses]

    def product(v_P: Tensor) -> Tensor:
        along = unpacked(v_P, parameters)
        whole_P = torch.zeros_like(v_P)
        for slopes in graphs:
            used = [(g, v) for g, v in zip(slopes, along, strict=True) if g is not None and g.requires_grad]
            if used:
                outputs, vectors = zip(*used, strict=True)
                found = grad(outputs, parameters, vectors, retain_graph=True, allow_unused=True)
                whole_P += packed(found, parameters)
        return whole_P

    return product, torch.stack([packed(slopes, parameters).detach() for slopes in graphs]).sum(0)


def largest(product: Product, start_P: Tensor, products: int) -> tuple[Eigenvalue, Tensor]:
    """The largest (most positive) eigenvalue, looked for among all directions that `products` products lead to; and q.

    Lanczos, with every new direction made orthogonal to all earlier ones. A value that is too small by more than the
    residual is possible where the start has next to no share in the leading direction.
    """
    size = min(products, len(start_P))
    Q_KP, W_KP = start_P.new_zeros(size, len(start_P)), start_P.new_zeros(size, len(start_P))
    Q_KP[0] = start_P / start_P.norm()
    for k in range(size):
        W_KP[k] = product(Q_KP[k])
        seen_KP, made_KP = Q_KP[: k + 1], W_KP[: k + 1]
        T_KK = (seen_KP @ made_KP.T).double()
        values_K, vectors_KK = torch.linalg.eigh((T_KK + T_KK.T) / 2)
        value, y_K = float(values_K[-1]), vectors_KK[:, -1].to(start_P)
        q_P = y_K @ seen_KP
        residual = float((y_K @ made_KP - value * q_P).norm())
        rest_P = W_KP[k]
        for _ in range(2):  # once leaves rounding of the size of what was taken away
            rest_P = rest_P - (seen_KP @ rest_P) @ seen_KP
        if residual <= TOLERANCE * abs(value) or k + 1 == size or not rest_P.norm() > 0:
            break
        Q_KP[k + 1] = rest_P / rest_P.norm()
    return Eigenvalue(value, residual, float((T_KK - T_KK.T).norm() / T_KK.norm().clamp(min=1e-300))), q_P


def root_of_preconditioner(
    optimizer: Optimizer, parameters: Sequence[Tensor], settings: params.Adamw | params.Sgd
) -> Tensor | None:
    """√ of P = (1 - b1^t) (√(v / (1 - b2^t)) + eps), by which AdamW divides its momentum after t steps: [P].

    Cohen et al. 2022, arXiv 2207.14484. None for other optimizers, and where a parameter was never stepped.
    """
    if not isinstance(settings, params.Adamw) or any(p not in optimizer.state for p in parameters):
        return None
    b1, b2 = settings.betas
    roots = []
    for parameter in parameters:
        state = optimizer.state[parameter]
        t = float(state["step"])
        scale = (1 - b1**t) * ((state["exp_avg_sq"] / (1 - b2**t)).sqrt() + settings.eps)
        roots.append(scale.sqrt().flatten())
    return torch.cat(roots)


def limit(settings: params.Adamw | params.Sgd, rate: float) -> float:
    """The sharpness above which steps of this rate on a quadratic run away: of P⁻¹H for AdamW, of H for SGD.

    (2 + 2 b1) / ((1 - b1) rate), 38 / rate at b1 = 0.9; (2 + 2 m) / rate with momentum m, 2 / rate without.
    """
    if isinstance(settings, params.Adamw):
        b1 = settings.betas[0]
        return (2 + 2 * b1) / ((1 - b1) * rate)
    return (2 + 2 * settings.momentum) / rate


def first(slope_P: Tensor) -> Tensor:
    """A direction [P] to start from, always the same, among the weights that the gradient would move.

    Others, such as embeddings of tokens that do not occur, lead nowhere; and LoReFT keeps signs among its weights, of
    which none can be half a step away.
    """
    start_P = torch.randn(len(slope_P), generator=generator(0, "sharpness"), dtype=torch.float64).to(slope_P)
    moved_P = slope_P != 0
    return start_P * moved_P if moved_P.any() else start_P


def packed(tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    """All numbers in a row [P]; what is missing is 0."""
    pairs = zip(tensors, like, strict=True)
    return torch.cat([(torch.zeros_like(p) if tensor is None else tensor).flatten() for tensor, p in pairs])


def unpacked(v_P: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of `packed`."""
    return [part.view_as(p) for part, p in zip(v_P.split([p.numel() for p in like]), like, strict=True)]
