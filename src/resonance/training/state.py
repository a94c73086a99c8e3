"""What a chunk leaves: its state, its log, its marks; read back only where they belong to the run that asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resonance.errors import UserError
from resonance.learning.part import below
from resonance.networks.tensors import read_sealed, read_tensors, write_sealed, write_tensors
from resonance.storage import read_made_by, read_table, write_table
from resonance.training.log import Log

Marks = dict[int, dict[str, Tensor]]
"""For each snapshot cycle, what had changed since cycle 0."""


@dataclass(frozen=True)
class Files:
    """The files of one chunk; an autosave is a chunk like any other, in a folder of its own."""

    state: Path
    log: Path
    marks: Path

    @classmethod
    def within(cls, folder: Path) -> Files:
        """The three files in a folder."""
        return cls(folder / "state.safetensors", folder / "log.parquet", folder / "marks.safetensors")


def write_state(path: Path, tensors: Mapping[str, Tensor], log: Log, made_by: Mapping[str, Any]) -> None:
    """The whole state after a cycle; its JSON comes last."""
    open_bins = {f"log/{direction}": torch.from_numpy(bin_5Q) for direction, bin_5Q in log.open.items()}
    versions = {package: version(package) for package in ("torch", "transformers", "safetensors")}
    write_sealed(path, {**tensors, **open_bins}, {**made_by, "kind": "state", "versions": versions})


def read_state(path: Path, run: str, cycle: int) -> tuple[dict[str, Tensor], Log]:
    """The state of run `run` after `cycle`; one of another run or cycle is refused."""
    tensors, made_by = read_sealed(path)
    if made_by.get("run") != run or made_by.get("cycle") != cycle:
        raise UserError(
            f"{path} holds cycle {made_by.get('cycle')} of run {made_by.get('run')}, but cycle {cycle} of run {run} "
            f"is needed: parameters, texts or code changed since; run `snakemake -- {path}` to make it anew."
        )
    log = Log()
    log.open = {name: tensor.numpy() for name, tensor in below(tensors, "log").items()}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("log/")}, log


def write_log(path: Path, log: Log, made_by: Mapping[str, Any]) -> None:
    """The closed rows of a chunk."""
    write_table(path, log.table(), {**made_by, "kind": "log"})


def write_marks(path: Path, marks: Marks, made_by: Mapping[str, Any]) -> None:
    """All marks of a chunk in one file, named `<cycle>/<name>`."""
    tensors = {f"{cycle}/{name}": tensor for cycle, mark in marks.items() for name, tensor in mark.items()}
    write_tensors(path, tensors, {**made_by, "kind": "marks", "cycles": sorted(marks)})


def read_marks(path: Path, run: str) -> Marks:
    """The marks of a chunk of run `run`; those of another run are refused."""
    tensors, made_by = read_tensors(path)
    if made_by.get("kind") != "marks" or made_by.get("run") != run:
        raise UserError(
            f"{path} holds marks of run {made_by.get('run')}, not of {run}: parameters, texts or code changed since; "
            f"run `snakemake -- {path}` to make it anew."
        )
    return {cycle: below(tensors, str(cycle)) for cycle in made_by["cycles"]}


def read_chunk(files: Files, run: str) -> tuple[int, dict[str, Tensor], Log, Marks]:
    """An autosave as it was written: cycle, state, log and marks so far."""
    made_by = read_made_by(files.log)
    tensors, log = read_state(files.state, run, made_by["cycle"])
    log.restore(read_table(files.log))
    return made_by["cycle"], tensors, log, read_marks(files.marks, run)
