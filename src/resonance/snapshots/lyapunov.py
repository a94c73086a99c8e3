"""Does a map shrink small differences or enlarge them? Lyapunov exponents and the spectral radius.

Sources: Benettin, Galgani, Giorgilli, Strelcyn 1980, Meccanica 15, 9 (exponents by QR); Arnoldi 1951, Quarterly of
Applied Mathematics 9, 17 (eigenvalues from v, J v, J² v, ...). Tangents are float64 on the CPU.

Shapes: s [n], tangents Q [n, k], a basis V [n, K] of all directions seen, its projection H = Vᵀ J V [K, K].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from resonance.snapshots.tangents import Map, Method, floor, push

PRODUCTS = 20
"""At most so many products of the Jacobian with a block of tangents for a spectral radius."""

EPS = torch.finfo(torch.float64).eps

TOLERANCE = 0.02
"""A spectral radius is found once a Jacobian that differs by no more than this share of it has it exactly, and ..."""

CHANGE = 0.005
"""... the last product has changed it by no more than this share: a tilted one may pass the first test by chance."""


def orthonormal(n: int, k: int, generator: Generator) -> Tensor:
    """k random directions [n, k], at most n."""
    return torch.linalg.qr(torch.randn(n, min(k, n), generator=generator, dtype=torch.float64)).Q


def log_growth(maps: Iterable[Map], s: Tensor, Q: Tensor, method: Method = "jvp") -> Tensor:
    """log |R_ii| for each of the maps s → F(s) → F'(F(s)) → ..., float64 [maps, k]; their mean over maps is λ_i.

    The tangents Q go with s: J Q = Q' R, and Q' goes on. Random ones turn into the directions of greatest growth in the
    first rows: leave these out of a mean, or begin with those of `leading`. A growth that cannot be told from rounding
    (`tangents.floor`) is NaN.
    """
    rows = []
    for F in maps:
        image, JQ = push(F, s, Q, method)
        Q, R = torch.linalg.qr(JQ)
        sizes = R.diagonal().abs()
        known = sizes >= floor(s, image, sizes, method)
        rows.append(torch.where(known, sizes, torch.nan).log())
        s = image
    return torch.stack(rows)


class Leading(NamedTuple):
    """What `leading` found: the spectral radius, and k orthonormal tangents along the eigenvalues of greatest modulus.

    residual: ‖J y − θ y‖ / |θ| of the approximate eigenpair θ, y with the greatest |θ|, where ‖y‖ = 1. products: of the
    Jacobian with k tangents. found: whether the radius is as near as was asked for.
    """

    radius: float
    Q: Tensor
    residual: float
    products: int
    found: bool = False


def leading(maps: Sequence[Map], s: Tensor, Q: Tensor, method: Method = "jvp", products: int = PRODUCTS) -> Leading:
    """Greatest |eigenvalue| of the Jacobian J at s of the maps one after another, which lead back to n numbers.

    Arnoldi's iteration on the block Q: a power iteration that keeps all it has seen as an orthonormal basis V, takes
    the eigenvalues θ of H, and stops by residual and change. They may be complex, so a leading complex pair needs no
    care; k equal eigenvalues are seen as such. NaN where a product is not finite.
    """
    V, newest = Q, Q
    H = torch.zeros(Q.shape[1], 0, dtype=torch.float64)
    best = Leading(float("nan"), Q, float("inf"), 0)
    for number in range(1, products + 1):
        JQ = product(maps, s, newest, method)
        if not JQ.isfinite().all():
            return best
        along, rest = _projected(V, JQ)
        H = torch.cat([H, along], 1)
        directions, sizes, turned = torch.linalg.svd(rest, full_matrices=False)
        left = sizes[:, None] * turned
        before, best = best.radius, _ritz(V, H, left, Q.shape[1], number)
        new = sizes > EPS * V.shape[1] * JQ.norm()
        if not new.any():
            return best._replace(found=True)
        if best.residual <= TOLERANCE and abs(best.radius - before) <= CHANGE * best.radius:
            return best._replace(found=True)
        newest = directions[:, new]
        H = torch.cat([H, pad(left[new], (H.shape[1] - left.shape[1], 0))])
        V = torch.cat([V, newest], 1)
    return best


def product(maps: Sequence[Map], s: Tensor, Q: Tensor, method: Method = "jvp") -> Tensor:
    """J Q, J the Jacobian at s of the maps one after another.

    The length is taken out after each: only what a single map does to it must fit into the precision of s.
    """
    length = 1.0
    for F in maps:
        s, Q = push(F, s, Q, method)
        norm = float(Q.norm()) or 1.0
        Q, length = Q / norm, length * norm
    return Q * length


def _projected(V: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """(C, W − V C) where the rest is orthogonal to V; the second pass takes away what rounding left of the first."""
    C = V.T @ W
    W = W - V @ C
    again = V.T @ W
    return C + again, W - V @ again


def _ritz(V: Tensor, H: Tensor, left: Tensor, k: int, products: int) -> Leading:
    """From the eigenpairs θ, y of H; `left`: what the products with the newest directions, V's last, left outside V."""
    values, vectors = torch.linalg.eig(H)
    order = values.abs().argsort(descending=True, stable=True)
    y = vectors[:, order[0]]
    radius = float(values[order[0]].abs())
    outside = float((left.to(y) @ y[-left.shape[1] :]).norm() / y.norm())
    residual = outside / radius if radius > 0 else 0.0 if outside == 0 else float("inf")
    # Of a conjugate pair one gives the real part and the other the imaginary one: together they span its plane.
    real = torch.where(values.imag >= 0, vectors.real, vectors.imag)[:, order[:k]]
    return Leading(radius, torch.linalg.qr(V @ real).Q, residual, products)
