"""The one schema of all tables of measures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pandas as pd
import pyarrow as pa

from resonance.errors import UserError
from resonance.measures import load_family
from resonance.measures.run import Identity, RunData
from resonance.storage import read_made_by, read_table, write_table

WORD = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("learner", WORD),
        pa.field("pair", WORD),
        pa.field("schedule", WORD),
        pa.field("seed", pa.int64()),
        pa.field("cycle", pa.int64(), metadata={"unit": "cycles completed"}),
        pa.field("layer", pa.int16(), metadata={"unit": "0: embedding, l: output of layer l, null: none"}),
        pa.field("direction", WORD, metadata={"unit": "input>target, null: none"}),
        pa.field("condition", WORD, metadata={"unit": "what was asked or where it was looked at, null: none"}),
        pa.field("measure", WORD),
        pa.field("value", pa.float64(), metadata={"unit": "see `measures` in the metadata of the file"}),
        pa.field("low", pa.float64(), metadata={"unit": "as value, null: no interval"}),
        pa.field("high", pa.float64(), metadata={"unit": "as value, null: no interval"}),
    ]
)
"""learner ... seed name the run; the rest is one Row."""

Definition = dict[str, str]
"""unit, formula and source of a measure."""


class Row(NamedTuple):
    """One number about one run. NaN and None become null."""

    cycle: int
    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    layer: int | None = None
    direction: str | None = None
    condition: str | None = None


class Family(Protocol):
    """What a module of measures offers. A name may hold `<k>` for a number, e.g. `exact_length_<k>`."""

    MEASURES: dict[str, Definition]

    def measure(self, run: RunData) -> Iterator[Row]:
        """All rows of the family for one run."""


def as_table(identity: Identity, rows: Iterable[Row]) -> pa.Table:
    """The rows of a run in the schema of all tables of measures."""
    rows = list(rows)
    columns: dict[str, list[Any]] = {name: [getattr(identity, name)] * len(rows) for name in SCHEMA.names[:4]}
    for name in SCHEMA.names[4:]:
        columns[name] = [_null_if_nan(getattr(row, name)) for row in rows]
    return pa.table({name: pa.array(columns[name], _plain(SCHEMA.field(name).type)) for name in SCHEMA.names}).cast(
        SCHEMA
    )


def definitions(measures: Mapping[str, Definition], names: Iterable[str]) -> dict[str, Definition]:
    """What each of these measures is; `<k>` in a definition becomes the number in the name."""
    found = {}
    for name in sorted(set(names)):
        for template, definition in measures.items():
            match = re.fullmatch(template.replace("<k>", r"(\d+)"), name)
            if match:
                number = "".join(match.groups())
                found[name] = {key: text.replace("<k>", number) for key, text in definition.items()}
                break
        else:
            raise ValueError(f"measure {name!r} is not defined; defined: {', '.join(measures)}")
    return found


def write_family(path: str | Path, name: str, run: RunData, made_by: Mapping[str, Any] | None = None) -> None:
    """Measure one family of one run and write its table; `made_by` is what else the file should say of itself."""
    family = load_family(name)
    rows = list(family.measure(run))
    about = {
        "kind": "measures",
        "family": name,
        "measures": definitions(family.MEASURES, (row.measure for row in rows)),
    }
    write_table(path, as_table(run.identity, rows), {**(made_by or {}), **about})


def concatenate(paths: Sequence[str | Path], out: str | Path, made_by: Mapping[str, Any] | None = None) -> None:
    """Join the tables of one family over runs, in the order given.

    Raises:
        UserError: there is none, or they are of different families.
    """
    about = [read_made_by(path) for path in paths]
    families = {str(each.get("family")) for each in about}
    if len(families) != 1:
        raise UserError(
            f"{out}: the tables to join are of {' and '.join(sorted(families)) or 'no family'}; "
            "name tables of one family."
        )
    tables = [read_table(path).cast(SCHEMA) for path in paths]
    measures = {name: text for each in about for name, text in each["measures"].items()}
    whole = {"kind": "measures", "family": families.pop(), "measures": measures}
    write_table(out, pa.concat_tables(tables).unify_dictionaries().combine_chunks(), {**(made_by or {}), **whole})


def read_families(paths: Sequence[str | Path]) -> dict[str, pd.DataFrame]:
    """Tables of measures by family."""
    return {read_made_by(path)["family"]: read_table(path).to_pandas() for path in paths}


def _null_if_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _plain(kind: pa.DataType) -> pa.DataType:
    """Words are built as strings and made a dictionary by the cast."""
    return pa.string() if pa.types.is_dictionary(kind) else kind
