"""Whether a head knows more of where its learner errs than place, time and the network's own doubt tell anyway.

Two logistic regressions of `error` on the same tokens, one without the head's estimate and one with it, are fitted at
early marks and told apart by how well they order the tokens of later ones. Pure functions of a table of critiques.
Shape suffixes: N tokens, F features, P places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resonance.measures.calibration import NARROWEST, Truths, auroc

Numbers = NDArray[np.float64]

ERRORS = 100
"""Wrong tokens without which a score says nothing."""

RATES = (0.05, 0.95)
"""Error rates between which a score says something."""

FITTED = 20
"""Tokens that are wrong, and tokens that are right, without which there is nothing to fit."""

STRENGTH = 1.0
"""Of the ridge: half of this times the sum of squared weights is added to the summed cross-entropy."""

STEPS = 100
"""Newton steps within which a fit must be found."""

PLACE = ["direction", "window", "position"]
"""What names a place in a text. Some are hard, and a head that knows no more than which ones must gain nothing."""


def nested(rows: pd.DataFrame) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Of one head's critiques at all marks of a run: (`later` or `unseen`, number or numbers by measure).

    Greedy outputs alone, `own` and `corrupted:<kind>-<percent>`: in drawn ones how improbable a token was says that it
    is wrong, and `controlled` ones were chosen by the head. Fitted on the first half of the marks, at least up to the
    first after cycle 0 and without cycle 0, where no head has learned anything; scored on the others. `later`: all of
    these outputs. `unseen`, a number for each kind of corruption: fitted without it, scored on it.
    """
    source = rows["source"].astype(str)
    rows = rows[(source == "own") | source.str.startswith("corrupted:")]
    early, late = halves(rows)
    if early.empty or late.empty:
        return
    yield "later", together([compared(early, late)])
    early_kind, late_kind = kind(early), kind(late)
    corruptions = sorted(set(late_kind) - {""})
    scores = [compared(early[early_kind != one], late[late_kind == one]) for one in corruptions]
    if scores:
        yield "unseen", together(scores)


def halves(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the first half of the marks, without those of cycle 0, and of the other marks."""
    marks = sorted(rows["cycle"].unique())
    fitted = max((len(marks) + 1) // 2, sum(mark == 0 for mark in marks) + 1)
    return rows[rows["cycle"].isin(marks[:fitted]) & (rows["cycle"] > 0)], rows[rows["cycle"].isin(marks[fitted:])]


def kind(rows: pd.DataFrame) -> pd.Series:
    """Of each row the kind of corruption, whatever its rate; empty where there is none."""
    return rows["source"].astype(str).str.extract(r"^corrupted:(.*)-\d+$", expand=False).fillna("")


def together(scores: list[dict[str, float]]) -> dict[str, list[float]]:
    """By measure, the numbers of several comparisons; what one of them cannot say is not there."""
    return {name: [score[name] for score in scores] for name in scores[0] if all(name in score for score in scores)}


def compared(early: pd.DataFrame, late: pd.DataFrame) -> dict[str, float]:
    """Errors and error rate of what is scored; where there are enough, the area without the estimate and its gain.

    An area compares tokens of one mark with each other alone: over marks the rate of errors changes more than anything
    else, and how it goes on after the early ones no regression can know.
    """
    was, e = early["error"].to_numpy(bool), late["error"].to_numpy(bool)
    found = {"errors": float(e.sum()), "error_rate": float(e.mean())}
    fits, counts = min(was.sum(), (~was).sum()) >= FITTED, found["errors"] >= ERRORS
    if fits and counts and RATES[0] <= found["error_rate"] <= RATES[1]:
        mark_N = late["cycle"].to_numpy()
        base, whole = (area(expected(early, late, columns), e, mark_N) for columns in (doubt, opinion))
        found |= {} if np.isnan(base) else {"auroc_base": base, "auroc_gain": whole - base}
    return found


def area(score_N: Numbers, e: Truths, mark_N: NDArray[np.int64]) -> float:
    """P(score of a wrong token > that of a right one of the same mark), ties half; NaN where no mark has both."""
    marks = [mark_N == mark for mark in np.unique(mark_N) if 0 < e[mark_N == mark].sum() < (mark_N == mark).sum()]
    if not marks:
        return float("nan")
    pairs = [e[mark].sum() * (~e[mark]).sum() for mark in marks]
    return float(np.average([auroc(score_N[mark], e[mark]) for mark in marks], weights=pairs))


def doubt(rows: pd.DataFrame) -> Numbers:
    """What is known without a head [N, 4]: position, log2(1 + cycle), entropy, log odds of the largest probability."""
    columns = [
        rows["position"].to_numpy(np.float64),
        np.log2(1 + rows["cycle"].to_numpy(np.float64)),
        centred(rows, rows["entropy"].to_numpy(np.float64)),
        centred(rows, log_odds(rows["confidence"].to_numpy(np.float64))),
    ]
    return np.stack(columns, axis=1)


def opinion(rows: pd.DataFrame) -> Numbers:
    """The same and the log odds of the head's estimate [N, 5]."""
    return np.column_stack([doubt(rows), centred(rows, log_odds(rows["estimate"].to_numpy(np.float64)))])


def centred(rows: pd.DataFrame, values_N: Numbers) -> Numbers:
    """Without the mean of their mark: a head that learns, and a network that grows sure, would else stand for time."""
    series = pd.Series(values_N, index=rows.index)
    return (series - series.groupby(rows["cycle"]).transform("mean")).to_numpy(np.float64)


def log_odds(p: Numbers) -> Numbers:
    """log(p / (1 - p)); float32 knows no number nearer to 1 than `NARROWEST`."""
    clipped = np.clip(p, NARROWEST, 1 - NARROWEST)
    return np.log(clipped / (1 - clipped))


def expected(early: pd.DataFrame, late: pd.DataFrame, columns: Callable[[pd.DataFrame], Numbers]) -> Numbers:
    """Log odds [N] of an error in the late rows, from a regression of the early ones on these columns and on places.

    Columns are scaled to mean 0 and spread 1 in the early rows; one that does not vary there weighs nothing. Each place
    has a weight of its own, drawn to 0 by the ridge as all weights are; one that early rows lack weighs nothing.
    """
    x_NF, z_NF = columns(early), columns(late)
    mean_F, spread_F = x_NF.mean(0), x_NF.std(0)
    varies_F = spread_F > 1e-9 * (1 + np.abs(mean_F))
    scale_F = np.where(varies_F, 1 / np.where(varies_F, spread_F, 1), 0)
    known = places(early).unique()
    weight_F, constant, weight_P = regression(
        (x_NF - mean_F) * scale_F, known.get_indexer(places(early)), early["error"].to_numpy(bool)
    )
    # a place that is not known has the index -1
    return (z_NF - mean_F) * scale_F @ weight_F + constant + np.append(weight_P, 0.0)[known.get_indexer(places(late))]


def places(rows: pd.DataFrame) -> pd.MultiIndex:
    """The place of each row."""
    return pd.MultiIndex.from_arrays([rows[name].astype(str if name == "direction" else np.int64) for name in PLACE])


def regression(x_NF: Numbers, place_N: NDArray[np.intp], e: Truths) -> tuple[Numbers, float, Numbers]:
    """(w [F], b, v [P]) of P(e) = sigmoid(x w + b + v[place]); places are numbers from 0 to P - 1.

    Least of summed cross-entropy + STRENGTH (|w|² + |v|²) / 2, which has one minimum where some are right and some are
    wrong. By Newton's method, each step halved until it does not lead uphill; places do not share rows, so that their
    block of the matrix is diagonal and taken out first.
    """
    x_NF = np.column_stack([x_NF, np.ones(len(e))])
    count = int(place_N.max()) + 1
    ridge_F = np.append(np.full(x_NF.shape[1] - 1, STRENGTH), 0.0)

    def of_places(values_N: Numbers) -> Numbers:
        summed_P: Numbers = np.bincount(place_N, weights=values_N, minlength=count).astype(np.float64)
        return summed_P

    def loss(w_F: Numbers, v_P: Numbers) -> float:
        score = x_NF @ w_F + v_P[place_N]
        return float((np.logaddexp(0, score) - e * score).sum() + (ridge_F @ w_F**2 + STRENGTH * v_P @ v_P) / 2)

    w_F, v_P = np.zeros(x_NF.shape[1]), np.zeros(count)
    for _ in range(STEPS):
        chance = np.exp(-np.logaddexp(0, -(x_NF @ w_F + v_P[place_N])))
        bend = chance * (1 - chance)
        down_F = x_NF.T @ (e - chance) - ridge_F * w_F
        down_P = of_places(e - chance) - STRENGTH * v_P
        own_P = of_places(bend) + STRENGTH
        mixed_FP = np.stack([of_places(bend * column) for column in x_NF.T])
        matrix_FF = (x_NF * bend[:, None]).T @ x_NF + np.diag(ridge_F) - mixed_FP / own_P @ mixed_FP.T
        step_F = np.linalg.solve(matrix_FF, down_F - mixed_FP @ (down_P / own_P))
        step_P = (down_P - step_F @ mixed_FP) / own_P
        least = loss(w_F, v_P)
        while max(np.abs(step_F).max(), np.abs(step_P).max()) >= 1e-9 and loss(w_F + step_F, v_P + step_P) > least:
            step_F, step_P = step_F / 2, step_P / 2
        w_F, v_P = w_F + step_F, v_P + step_P
        if max(np.abs(step_F).max(), np.abs(step_P).max()) < 1e-9:
            break
    return w_F[:-1], float(w_F[-1]), v_P
