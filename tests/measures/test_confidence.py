from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score

from resonance.measures import confidence
from resonance.measures.confidence import BINS, bin_of, judged


def predictions(n: int = 400, seed: int = 0) -> pd.DataFrame:
    """Predictions that are a little too sure."""
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 1, n)
    return pd.DataFrame({"confidence": p.astype(np.float32), "correct": rng.random(n) < p**2})


def test_parity_with_scikit_learn() -> None:
    rows = predictions()
    p, hit = rows["confidence"].to_numpy(np.float64), rows["correct"].to_numpy()
    found = judged(rows)
    assert found["brier"] == pytest.approx(brier_score_loss(hit, p), abs=1e-12)
    assert found["auroc"] == pytest.approx(roc_auc_score(hit, p), abs=1e-12)
    shares, means = calibration_curve(hit, p, n_bins=BINS)
    bins = [k for k in range(BINS) if f"weight_{k}" in found]
    assert [found[f"reliability_{k}"] for k in bins] == pytest.approx(shares.tolist(), abs=1e-12)
    assert [found[f"confidence_{k}"] for k in bins] == pytest.approx(means.tolist(), abs=1e-12)


def test_the_curve_sums_to_its_error() -> None:
    found = judged(predictions())
    bins = [k for k in range(BINS) if f"weight_{k}" in found]
    assert sum(found[f"weight_{k}"] for k in bins) == pytest.approx(1)
    gaps = [abs(found[f"reliability_{k}"] - found[f"confidence_{k}"]) * found[f"weight_{k}"] for k in bins]
    assert found["ece_width"] == pytest.approx(sum(gaps), abs=1e-12)


def test_edges_belong_to_the_lower_bin() -> None:
    edges = np.array([0.0, 1 / 15, 1 / 15 + 1e-9, 14 / 15, 1.0])
    assert bin_of(edges).tolist() == [0, 0, 1, 13, 14]


def test_a_network_that_is_right_as_often_as_it_says_is_calibrated() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(200_000)
    found = judged(pd.DataFrame({"confidence": p, "correct": rng.random(len(p)) < p}))
    assert max(found["ece_width"], found["ece_mass"]) < 0.01
    too_sure = judged(pd.DataFrame({"confidence": np.sqrt(p), "correct": rng.random(len(p)) < p}))
    assert too_sure["ece_mass"] == pytest.approx(1 / 6, abs=0.01), "the mean of sqrt(p) - p"


def test_order_does_not_matter() -> None:
    rows = predictions()
    turned = judged(rows.sample(frac=1, random_state=3))
    assert turned == pytest.approx(judged(rows), abs=1e-12)


def test_few_misses_are_not_told_apart() -> None:
    rows = predictions()
    known = pd.concat([rows[rows["correct"]], rows[~rows["correct"]].head(19)])
    assert "auroc" not in judged(known)
    assert "auroc" in judged(pd.concat([known, rows[~rows["correct"]].tail(1)]))


def test_rows_are_of_true_targets_and_probes(synthetic: Callable) -> None:
    rows = list(confidence.measure(synthetic().write()))
    assert {row.condition for row in rows} == {"clean", "target:unrelated", "target:shuffled"}
    found = {(r.cycle, r.direction, r.measure): r.value for r in rows if r.condition == "clean"}
    assert found[2, "1>2", "confidence_7"] == 0.5
    assert found[2, "1>2", "reliability_7"] == pytest.approx(20 / 61)
    assert found[2, "1>2", "weight_7"] == 1
    assert found[2, "1>2", "ece_width"] == pytest.approx(0.5 - 20 / 61)
    assert found[2, "1>2", "auroc"] == 0.5
    assert (8, "1>2", "auroc") not in found
    assert (2, "1>2", "weight_0") not in found
