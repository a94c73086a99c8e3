"""Tensors on disk: safetensors, with one JSON string that says what made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from resonance.errors import UserError
from resonance.storage import sha256, write_json, written

KEY = "resonance"
"""The only metadata key: with two or more, safetensors writes them in an order that changes from process to process."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], made_by: Mapping[str, Any]) -> None:
    """Write named tensors and `made_by` in one file; equal content gives equal bytes."""
    on_cpu = {name: tensors[name].detach().to("cpu").contiguous().clone() for name in sorted(tensors)}
    with written(path) as part:
        save_file(on_cpu, part, metadata={KEY: json.dumps(made_by, sort_keys=True)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file and what made them; a damaged or foreign file is a UserError."""
    if not path.is_file():
        raise UserError(f"{path} is missing: run `snakemake -- {path}` to make it.")
    try:
        with safe_open(path, framework="pt") as file:
            made_by = json.loads((file.metadata() or {})[KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, made_by  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, ValueError, OSError):
        raise UserError(
            f"{path} is damaged or was not written by this project: delete it and run `snakemake -- {path}`."
        ) from None


def write_sealed(path: Path, tensors: Mapping[str, Tensor], made_by: Mapping[str, Any]) -> None:
    """Write tensors, then, last, `<name>.json` beside them with their sha256: its presence means that all is there."""
    write_tensors(path, tensors, {"kind": made_by["kind"]})
    write_json(path.with_suffix(".json"), {**made_by, "tensors": sha256(path)})


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_sealed` wrote, checked against its sha256."""
    seal = path.with_suffix(".json")
    if not path.is_file() or not seal.is_file():
        missing = seal if path.is_file() else path
        raise UserError(f"{missing} is missing: run `snakemake -- {path}` to make it.")
    try:
        made_by = json.loads(seal.read_text(encoding="utf-8"))
        wanted = made_by["tensors"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{seal} is damaged: delete it and run `snakemake -- {path}`.") from None
    if sha256(path) != wanted:
        raise UserError(
            f"{path} is not the file that {seal.name} describes: delete both and run `snakemake -- {path}`."
        )
    return read_tensors(path)[0], made_by


def named(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, as they are held (no `state_dict` hooks: some modules rewrite theirs)."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
