"""Files: written whole or not at all, with what made them inside.

Parquet, JSON and safetensors go through a temporary file and an atomic rename; equal content gives equal bytes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from resonance.errors import UserError

KEY = b"resonance"
"""Where a Parquet file keeps, as one JSON string, what made it."""


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """A temporary path that becomes `path` once the block ends without an error."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.chmod(0o644)
        part.replace(path)
    except Exception as error:
        if no_space(error):
            raise UserError(
                f"{path}: no space left on the device; free some and run the same command again: "
                "all that was finished before is kept."
            ) from None
        raise
    finally:
        part.unlink(missing_ok=True)


def no_space(error: Exception) -> bool:
    """Whether a write failed for want of space; safetensors says so in words only."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or str(error).endswith(tuple(f"(os error {code})" for code in full))


def write_table(path: str | Path, table: pa.Table, made_by: dict[str, Any]) -> None:
    """Write a Parquet table that carries `made_by` in its schema metadata."""
    table = table.replace_schema_metadata({KEY: json.dumps(made_by, sort_keys=True, ensure_ascii=False)})
    with written(path) as part:
        pq.write_table(table, part, compression="zstd", write_page_checksum=True)


def read_table(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table that `write_table` wrote; a damaged or foreign file is a UserError."""
    read_made_by(path)
    try:
        return pq.read_table(path, columns=columns, partitioning=None, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        raise damaged(path) from None


def read_made_by(path: str | Path) -> dict[str, Any]:
    """What made a Parquet file."""
    if not Path(path).is_file():
        raise UserError(f"{path} is missing: run `snakemake -- {path}` to make it.")
    try:
        metadata = pq.read_schema(path).metadata or {}
        return dict(json.loads(metadata[KEY]))
    except (pa.ArrowException, OSError, KeyError, ValueError):
        raise damaged(path) from None


def damaged(path: str | Path) -> UserError:
    """What is said of a file that cannot be read as what it should be."""
    return UserError(f"{path} is damaged or was not written by this project: delete it and run `snakemake -- {path}`.")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON with sorted keys, for people and for machines."""
    with written(path) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text."""
    with written(path) as part:
        part.write_text(text, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
