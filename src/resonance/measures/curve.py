"""One curve per learner, for `dvc plots`, which cannot read Parquet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from resonance.storage import read_table, write_text


def curve(logs: Iterable[str | Path]) -> pd.DataFrame:
    """`cycle` and `loss` (nat/token): the mean over directions and runs in each row of the cycle logs."""
    rows = pd.concat([read_table(path, columns=["cycle", "loss"]).to_pandas() for path in logs])
    return rows.groupby("cycle", as_index=False)["loss"].mean()


def write_curve(logs: Iterable[str | Path], out: str | Path) -> None:
    """Write the curve as tab-separated text."""
    write_text(out, curve(logs).to_csv(sep="\t", index=False, float_format="%.9g", lineterminator="\n"))
