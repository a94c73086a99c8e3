"""How good estimates are, against scikit-learn and scipy, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, r2_score, roc_auc_score

from resonance.measures import calibration


def planted(seed: int, n: int = 400, coarse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Estimates, some of them equal, and errors that they know something of."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.7, 1.5, n)
    return (p.round(1) if coarse else p), rng.random(n) < p**1.5


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_of_scikit_learn(seed, coarse):
    p, e = planted(seed, coarse=coarse)
    assert calibration.auroc(p, e) == pytest.approx(roc_auc_score(e, p), abs=1e-12)
    assert calibration.brier(p, e) == pytest.approx(brier_score_loss(e, p), abs=1e-12)
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    assert calibration.log_loss(p, e) == pytest.approx(log_loss(e, clipped), abs=1e-12)
    assert calibration.r2(p, e.astype(float)) == pytest.approx(r2_score(e, p), abs=1e-12)
    logit = np.log(clipped / (1 - clipped))[:, None]
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(logit, e)
    assert calibration.slope(p, e) == pytest.approx(fitted.coef_[0, 0], abs=1e-6)


def test_ranks_and_their_correlation():
    rng = np.random.default_rng(0)
    v, d = rng.integers(0, 9, 200).astype(float), rng.standard_normal(200)
    assert calibration.ranks(v).tolist() == rankdata(v).tolist()
    assert calibration.spearman(v, d + v) == pytest.approx(spearmanr(v, d + v).statistic, abs=1e-12)


def test_what_is_not_defined_is_not_a_number():
    flat, steps = np.full(6, 0.3), np.arange(6.0)
    assert np.isnan(calibration.spearman(flat, steps))
    assert np.isnan(calibration.r2(steps, flat))
    error = np.array([False, False, True, True, False, True])
    assert np.isnan(calibration.slope(flat, error))
    assert np.isnan(calibration.slope(steps / 6, steps > 2)), (
        "a threshold parts right from wrong: any slope, the larger"
    )
    assert np.isnan(calibration.slope(np.array([0.1, 0.2, 0.2, 0.3]), np.array([False, False, True, True])))


def test_a_slope_that_is_planted():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 40_000)
    e = rng.random(len(logit)) < 1 / (1 + np.exp(-(0.5 * logit - 1)))
    assert calibration.slope(1 / (1 + np.exp(-logit)), e) == pytest.approx(0.5, abs=0.02)


def test_estimates_at_the_ends():
    """Float32 estimates reach 0 and 1: a mistake there is costly, not infinite."""
    p, e = np.array([0.0, 1.0, 1.0, 0.0, 1.0]), np.array([False, True, False, True, True])
    assert calibration.log_loss(p, e) == pytest.approx(2 / 5 * -np.log(1e-7), rel=1e-6)
    assert np.isfinite(calibration.slope(p, e))


def test_bins_of_equal_width_by_hand():
    p = np.array([0.0, 1 / 15, 0.07, 0.9, 1.0])
    e = np.array([False, True, True, False, True])
    first = abs((0 + 1 / 15) - 1)
    assert calibration.ece_width(p, e) == pytest.approx((first + (1 - 0.07) + 0.9 + 0.0) / 5)
    assert calibration.ece_width(np.full(10, 0.3), np.arange(10) < 3) == pytest.approx(0)


def test_bins_of_equal_mass_by_hand():
    p, e = planted(1, 45)
    order = np.argsort(p)
    wanted = sum(abs(p[part].sum() - e[part].sum()) for part in order.reshape(15, 3)) / 45
    assert calibration.ece_mass(p, e) == pytest.approx(wanted)
    uneven = calibration.ece_mass(np.array([0.2, 0.4]), np.array([False, True]))
    assert uneven == pytest.approx((0.2 + 0.6) / 2)
