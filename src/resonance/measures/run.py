"""What was recorded of one run, read when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from resonance.errors import UserError
from resonance.measures.vectors import Snapshots
from resonance.storage import read_made_by, read_table

KEYS = ("learner", "pair", "schedule", "seed")


@dataclass(frozen=True)
class Identity:
    """What names a run."""

    learner: str
    pair: str
    schedule: str
    seed: int


@dataclass(frozen=True)
class RunData:
    """The files of one run, one per chunk and kind, in ascending order; nothing is read before it is used.

    A kind that a family does not need may be empty.
    """

    identity: Identity
    logs_files: tuple[Path, ...] = ()
    evaluations_files: tuple[Path, ...] = ()
    snapshots_files: tuple[Path, ...] = ()
    stability_files: tuple[Path, ...] = ()
    critiques_files: tuple[Path, ...] = ()
    generations_files: tuple[Path, ...] = ()
    interventions_files: tuple[Path, ...] = ()
    transfer_files: tuple[Path, ...] = ()

    @cached_property
    def log(self) -> pd.DataFrame:
        """The cycle log: one row per bin of cycles and direction, ordered by cycle."""
        return _joined(self.logs_files)

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """One row per cycle, condition, direction, window and target position; `nll` as float64 (nat)."""
        table = _joined(self.evaluations_files)
        return table.astype({"nll": "float64"}) if len(table) else table

    def asked(self, *conditions: str) -> pd.DataFrame:
        """The evaluations of these conditions; one that ends with `:` stands for all that start so."""
        if self.evaluations.empty:
            return self.evaluations
        words = self.evaluations["condition"].astype(str)
        chosen = [words.str.startswith(word) if word.endswith(":") else words == word for word in conditions]
        return self.evaluations[np.logical_or.reduce(chosen)]

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What the evaluations say of themselves: `kept`, `prefixes`, `bytes` per text."""
        return read_made_by(self.evaluations_files[0]) if self.evaluations_files else {}

    @cached_property
    def log_metadata(self) -> dict[str, Any]:
        """What the last file of the cycle log says of itself: `cycle`, and `orbit` where one was looked for."""
        return read_made_by(self.logs_files[-1]) if self.logs_files else {}

    @cached_property
    def snapshots(self) -> Snapshots:
        """The hidden states, a cycle and layer at a time."""
        return Snapshots.of(self.snapshots_files)

    @cached_property
    def stability(self) -> pd.DataFrame:
        """One row per mark and quantity: exponents and spectral radius of the cycle map of a carried state."""
        return _joined(self.stability_files)

    @cached_property
    def critiques(self) -> pd.DataFrame:
        """One row per mark, head, output and token said: what the head thinks of it, and what is true."""
        return _joined(self.critiques_files)

    @cached_property
    def generations(self) -> pd.DataFrame:
        """One row per mark, direction, window and text that the learner wrote when left alone."""
        return _joined(self.generations_files)

    @cached_property
    def interventions(self) -> pd.DataFrame:
        """One row per mark and finding of an experiment."""
        return _joined(self.interventions_files)

    def experiment(self, name: str) -> pd.DataFrame:
        """The findings of one experiment."""
        table = self.interventions
        return table if table.empty else table[table["experiment"] == name]

    @cached_property
    def transfer(self) -> pd.DataFrame:
        """One row per chunk edge, step and what was measured before and after it."""
        return _joined(self.transfer_files)


def read_run(
    logs: Sequence[str | Path] = (),
    evaluations: Sequence[str | Path] = (),
    snapshots: Sequence[str | Path] = (),
    stability: Sequence[str | Path] = (),
    critiques: Sequence[str | Path] = (),
    generations: Sequence[str | Path] = (),
    interventions: Sequence[str | Path] = (),
    transfer: Sequence[str | Path] = (),
    identity: Identity | None = None,
) -> RunData:
    """The run that these files belong to.

    Args:
        identity: what the run is called; left out, the names must stand in the metadata of the files.

    Raises:
        UserError: the files are of different runs, or there is none, or nobody says what the run is called.
    """
    given = (logs, evaluations, snapshots, stability, critiques, generations, interventions, transfer)
    kinds = [tuple(sorted(map(Path, paths))) for paths in given]
    about = {path: read_made_by(path) for paths in kinds for path in paths}
    if not about:
        raise UserError("no file of a run was named: give its logs, evaluations or snapshots.")
    first = next(iter(about))
    for path, made_by in about.items():
        if any(made_by.get(key) != about[first].get(key) for key in ("run", *KEYS)):
            raise UserError(f"{first} and {path} are of different runs: name the files of one run.")
    if identity is None:
        missing = [key for key in KEYS if key not in about[first]]
        if missing:
            raise UserError(f"{first} does not say its {missing[0]}: say what the run is called.")
        identity = Identity(*(about[first][key] for key in KEYS))
    return RunData(identity, *kinds)


def _joined(paths: tuple[Path, ...]) -> pd.DataFrame:
    """The rows of the files below each other; words become categories. A cycle stands in one file only."""
    tables = [read_table(path) for path in paths]
    seen: set[int] = set()
    for path, table in zip(paths, tables, strict=True):
        cycles = set(table["cycle"].unique().to_pylist())
        if cycles & seen:
            raise ValueError(f"{path}: cycle {min(cycles & seen)} stands in an earlier file of the run too")
        seen |= cycles
    if not tables:
        return pd.DataFrame()
    whole: pd.DataFrame = pa.concat_tables(tables, promote_options="default").unify_dictionaries().to_pandas()
    return whole
