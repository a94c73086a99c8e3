"""What a table says of itself, kept in its schema until `storage.write_table` writes it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from resonance import storage


def with_facts(table: pa.Table, facts: dict[str, Any]) -> pa.Table:
    """The table with `facts` in its schema metadata."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return table.replace_schema_metadata({storage.KEY: text})


def facts(table: pa.Table) -> dict[str, Any]:
    """The facts of a table made here: what to pass to `storage.write_table`, with a fingerprint added or without."""
    return dict(json.loads(table.schema.metadata[storage.KEY]))
