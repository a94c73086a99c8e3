"""Runs of which only the findings of experiments are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from resonance.measures.run import Identity, RunData
from resonance.snapshots.interventions import SCHEMA
from resonance.storage import write_table


def run(folder: Path, rows: list[dict[str, Any]], **files: tuple[Path, ...]) -> RunData:
    """rows: findings; what is not said is null."""
    write_table(folder / "interventions.parquet", pa.Table.from_pylist(rows, SCHEMA), {"kind": "interventions"})
    identity = Identity("gpt", "spacing", "shuffled", 0)
    return RunData(identity, interventions_files=(folder / "interventions.parquet",), **files)


def table(family: Any, data: RunData) -> pd.DataFrame:
    """What a family measures."""
    return pd.DataFrame(family.measure(data))
