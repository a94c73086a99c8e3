"""Numbers as text: millions of them stand in one page, so each is a byte or two, written as base64."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MISSING = 255
"""The byte of a token that was not measured."""

NOWHERE = 65535
"""The coordinate of a segment that has no tokens."""


def in_bytes(values: Floats, top: float) -> NDArray[np.uint8]:
    """Numbers from 0 to `top` as bytes: q = 254 √(v / top), rounded; NaN is MISSING.

    The error is at most √(v top) / 254 + top / 258064, so it is finest near 0.
    """
    share = np.clip(values / top, 0.0, 1.0)
    return np.where(np.isnan(share), MISSING, np.rint(254 * np.sqrt(np.nan_to_num(share)))).astype(np.uint8)


def from_bytes(coded: NDArray[np.uint8], top: float) -> Floats:
    """The inverse of `in_bytes`, as the page computes it."""
    return np.where(coded == MISSING, np.nan, (coded / 254.0) ** 2 * top)


def packed(values: NDArray[Any]) -> str:
    """The bytes of an array, little endian, as base64."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def unpacked(text: str, kind: str, shape: Sequence[int]) -> NDArray[Any]:
    """The inverse of `packed`; kind is a dtype of numpy, such as `<u2`."""
    return np.frombuffer(base64.b64decode(text), dtype=kind).reshape(tuple(shape))


def in_places(points: Floats, low: Floats, span: float) -> NDArray[np.uint16]:
    """Coordinates as two-byte places in a square; NOWHERE for none. The error is at most span / 131068."""
    share = (points - low) / span
    return np.where(np.isnan(share), NOWHERE, np.rint(65534 * np.nan_to_num(share))).astype(np.uint16)
