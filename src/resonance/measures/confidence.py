"""Whether a network that is sure of its next token is right: calibration of its own predictions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resonance.measures import calibration
from resonance.measures.calibration import Numbers
from resonance.measures.places import places
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

BINS = 15
LEAST = 20
"""Tokens that are hit, and tokens that are missed, without which nothing is said of how they are told apart."""

SOURCE = "evaluations; confidence: the largest probability, hit: its token is the target's"
BIN = "bin <k> of 15 of equal width: confidence above <k>/15, up to (<k> + 1)/15"
MEASURES: dict[str, Definition] = {
    "brier": {"unit": "1", "formula": "mean of (confidence - hit)^2", "source": SOURCE},
    "ece_width": {
        "unit": "share",
        "formula": "mean of |mean confidence - share of hits| over 15 bins of equal width, weighted by their tokens",
        "source": SOURCE + "; Naeini et al. 2015",
    },
    "ece_mass": {
        "unit": "share",
        "formula": "the same over 15 bins of as many tokens each",
        "source": SOURCE,
    },
    "auroc": {
        "unit": "1",
        "formula": f"P(confidence at a hit > confidence at a miss), ties half; at least {LEAST} of each",
        "source": SOURCE,
    },
    "reliability_<k>": {"unit": "share", "formula": f"share of hits in {BIN}", "source": SOURCE},
    "confidence_<k>": {"unit": "1", "formula": f"mean confidence in {BIN}", "source": SOURCE},
    "weight_<k>": {"unit": "share", "formula": f"share of all tokens that are in {BIN}", "source": SOURCE},
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, direction and condition: the true target behind the clean input, and probes as target."""
    for place, rows in places(run.asked("clean", "target:")):
        for name, value in judged(rows).items():
            yield place.row(name, value)


def judged(rows: pd.DataFrame) -> dict[str, float]:
    """What can be said of these predictions; a bin without a token is not there."""
    p, hit = rows["confidence"].to_numpy(np.float64), rows["correct"].to_numpy(bool)
    found = {
        "brier": calibration.brier(p, hit),
        "ece_width": calibration.ece_width(p, hit, BINS),
        "ece_mass": calibration.ece_mass(p, hit, BINS),
    }
    if min(hit.sum(), (~hit).sum()) >= LEAST:
        found["auroc"] = calibration.auroc(p, hit)
    number = bin_of(p)
    for k in np.unique(number).tolist():
        own = number == k
        found[f"reliability_{k}"] = float(hit[own].mean())
        found[f"confidence_{k}"] = float(p[own].mean())
        found[f"weight_{k}"] = float(own.mean())
    return found


def bin_of(p: Numbers) -> NDArray[np.int64]:
    """The bin from 0 of each confidence: (0, 1/15], (1/15, 2/15], ...; the same as those of `ece_width`."""
    return np.clip(np.ceil(p * BINS) - 1, 0, BINS - 1).astype(np.int64)
