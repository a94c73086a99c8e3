"""How well heads know where their learner's own output is wrong, and what the controller gains by it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from resonance.measures import calibration
from resonance.measures.nested import ERRORS, RATES, nested
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

LEAST = 20
"""Tokens that are wrong, and tokens that are right, without which nothing is said of how they are told apart."""

BASELINES = {"confidence": -1, "entropy": 1, "surprisal": 1}
"""What the network itself says of each token, and whether more of it means wrong (1) or right (-1)."""

SOURCE = "critiques"

MEASURES: dict[str, Definition] = {
    "errors": {
        "unit": "tokens",
        "formula": "tokens said that are not the ones which were due by a least-edits alignment with the original",
        "source": SOURCE,
    },
    "error_rate": {"unit": "share", "formula": "errors / tokens said", "source": SOURCE},
    "text_deviation": {
        "unit": "1",
        "formula": "1 - chrF2 / 100 of the whole output (character n-grams up to 6, beta 2), mean over outputs",
        "source": SOURCE,
    },
    "auroc": {
        "unit": "1",
        "formula": f"P(estimate of a wrong token > estimate of a right one), ties half; at least {LEAST} of each",
        "source": SOURCE,
    },
    **{
        f"auroc_{name}": {
            "unit": "1",
            "formula": f"the same of {'' if sign > 0 else '-'}{name} of the network at the token, without any head",
            "source": SOURCE,
        }
        for name, sign in BASELINES.items()
    },
    "brier": {"unit": "1", "formula": "mean of (estimate - error)^2", "source": SOURCE},
    "log_loss": {
        "unit": "nat/token",
        "formula": "mean of -log of the probability that the estimate gives to what was true",
        "source": SOURCE,
    },
    "ece_width": {
        "unit": "share",
        "formula": "mean of |mean estimate - error rate| over 15 bins of equal width, weighted by their tokens",
        "source": SOURCE,
    },
    "ece_mass": {
        "unit": "share",
        "formula": "the same over 15 bins of as many tokens each",
        "source": SOURCE,
    },
    "calibration_slope": {
        "unit": "1",
        "formula": f"b of the logistic regression of error on a + b logit(estimate); at least {LEAST} of each",
        "source": SOURCE,
    },
    "spearman_distance": {
        "unit": "1",
        "formula": "rank correlation of estimated and true normalised edit distance of what follows a token",
        "source": SOURCE,
    },
    "r2_distance": {
        "unit": "1",
        "formula": "1 - sum (estimated - true distance)^2 / sum (true distance - its mean)^2",
        "source": SOURCE,
    },
    "mae_distance": {"unit": "1", "formula": "mean of |estimated - true distance|", "source": SOURCE},
    "variance_distance": {"unit": "1", "formula": "variance of the true distance", "source": SOURCE},
    "controller_gain": {
        "unit": "share",
        "formula": "error rate of own - that of controlled output to the same prompt, mean over prompts; "
        "low, high: least and greatest",
        "source": SOURCE,
    },
    "controller_gain_deviation": {
        "unit": "1",
        "formula": "text deviation of own - that of controlled output to the same prompt, mean over prompts; "
        "low, high: least and greatest",
        "source": SOURCE,
    },
    "auroc_base": {
        "unit": "1",
        "formula": "auroc at later marks of a logistic regression on place, position, log cycle, entropy and largest "
        f"probability, fitted at early marks; at least {ERRORS} errors, error rate {RATES[0]} to {RATES[1]}",
        "source": SOURCE,
    },
    "auroc_gain": {
        "unit": "1",
        "formula": "the same with the log odds of the estimate among what it is fitted on, minus auroc_base",
        "source": SOURCE,
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, head and source, condition `<head>:<source>`; no row of learners without heads.

    What spans all marks stands at the last one, conditions `<head>:later` and `<head>:unseen` (see `nested`).
    """
    if run.critiques.empty:
        return
    for key, rows in run.critiques.groupby(["cycle", "head"], observed=True):
        cycle, head = int(str(key[0])), str(key[1])
        for source, own in rows.groupby("source", observed=True):
            for name, value in judged(own).items():
                yield Row(cycle, name, value, condition=f"{head}:{source}")
        for name, values in gains(rows).items():
            yield Row(cycle, name, values.mean(), values.min(), values.max(), condition=f"{head}:controlled")
    last = int(run.critiques["cycle"].max())
    for each, rows in run.critiques.groupby("head", observed=True):
        for condition, measures in nested(rows):
            for name, numbers in measures.items():
                least, greatest = (min(numbers), max(numbers)) if condition == "unseen" else (None, None)
                yield Row(last, name, float(np.mean(numbers)), least, greatest, condition=f"{each}:{condition}")


def judged(rows: pd.DataFrame) -> dict[str, float]:
    """What can be said of the judgements of one head on outputs of one source; what is not defined is not there."""
    p, e = rows["estimate"].to_numpy(np.float64), rows["error"].to_numpy(bool)
    found = {
        "errors": float(e.sum()),
        "error_rate": float(e.mean()),
        "text_deviation": float(outputs(rows)["deviation"].mean()),
        "brier": calibration.brier(p, e),
        "log_loss": calibration.log_loss(p, e),
        "ece_width": calibration.ece_width(p, e),
        "ece_mass": calibration.ece_mass(p, e),
    }
    if min(e.sum(), (~e).sum()) >= LEAST:
        found["auroc"] = calibration.auroc(p, e)
        for name, sign in BASELINES.items():
            found[f"auroc_{name}"] = calibration.auroc(sign * rows[name].to_numpy(np.float64), e)
        found["calibration_slope"] = calibration.slope(p, e)
    v, d = rows["distance"].to_numpy(np.float64), rows["suffix"].to_numpy(np.float64)
    if not np.isnan(v).any():
        found["mae_distance"] = float(np.abs(v - d).mean())
        found["variance_distance"] = float(d.var())
        found["spearman_distance"] = calibration.spearman(v, d)
        found["r2_distance"] = calibration.r2(v, d)
    return {name: value for name, value in found.items() if not np.isnan(value)}


def gains(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """By measure, what the controller gained at each prompt; nothing where there was no controller."""
    own, controlled = (outputs(rows[rows["source"] == source]) for source in ("own", "controlled"))
    if own.empty or controlled.empty:
        return {}
    gain = own - controlled
    return {"controller_gain": gain["error"], "controller_gain_deviation": gain["deviation"]}


def outputs(rows: pd.DataFrame) -> pd.DataFrame:
    """Error rate and text deviation of each output, by direction and window."""
    return rows.groupby(["direction", "window"], observed=True)[["error", "deviation"]].mean()
