"""Schedules as Parquet: one row per cycle, written and read in parts, so that memory does not grow with the cycles.

Cycles count from 1. `start` and `stop` count finished cycles: a schedule between them holds cycles start + 1 ... stop.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from resonance import storage
from resonance.errors import UserError
from resonance.params import Block, canonical
from resonance.schedule import chunks
from resonance.schedule.orders import SLOTS, Indices, indices, window_indices, words

PART = 1 << 20
"""Rows per row group, and so the cycles that are in memory at once."""

_WINDOW_COLUMNS = [f"window_{slot}" for slot in range(1, SLOTS + 1)]
_NO_WINDOWS = (0,) * SLOTS
_LISTED = 1 << 14
"""Cycles turned into Python objects at once."""


def provenance(order: Block, seed: int, windows: int, start: int, stop: int) -> dict[str, Any]:
    """What the schedule of cycles start + 1 ... stop is, as its file says it and as `read_schedule` expects it."""
    return {
        "kind": "schedule",
        "order": order.model_dump(mode="json"),
        "seed": seed,
        "windows": windows,
        "start": start,
        "stop": stop,
    }


def write_schedule(
    path: str | Path,
    order: Block,
    seed: int,
    windows: int,
    start: int,
    stop: int,
    made_by_extra: dict[str, Any] | None = None,
) -> None:
    """Write cycles start + 1 ... stop of a schedule; equal arguments give equal bytes.

    Columns: `cycle` int64; `order` dictionary of text, indices packed to the bits they need; `window_1` ... `window_4`
    uint16 where `windows` > 1. `made_by_extra` joins the provenance in the metadata.

    Raises:
        ValueError: where there is no such cycle, or `start` is below 0.
    """
    if not 0 <= start < stop:
        raise ValueError(f"no cycles {start + 1} to {stop}: they count from 1, and at least one must be written")
    dictionary = pa.array(words(order))
    fields = [pa.field("cycle", pa.int64(), nullable=False)]
    fields += [pa.field("order", pa.dictionary(pa.uint8(), pa.string()), nullable=False)]
    fields += [pa.field(column, pa.uint16(), nullable=False) for column in _WINDOW_COLUMNS if windows > 1]
    made_by = {**(made_by_extra or {}), **provenance(order, seed, windows, start, stop)}
    schema = pa.schema(fields, metadata={storage.KEY: json.dumps(made_by, sort_keys=True, ensure_ascii=False)})
    with storage.written(path) as part, pq.ParquetWriter(part, schema, **_encoding(schema.names)) as writer:
        for left in range(start, stop, PART):
            right = min(stop, left + PART)
            chosen = indices(order, seed, left, right)
            cycles = pa.array(np.arange(left + 1, right + 1))
            columns = [cycles, pa.DictionaryArray.from_arrays(pa.array(chosen), dictionary)]
            if windows > 1:
                drawn = window_indices(seed, windows, left, right)
                columns += [pa.array(np.ascontiguousarray(drawn[:, slot])) for slot in range(SLOTS)]
            writer.write_batch(pa.record_batch(columns, schema=schema), row_group_size=PART)


def write_schedules(
    folder: str | Path,
    order: Block,
    seed: int,
    windows: int,
    edges: Sequence[int],
    made_by_extra: dict[str, Any] | None = None,
    workers: int = 2,
) -> list[Path]:
    """Write the schedule of every chunk of a run, as `<folder>/<last cycle of the chunk>.parquet`.

    edges: the last cycle of each chunk, ascending, as `chunks.edges` gives them; the first chunk begins with cycle 1.
    Threads are enough: drawing and packing release the interpreter's lock, and share one process's memory.
    """

    def write(span: tuple[int, int]) -> Path:
        start, stop = span
        path = Path(folder) / f"{chunks.name(stop)}.parquet"
        write_schedule(path, order, seed, windows, start, stop, made_by_extra)
        return path

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(write, pairwise([0, *edges])))


class Part(NamedTuple):
    """n neighbouring cycles.

    first: the number of the first one, from 1. indices [n]: which of `words` each one has. words: those of the order.
    windows [n, 4]: the window of each slot; None where texts are whole.
    """

    first: int
    indices: Indices
    words: tuple[str, ...]
    windows: NDArray[np.uint16] | None


@dataclass(frozen=True)
class Schedule:
    """A schedule file that was found to be what it says; `read_schedule` makes one.

    start, stop: how many cycles are finished before and after it; it holds cycles start + 1 ... stop.
    """

    path: Path
    made_by: dict[str, Any]
    start: int
    stop: int

    def parts(self, start: int | None = None) -> Iterator[Part]:
        """The cycles from start + 1 on, one row group at a time; none where `start` is the last cycle.

        start: how many cycles of the run are done already, as in its log and marks; default: those before the file.

        Raises:
            ValueError: where the file neither holds cycle start + 1 nor ends with cycle `start`.
            UserError: where a page does not have the checksum it was written with.
        """
        start = self.start if start is None else start
        if not self.start <= start <= self.stop:
            held = f"{self.path}, which holds cycles {self.start + 1} to {self.stop}"
            raise ValueError(f"cycle {start + 1}, the one after {start}, is outside {held}")
        columns = ["order", *_WINDOW_COLUMNS] if self.made_by["windows"] > 1 else ["order"]
        with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
            left = self.start
            for group in range(file.num_row_groups):
                right = left + file.metadata.row_group(group).num_rows
                if right > start:
                    try:
                        table = file.read_row_group(group, columns=columns, use_threads=False)
                    except (pa.ArrowException, OSError):
                        raise _damaged(self.path) from None
                    yield _part(table, left, max(left, start))
                left = right

    def slots(self, start: int | None = None) -> Iterator[tuple[int, tuple[str, ...], tuple[int, ...]]]:
        """(cycle, its four directions, their four windows) for cycles start + 1, start + 2, ...; see `parts`.

        The number of the cycle is that of the file's column; windows are 0 where texts are whole.
        """
        for part in self.parts(start):
            directions = [tuple(word.split()) for word in part.words]
            for left in range(0, len(part.indices), _LISTED):
                listed = slice(left, left + _LISTED)
                chosen = part.indices[listed].tolist()
                drawn = repeat(_NO_WINDOWS) if part.windows is None else map(tuple, part.windows[listed].tolist())
                for cycle, (index, of_slots) in enumerate(zip(chosen, drawn, strict=False), part.first + left):
                    yield cycle, directions[index], of_slots


def read_schedule(path: str | Path, expected: dict[str, Any] | None = None) -> Schedule:
    """Open a schedule, after checking that it is whole and, for each key in `expected`, made by that value.

    Raises:
        UserError: where it is missing, damaged, not a schedule, or made by other values than expected.
    """
    path = Path(path)
    made_by = storage.read_made_by(path)
    if made_by.get("kind") != "schedule":
        raise UserError(f"{path} is not a schedule: delete it and run `snakemake -- {path}`.")
    differing = [
        f"{key} {canonical(made_by.get(key))} in place of {canonical(value)}"
        for key, value in (expected or {}).items()
        if canonical(made_by.get(key)) != canonical(value)
    ]
    if differing:
        raise UserError(f"{path} was made with {'; '.join(differing)}: delete it and run `snakemake -- {path}`.")
    schedule = Schedule(path, made_by, made_by["start"], made_by["stop"])
    if pq.read_metadata(path).num_rows != schedule.stop - schedule.start:
        raise _damaged(path)
    return schedule


def slots(
    path: str | Path, start: int | None = None, expected: dict[str, Any] | None = None
) -> Iterator[tuple[int, tuple[str, ...], tuple[int, ...]]]:
    """Read a schedule file cycle by cycle, from cycle start + 1 on; see `Schedule.slots`."""
    return read_schedule(path, expected).slots(start)


def _encoding(columns: list[str]) -> dict[str, Any]:
    """How columns are packed: cycles as equal steps, which shrink to nothing; words and windows as bare bits."""
    return {
        "column_encoding": {"cycle": "DELTA_BINARY_PACKED"},
        "use_dictionary": [column for column in columns if column != "cycle"],
        "compression": {column: "zstd" if column == "cycle" else "none" for column in columns},
        "write_statistics": ["cycle"],
        "write_page_checksum": True,
    }


def _part(table: pa.Table, left: int, start: int) -> Part:
    """From a row group that begins with cycle left + 1, the cycles from start + 1 on."""
    table = table.slice(start - left)
    order = table.column("order").combine_chunks()
    windows = None
    if table.num_columns > 1:
        windows = np.column_stack([table.column(column).to_numpy() for column in _WINDOW_COLUMNS])
    return Part(start + 1, order.indices.to_numpy().astype(np.uint8), tuple(order.dictionary.to_pylist()), windows)


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged: delete it and run `snakemake -- {path}`.")
