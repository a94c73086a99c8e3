"""A few final numbers per learner, for `dvc metrics`."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from pathlib import Path

import pandas as pd
import pyarrow as pa

from resonance.errors import UserError
from resonance.storage import read_table, write_json

METRICS = {
    "loss": ("nll", "clean"),
    "bits_per_byte": ("bits_per_byte", "clean"),
    "token_accuracy": ("token_accuracy", "clean"),
    "exact_continuation_0": ("exact_continuation_0", "clean"),
    "exact_continuation_8": ("exact_continuation_8", "clean"),
    "exact_continuation_32": ("exact_continuation_32", "clean"),
    "input_effect_blank": ("input_effect", "input:blank"),
    "input_effect_shuffled": ("input_effect", "input:shuffled"),
    "follow_share": ("follow_share", "input:edited"),
    "store_share": ("store_share", "input:edited"),
    "unrelated_bits_per_byte": ("bits_per_byte", "target:unrelated"),
    "paraphrase_bits_per_byte": ("bits_per_byte", "target:paraphrase"),
    "cka_target": ("cka", "target"),
    "drift_pair": ("drift_pair", None),
    "rotation_share": ("rotation_share", None),
    "participation_ratio_target": ("participation_ratio", "target"),
    "state_change": ("state_change", None),
    "loss_since_first_pass": ("loss_since_first_pass", None),
}
"""Name of the metric: the measure and the condition (None: any) that it is the end of."""

RUN = ["pair", "schedule", "seed"]


def summarise(learner: str, measure_paths: Iterable[str | Path]) -> dict[str, float]:
    """The metrics of a learner from the tables of measures of its runs.

    Args:
        measure_paths: tables of any families and runs; rows of other learners are left out.

    Returns:
        {name: number}: per run the mean at its last cycle and last layer, then the mean over runs; what nobody measured
        is missing; `runs` and `cycles` (the longest run) come with it.

    Raises:
        UserError: no row is of this learner.
    """
    tables = [read_table(path) for path in measure_paths]
    rows = pa.concat_tables(tables).to_pandas() if tables else pd.DataFrame({"learner": []})
    words = ["learner", "pair", "schedule", "direction", "condition", "measure"]
    rows = rows.astype({word: object for word in words if word in rows})
    rows = rows[rows["learner"] == learner]
    if rows.empty:
        raise UserError(f"no table of measures holds learner {learner!r}: name files under measures/{learner}/.")
    metrics: dict[str, float] = {"runs": len(rows[RUN].drop_duplicates()), "cycles": int(rows["cycle"].max())}
    for name, (measure, condition) in METRICS.items():
        own = rows[rows["measure"] == measure]
        value = final(own if condition is None else own[own["condition"] == condition])
        if isfinite(value):
            metrics[name] = value
    return metrics


def final(rows: pd.DataFrame) -> float:
    """Mean over runs of the mean at each run's last cycle and last layer; NaN where there is nothing."""
    if rows.empty:
        return float("nan")
    for column in ("cycle", "layer"):
        if rows[column].notna().any():
            rows = rows[rows[column] == rows.groupby(RUN)[column].transform("max")]
    return float(rows.groupby(RUN)["value"].mean().mean())


def write_metrics(learner: str, measures: Iterable[str | Path], out: str | Path) -> None:
    """Write the metrics of a learner as JSON."""
    write_json(out, summarise(learner, measures))
