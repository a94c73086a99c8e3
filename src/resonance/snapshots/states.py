"""Marks → hidden states: every layer, on the four directions and on the probes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from resonance.learning.batch import Batch, batch
from resonance.learning.learner import Learner
from resonance.params import DIRECTIONS, canonical
from resonance.snapshots.evaluation import DICTIONARY, numpy
from resonance.snapshots.learners import learners
from resonance.storage import KEY, written
from resonance.text.prompt import prompt
from resonance.text.tokens import Tokens
from resonance.training.run import Run

Span = tuple[str, str, str, int, slice]
"""direction, side, text, window, and where in the sequence the text stands."""


def snapshot_states(run: Run, marks_file: Path, out: Path) -> None:
    """Write one row per cycle, layer, direction, side and token, a row group per cycle, in constant memory."""
    made_by = {**run.made_by, "kind": "snapshots", "links": run.tokens.links}
    writer: pq.ParquetWriter | None = None
    with written(out) as part:
        for cycle, learner in learners(run, marks_file):
            if writer is None:
                schema = snapshot_schema(learner.network.width, made_by)
                writer = pq.ParquetWriter(part, schema, compression="zstd", use_dictionary=DICTIONARIES)
            writer.write_table(pa.concat_tables(states(learner, run.tokens, cycle, writer.schema)))
        assert writer is not None, "a chunk has at least one mark"
        writer.close()


DICTIONARIES = ["direction", "side", "text"]


def snapshot_schema(width: int, made_by: dict[str, Any]) -> pa.Schema:
    """The columns of a snapshot file; vectors are float32 [D]."""
    fields = {
        "cycle": pa.int64(),
        "layer": pa.int16(),
        "direction": DICTIONARY,
        "side": DICTIONARY,
        "text": DICTIONARY,
        "window": pa.int16(),
        "position": pa.int32(),
        "token": pa.int32(),
        "segment": pa.int16(),
        "vector": pa.list_(pa.float32(), width),
    }
    return pa.schema(fields, metadata={KEY: canonical(made_by)})


@torch.no_grad()
def states(learner: Learner, tokens: Tokens, cycle: int, schema: pa.Schema) -> Iterator[pa.Table]:
    """The hidden states of a learner at one cycle, a table per sequence, side and layer."""
    for sequence, spans in sequences(learner, tokens):
        output = learner.read(sequence, whole=True)
        for direction, side, text, window, place in spans:
            for layer, hidden_BTD in enumerate(output.hidden):
                assert hidden_BTD is not None
                yield rows(schema, cycle, layer, (direction, side, text, window, place), hidden_BTD[0, place], tokens)


def rows(schema: pa.Schema, cycle: int, layer: int, span: Span, hidden_TD: Tensor, tokens: Tokens) -> pa.Table:
    """One table: the vectors of one text in one place."""
    direction, side, text, window, _ = span
    n, width = hidden_TD.shape
    first = tokens.span(text, window).start
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(numpy(hidden_TD.float()).ravel()), width)
    columns = [
        pa.array(np.full(n, cycle), pa.int64()),
        pa.array(np.full(n, layer), pa.int16()),
        *(pa.array([word] * n, pa.string()).cast(DICTIONARY) for word in (direction, side, text)),
        pa.array(np.full(n, window), pa.int16()),
        pa.array(np.arange(first, first + n), pa.int32()),
        pa.array(tokens.ids(text, window), pa.int32()),
        pa.array(tokens.segments(text, window), pa.int16()),
        vectors,
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def sequences(learner: Learner, tokens: Tokens) -> Iterator[tuple[Batch, list[Span]]]:
    """Every sequence that is looked at, with the texts in it: the four directions, and `[BOS] PROBE` alone."""
    begin = np.array(tokens.markers["[BOS]"], np.int64)
    for direction in DIRECTIONS:
        source, _, goal = direction.partition(">")
        for window in range(tokens.windows):
            made = prompt(tokens, direction, learner.settings.marker, window)
            target = slice(made.target.start, made.target.start + len(tokens.ids(goal, window)))
            yield (
                batch(made, direction, window, learner.device),
                [(direction, "input", source, window, made.input), (direction, "target", goal, window, target)],
            )
    for text in tokens.texts:
        if text not in ("1", "2"):
            sequence = np.concatenate([begin, tokens.ids(text)])
            tokens_BT = torch.from_numpy(sequence).to(learner.device)[None]
            span = ("probe", "input", text, 0, slice(len(begin), len(sequence)))
            yield Batch(tokens_BT, len(sequence), "probe", 0, text), [span]
