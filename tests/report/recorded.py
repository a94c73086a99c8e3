"""What a run leaves of its states and predictions, made up so that every number is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resonance.params import DIRECTIONS
from resonance.storage import write_table
from resonance.text.tokenizer import MARKERS
from resonance.text.tokens import SCHEMA, Tokens, read_tokens

RUN = {"learner": "gpt", "pair": "spacing", "schedule": "shuffled", "seed": 0}
WIDTH = 6
LAYERS = 3

Vector = Callable[[int, int, str, str, int], NDArray[np.float64]]
"""The state at a cycle and layer, of a direction, side and position."""


def write_tokens(path: Path, first: Sequence[str], second: Sequence[str], windows: int = 1) -> Tokens:
    """A pair whose tokens are these, three to a segment, cut into windows of equal numbers."""
    rows: list[tuple[Any, ...]] = []
    for name, pieces in (("1", first), ("2", second)):
        cuts = np.linspace(0, len(pieces), windows + 1).astype(int)
        for at, piece in enumerate(pieces):
            window = int(np.searchsorted(cuts, at, side="right")) - 1
            rows.append((name, at, 10 + at, piece, at // 3, at, at + 1, window))
    rows += [(name, 0, number, name, -1, 0, 0, 0) for number, name in enumerate(MARKERS, start=1)]
    columns = zip(*rows, strict=True)
    table = pa.table({field.name: pa.array(column) for field, column in zip(SCHEMA, columns, strict=True)})
    facts = {
        "vocabulary": 64,
        "windows": windows,
        "context": 64,
        "links": [],
        "anchors": {},
        "tokenizer": "",
        "notes": [],
    }
    write_table(path, table.cast(SCHEMA), facts | {"kind": "tokens", "name": "spacing", "bytes": {"1": [9], "2": [9]}})
    return read_tokens(path)


def vector(cycle: int, layer: int, direction: str, side: str, position: int) -> NDArray[np.float64]:
    """A state that turns with the cycles, faster in higher layers; inputs do not know their direction."""
    text = direction[0] if side == "input" else direction
    seed = [layer, ord(text[0]), ord(text[-1]), len(text), position]
    start, away = np.random.default_rng(seed).normal(size=(2, WIDTH))
    return start + away * np.log1p(cycle) * (layer + 1) / 4


def write_snapshots(
    path: Path, tokens: Tokens, cycles: Sequence[int], of: Vector = vector, directions: Sequence[str] = DIRECTIONS
) -> Path:
    """The states at these cycles, and of a probe, which the explorer does not show."""
    rows = [
        (cycle, layer, direction, side, position, of(cycle, layer, direction, side, position))
        for cycle in cycles
        for direction in directions
        for side, text in (("input", direction[0]), ("target", direction[-1]))
        for layer in range(LAYERS)
        for position in range(len(tokens.ids(text)))
    ]
    rows += [(cycle, 0, "probe", "input", 0, np.ones(WIDTH)) for cycle in cycles]
    cycle, layer, direction, side, position, vectors = (list(column) for column in zip(*rows, strict=True))
    table = pa.table(
        {
            "cycle": pa.array(cycle, pa.int64()),
            "layer": pa.array(layer, pa.int16()),
            "direction": pa.array(direction).dictionary_encode(),
            "side": pa.array(side).dictionary_encode(),
            "position": pa.array(position, pa.int32()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors), pa.float32()), WIDTH),
        }
    )
    write_table(path, table, RUN)
    return path


def nll(cycle: int, direction: str, position: int) -> float:
    """What a token costs: less with every cycle, more with every position."""
    return (7 + position / 10 + DIRECTIONS.index(direction) / 100) / (1 + cycle)


def write_evaluations(
    path: Path, tokens: Tokens, cycles: Sequence[int], directions: Sequence[str] = DIRECTIONS
) -> Path:
    """The predictions of each window of each target, with the [EOS] behind it, and under a changed input."""
    rows = []
    for cycle in cycles:
        for direction in directions:
            for window in range(tokens.windows):
                span = tokens.span(direction[-1], window)
                for offset in range(span.stop - span.start + 1):
                    cost = nll(cycle, direction, span.start + offset)
                    rows.append((cycle, "clean", direction, window, offset, cost, cost < 2))
                    rows.append((cycle, "input:blank", direction, window, offset, 99.0, False))
    names = ["cycle", "condition", "direction", "window", "position", "nll", "correct"]
    table = pa.table({name: pa.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
    write_table(path, table, RUN)
    return path
