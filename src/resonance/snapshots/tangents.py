"""How a map carries small changes of what it is given: by forward-mode derivatives, or by finite differences.

Shapes: s [n] is where the map is looked at, Q [n, k] holds k directions, J Q [m, k] what becomes of them. Both are
float64 on the CPU; the map itself runs in the precision and on the device of s.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]
"""A function of one tensor [n] to another [m]."""

Method = Literal["jvp", "differences"]
"""jvp: exact up to rounding. differences: (F(s + h q) − F(s − h q)) / 2h, h = ∛ε max(‖s‖, 1) for a q of length 1."""

DOUBT = 0.5
"""From this relative difference on between the two methods, jvp is not believed."""


def push(F: Map, s: Tensor, Q: Tensor, method: Method = "jvp") -> tuple[Tensor, Tensor]:
    """(F(s) [m], J Q [m, k]), where J is the Jacobian of F at s."""
    Q = Q.to(s)
    image, JQ = _by_jvp(F, s, Q) if method == "jvp" else (F(s), _by_differences(F, s, Q, _step(s)))
    return image, JQ.to("cpu", torch.float64)


def floor(s: Tensor, image: Tensor, sizes: Tensor, method: Method = "jvp") -> float:
    """Below this length, what became of a direction is rounding; `sizes` are the lengths of all of them.

    jvp: 100 ε of the greatest, and the least normal number of the precision of s, since products of thousands of decays
    underflow. differences: ε ‖F(s)‖ / h.
    """
    precision = torch.finfo(s.dtype)
    if method == "differences":
        return precision.eps * _length(image) / _step(s)
    return max(100 * precision.eps * float(sizes.max()), precision.tiny)


def method_for(F: Map, s: Tensor, q: Tensor) -> Method:
    """jvp where it works and agrees with differences along q [n], as far as these can tell.

    Code that is not made for forward mode either says so, or loses the derivative without a word (`detach`, or numbers
    that leave torch). Only the comparison finds the second. Where F is too curved for h, a sixteenth of it decides.
    """
    q = (q / q.norm()).to(s)
    try:
        image, exact = push(F, s, q[:, None])
    except RuntimeError:
        return "differences"
    noise = 10 * floor(s, image, exact, "differences")
    for shrunk in (1, 16):
        rough = _by_differences(F, s, q[:, None], _step(s) / shrunk).to(exact)
        larger = float(max(exact.norm(), rough.norm()))
        if larger <= noise * shrunk:  # the differences tell nothing
            return "jvp" if shrunk == 1 else "differences"
        if float((exact - rough).norm()) <= DOUBT * larger:
            return "jvp"
    return "differences"


def _by_jvp(F: Map, s: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """All columns at once, or, where an operation cannot do that, one after another."""

    def along(q: Tensor) -> tuple[Tensor, Tensor]:
        made: tuple[Tensor, Tensor] = torch.func.jvp(F, (s,), (q,))  # type: ignore[assignment]
        return made

    q_KN = Q.mT.contiguous()  # strides of k would make every operation on a tangent several times slower
    if len(q_KN) > 1:
        with suppress(RuntimeError):
            image_KM, moved_KM = torch.func.vmap(along)(q_KN)
            return image_KM[0], moved_KM.mT
    pushed = [along(q) for q in q_KN]
    return pushed[0][0], torch.stack([moved for _, moved in pushed], 1)


def _by_differences(F: Map, s: Tensor, Q: Tensor, h: float) -> Tensor:
    """Central differences, column by column."""
    return torch.stack([(F(s + h * q).double() - F(s - h * q).double()) / (2 * h) for q in Q.unbind(1)], 1)


def _step(s: Tensor) -> float:
    """Where the errors of rounding, ε / h, and of curvature, h², are of one size."""
    return torch.finfo(s.dtype).eps ** (1 / 3) * max(_length(s), 1.0)


def _length(s: Tensor) -> float:
    return float(s.double().norm())
