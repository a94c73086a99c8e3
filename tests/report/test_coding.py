from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from resonance.report.coding import MISSING, NOWHERE, from_bytes, in_bytes, in_places, packed, unpacked


@given(some.floats(0, 1), some.floats(0.01, 100))
def test_a_number_comes_back_within_the_error_that_is_told(share: float, top: float) -> None:
    value = share * top
    back = float(from_bytes(in_bytes(np.array([value]), top), top)[0])
    assert abs(back - value) <= np.sqrt(value * top) / 254 + top / 258064 + 1e-9 * top


def test_ends_and_what_is_missing() -> None:
    coded = in_bytes(np.array([0.0, 2.0, 3.0, np.nan, -1e-9]), 2.0)
    assert coded.tolist() == [0, 254, 254, MISSING, 0]
    assert from_bytes(coded, 2.0)[:3].tolist() == [0.0, 2.0, 2.0]
    assert np.isnan(from_bytes(coded, 2.0)[3])


def test_order_is_kept() -> None:
    values = np.linspace(0, 2, 1000)
    assert (np.diff(in_bytes(values, 2.0).astype(int)) >= 0).all()
    assert len(np.unique(in_bytes(values, 2.0))) > 200


def test_places_come_back_within_the_error_that_is_told() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 2)) * 7
    points[3] = np.nan
    low = np.nanmin(points, axis=0)
    span = float((np.nanmax(points, axis=0) - low).max())
    coded = in_places(points, low, span)
    assert coded[3].tolist() == [NOWHERE, NOWHERE]
    back = low + coded.astype(float) / 65534 * span
    assert np.nanmax(np.abs(np.delete(back - points, 3, axis=0))) <= span / 131068 * (1 + 1e-9)


@pytest.mark.parametrize(("kind", "code"), [(np.uint8, "u1"), (np.uint16, "<u2")])
def test_arrays_are_packed_in_order(kind: type, code: str) -> None:
    values = np.arange(24, dtype=kind).reshape(2, 3, 4)
    assert (unpacked(packed(values), code, (2, 3, 4)) == values).all()
    assert packed(np.array([1, 256], "<u2")) == "AQAAAQ=="
    assert packed(np.array([1, 256], ">u2")) == "AQAAAQ=="
