"""How many errors are left where a head may leave the tokens unsaid that it doubts, and what choosing anew gains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from resonance.measures.calibration import Numbers, Truths
from resonance.measures.critics import BASELINES, outputs
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

SOURCE = "critiques"

RERANKED = "reranked:"
"""Stands in a source before the output that the same prompt had, where each token was the head's choice."""

MEASURES: dict[str, Definition] = {
    "aurc": {
        "unit": "share",
        "formula": "area under risk over coverage: mean over i of the error rate of the i tokens with the least "
        "estimates, the expected one where estimates are equal",
        "source": SOURCE,
    },
    **{
        f"aurc_{name}": {
            "unit": "share",
            "formula": f"the same of {'' if sign > 0 else '-'}{name} of the network at the token, without any head",
            "source": SOURCE,
        }
        for name, sign in BASELINES.items()
    },
    "aurc_least": {
        "unit": "share",
        "formula": "the same of what is true: all right tokens come before the wrong ones; nothing can be below",
        "source": SOURCE,
    },
    "reranking_gain": {
        "unit": "share",
        "formula": "error rate of the network's own greedy output - that of the output of which a head chose each "
        "token among the network's candidates, mean over prompts; low, high: least and greatest",
        "source": SOURCE,
    },
    "reranking_gain_deviation": {
        "unit": "1",
        "formula": "the same of the text deviation, 1 - chrF2 / 100",
        "source": SOURCE,
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, head and source, condition `<head>:<source>`; no row of learners without heads."""
    if run.critiques.empty:
        return
    for key, rows in run.critiques.groupby(["cycle", "head"], observed=True):
        cycle, head = int(str(key[0])), str(key[1])
        for source, own in rows.groupby("source", observed=True):
            for name, value in areas(own).items():
                yield Row(cycle, name, value, condition=f"{head}:{source}")
            for name, values in gains(rows, str(source)).items():
                yield Row(cycle, name, values.mean(), values.min(), values.max(), condition=f"{head}:{source}")


def areas(rows: pd.DataFrame) -> dict[str, float]:
    """The areas of one source, by what orders its tokens."""
    e = rows["error"].to_numpy(bool)
    found = {"aurc": risk_area(rows["estimate"].to_numpy(np.float64), e)}
    for name, sign in BASELINES.items():
        found[f"aurc_{name}"] = risk_area(sign * rows[name].to_numpy(np.float64), e)
    return found | {"aurc_least": risk_area(e.astype(np.float64), e)}


def risk_area(doubt: Numbers, e: Truths) -> float:
    """Mean over i = 1 ... n of the error rate of the i least doubtful, in [0, 1]; at random it is the error rate.

    Where doubts are equal any order is as good: each counts as wrong by the error rate among its equals.
    """
    _, place, count = np.unique(doubt, return_inverse=True, return_counts=True)
    rate = np.bincount(place, weights=e.astype(np.float64)) / count
    ordered = rate[np.sort(place)]
    return float((np.cumsum(ordered) / np.arange(1, len(e) + 1)).mean())


def gains(rows: pd.DataFrame, source: str) -> dict[str, pd.Series]:
    """By measure, what a source of chosen tokens gained at each prompt over the network's own; nothing of others."""
    _, how, said = source.rpartition(RERANKED)
    own, chosen = (outputs(rows[rows["source"] == each]) for each in (said, source))
    if not how or own.empty:
        return {}
    gain = own - chosen
    return {"reranking_gain": gain["error"], "reranking_gain_deviation": gain["deviation"]}
