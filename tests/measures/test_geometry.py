from collections.abc import Callable

import numpy as np
import pytest

from resonance.measures import geometry
from resonance.measures.geometry import participation_ratio


def with_variances(*variances: float) -> np.ndarray:
    """Centred vectors whose covariance has exactly these eigenvalues, in a turned basis."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, len(variances)))
    q, _ = np.linalg.qr(x - x.mean(0))
    return q * np.sqrt(variances) @ np.linalg.qr(rng.standard_normal((len(variances),) * 2))[0]


def test_equal_variances_count_dimensions() -> None:
    assert participation_ratio(with_variances(2, 2, 2, 2, 2)) == pytest.approx(5, abs=1e-10)


def test_unequal_variances_by_hand() -> None:
    assert participation_ratio(with_variances(3, 1)) == pytest.approx(16 / 10, abs=1e-10)
    assert participation_ratio(with_variances(5, 0, 0)) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize(("n", "d"), [(40, 12), (12, 40)])
def test_parity_with_eigenvalues(n: int, d: int) -> None:
    x = np.random.default_rng(1).standard_normal((n, d)) * np.arange(1, d + 1)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T))
    assert participation_ratio(x) == pytest.approx(eigenvalues.sum() ** 2 / np.square(eigenvalues).sum(), abs=1e-8)


def test_scale_shift_and_rotation_change_nothing() -> None:
    x = with_variances(4, 2, 1)
    for scale in (1e-200, 1.0, 1e150):
        assert participation_ratio(scale * x) == pytest.approx(49 / 21, abs=1e-10)
    assert participation_ratio(x + 100) == pytest.approx(49 / 21, abs=1e-8)


def test_what_does_not_vary_has_none() -> None:
    assert np.isnan(participation_ratio(np.full((9, 4), 0.3)))


def test_rows_per_layer_direction_and_side(synthetic: Callable) -> None:
    run = synthetic(cycles=(0, 2), probes=("unrelated",)).write()
    rows = list(geometry.measure(run))
    assert len(rows) == 2 * 2 * (4 * 2 + 1)
    found = {(r.cycle, r.layer, r.direction, r.condition): r.value for r in rows}
    own = run.snapshots.at(2).layer(1)
    assert found[2, 1, "1>2", "target"] == participation_ratio(own.where("1>2", "target").vectors)
    assert found[2, 1, "probe", "unrelated"] == participation_ratio(own.where("probe", text="unrelated").vectors)
