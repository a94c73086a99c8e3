from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resonance.measures import reversal
from resonance.measures.run import RunData


def forward(synthetic: Callable[..., Any], change: Callable[[pd.DataFrame], np.ndarray] | None = None) -> RunData:
    """A run that was shown 1>2 alone; `change` says the nll of its evaluations anew."""
    run: RunData = synthetic(shown=("1>2",)).write()
    if change:
        run.__dict__["evaluations"] = run.evaluations.assign(nll=change)
    return run


def values(run: RunData, measure: str) -> dict[tuple[int, str], float]:
    found = [row for row in reversal.measure(run) if row.measure == measure]
    assert {row.direction for row in found} <= {"2>1"}
    return {(row.cycle, str(row.condition)): row.value for row in found if row.value is not None}


def test_ordinary_runs_have_no_rows(synthetic: Callable[..., Any]) -> None:
    assert list(reversal.measure(synthetic().write())) == []


@pytest.mark.parametrize(
    ("shown", "never"),
    [
        ([], []),
        (["1>2"], ["2>1"]),
        (["2>1", "1>1", "2>2"], ["1>2"]),
        (["1>2", "2>1"], []),
        (["1>1", "2>2"], []),
    ],
)
def test_what_was_shown_is_read_from_the_log(shown: list[str], never: list[str]) -> None:
    assert reversal.never_shown(pd.DataFrame({"direction": pd.Categorical(shown)})) == never


def test_a_learner_that_uses_no_input_has_no_gap(synthetic: Callable[..., Any]) -> None:
    """Behind a blank input the planted loss is 0.5 more, at cycle 0 as well: nothing of it was learned."""
    gap = values(forward(synthetic), "reversal_gap")
    assert {cycle for cycle, _ in gap} == {0, 1, 2, 4, 8}
    assert {condition for _, condition in gap} == {"input:blank", "input:edited"}
    assert list(gap.values()) == pytest.approx([0.0] * len(gap), abs=1e-6)


def test_a_planted_gap_is_found(synthetic: Callable[..., Any]) -> None:
    """The clean input comes to save 0.3 nat per token, behind the first offsets, which the changed input has too."""

    def change(rows: pd.DataFrame) -> np.ndarray:
        learned = (rows["cycle"] > 0) & (rows["condition"] == "clean") & (rows["position"] >= 16)
        return rows["nll"].to_numpy() - 0.3 * learned.to_numpy()

    gap = values(forward(synthetic, change), "reversal_gap")
    assert gap[0, "input:blank"] == 0
    assert gap[8, "input:blank"] == pytest.approx(0.3)


def test_gains_are_since_cycle_0(synthetic: Callable[..., Any]) -> None:
    gain = values(forward(synthetic), "reversal_gain")
    assert gain == {(c, "clean"): pytest.approx(4 - 4 / (1 + c)) for c in (0, 1, 2, 4, 8)}


def test_what_an_unrelated_text_gains_is_taken_away(synthetic: Callable[..., Any]) -> None:
    def change(rows: pd.DataFrame) -> np.ndarray:
        return np.where(rows["condition"] == "clean", 4.0 - 0.25 * rows["cycle"], 4.0 - 0.125 * rows["cycle"])

    run = forward(synthetic, change)
    own, other = (60 / (log(2) * run.metadata["bytes"][text]) for text in ("1", "unrelated"))
    gain = values(run, "reversal_text_gain")
    assert gain[0, "clean"] == 0
    assert gain[8, "clean"] == pytest.approx(8 * (0.25 * own - 0.125 * other))


def test_without_the_untouched_learner_nothing_is_said(synthetic: Callable[..., Any]) -> None:
    run = forward(synthetic)
    run.__dict__["evaluations"] = run.evaluations[run.evaluations["cycle"] > 0]
    assert list(reversal.measure(run)) == []


def test_a_run_that_was_not_evaluated_has_no_rows(synthetic: Callable[..., Any]) -> None:
    assert list(reversal.measure(replace(forward(synthetic), evaluations_files=()))) == []
