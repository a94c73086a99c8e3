"""Hidden states of a run, read from its snapshots a cycle at a time, so that memory does not grow with the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from resonance.storage import read_made_by

Floats = NDArray[np.float64]
PLACE = ("direction", "side", "text", "window", "position")
"""What tells where a vector was taken; the order of the rows."""


@dataclass(frozen=True)
class Tokens:
    """n vectors of one cycle and layer, ordered by direction, side, text, window, position.

    direction, side, text: words [n]. window, position (in the text), token, segment (-1: none): int [n].
    vectors: float64 [n, D].
    """

    direction: NDArray[Any]
    side: NDArray[Any]
    text: NDArray[Any]
    window: NDArray[Any]
    position: NDArray[Any]
    token: NDArray[Any]
    segment: NDArray[Any]
    vectors: Floats

    def __len__(self) -> int:
        """n."""
        return len(self.token)

    def where(self, direction: str | None = None, side: str | None = None, text: str | None = None) -> Tokens:
        """The tokens of one direction (or 'probe'), one side ('input', 'target'), one text; None: of all."""
        kept = np.ones(len(self), bool)
        for column, word in ((self.direction, direction), (self.side, side), (self.text, text)):
            if word is not None:
                kept &= column == word
        return self.take(kept)

    def take(self, places: NDArray[Any]) -> Tokens:
        """The tokens at these places (a mask or indices)."""
        return Tokens(**{name: getattr(self, name)[places] for name in self.__dataclass_fields__})

    def same_places(self, other: Tokens) -> bool:
        """Whether row i is the same token at the same place in both."""
        names = (*PLACE, "token")
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)


@dataclass(frozen=True)
class Moment:
    """The hidden states of every layer at one cycle.

    rows: per layer, the rows of `table` in the order of PLACE.
    """

    table: pa.Table
    vectors: NDArray[np.float32]
    rows: dict[int, NDArray[np.intp]]

    def layer(self, layer: int) -> Tokens:
        """The tokens of one layer."""
        rows = self.rows[layer]
        names = (*PLACE, "token", "segment")
        return Tokens(
            **{name: self.table[name].to_numpy()[rows] for name in names}, vectors=self.vectors[rows].astype(np.float64)
        )


@dataclass(frozen=True)
class Snapshots:
    """The snapshot files of one run.

    files: the file that holds each cycle. layers: 0 is the embedding, l the output of layer l.
    links: 0-based (article segment, meta segment) that say the same.
    """

    files: dict[int, Path]
    layers: tuple[int, ...]
    links: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Snapshots:
        """Look what is in the files; their vectors stay unread."""
        files: dict[int, Path] = {}
        layers: set[int] = set()
        links: list[list[int]] = []
        for path in paths:
            links = read_made_by(path)["links"]
            index = pq.read_table(path, columns=["cycle", "layer"], partitioning=None)
            layers |= set(index["layer"].unique().to_pylist())
            for cycle in index["cycle"].unique().to_pylist():
                if cycle in files:
                    raise ValueError(f"cycle {cycle} stands in {files[cycle]} and in {path}")
                files[cycle] = path
        return cls(dict(sorted(files.items())), tuple(sorted(layers)), tuple((i, j) for i, j in links))

    @property
    def cycles(self) -> tuple[int, ...]:
        """The cycles, ascending."""
        return tuple(self.files)

    def at(self, cycle: int) -> Moment:
        """Read one cycle; of a file only the row groups that hold it, and each vector once for all layers."""
        columns = ["layer", *PLACE, "token", "segment", "vector"]
        table = pq.read_table(self.files[cycle], columns=columns, filters=[("cycle", "==", cycle)], partitioning=None)
        vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        table = table.drop_columns("vector").unify_dictionaries()
        order = table.to_pandas().astype(dict.fromkeys(PLACE[:3], str)).sort_values(["layer", *PLACE])
        rows = {int(str(layer)): own.index.to_numpy() for layer, own in order.groupby("layer")}
        return Moment(table, vectors, rows)
