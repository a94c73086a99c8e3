"""The tokens of a pair: one table with both texts, the probes and the markers, and its reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resonance import storage
from resonance.errors import UserError
from resonance.text.facts import with_facts
from resonance.text.pair import Pair
from resonance.text.probes import with_shuffled
from resonance.text.segments import SIDES, Span, anchor_spans
from resonance.text.tokenizer import MARKERS, Encoded, Tokenizer
from resonance.text.windows import cut_windows, limit

Ids = NDArray[np.int64]

SCHEMA = pa.schema(
    [
        pa.field("text", pa.dictionary(pa.int32(), pa.string()), False, {"about": "1, 2, a probe, or a marker"}),
        pa.field("position", pa.int32(), False, {"unit": "tokens from the start of the text"}),
        pa.field("token", pa.int32(), False, {"about": "id in the tokenizer's vocabulary"}),
        pa.field("piece", pa.string(), False, {"about": "the token, readable; parts of characters as \\xd0"}),
        pa.field("segment", pa.int16(), False, {"about": "segment from 0, -1 for none"}),
        pa.field("start", pa.int32(), False, {"unit": "characters from the start of the text"}),
        pa.field("stop", pa.int32(), False, {"unit": "characters from the start of the text, not included"}),
        pa.field("window", pa.int16(), False, {"about": "window from 0; 0 for probes and markers"}),
    ]
)


def tokenize(pair: Pair, tokenizer: Tokenizer, context: int) -> pa.Table:
    """Tokens of both texts, of the probes (those of `with_shuffled` too) and of the markers.

    Columns as in SCHEMA. A probe that is longer than a window is cut to one, so that it fits with any text. `facts` of
    the table: kind, name, vocabulary V, windows W, context, links, anchors ({anchor: {'1': [[token, stop], ...]}}),
    bytes ({text: UTF-8 bytes per window}), the tokenizer's sha256, notes.
    """
    pair = with_shuffled(pair)
    notes = list(pair.notes)
    longest = limit(tokenizer.markers, context)
    texts = pair.texts | pair.probes
    encoded = {name: tokenizer.encode(text) for name, text in texts.items()}
    for name, tokens in encoded.items():
        if not tokens.ids:
            raise UserError(f"{pair.name}: the tokenizer finds nothing in text {name!r}; choose another model.")
    cuts = cut_windows(pair, {side: encoded[side] for side in SIDES}, longest)
    for name in pair.probes:
        kept = _kept(encoded[name], longest)
        if kept < len(encoded[name].ids):
            notes.append(f"probe {name} is cut to its first {kept} of {len(encoded[name].ids)} tokens")
            encoded[name] = first(encoded[name], kept)
            texts[name] = texts[name][: encoded[name].offsets[-1][1]]
        cuts[name] = np.array([0, kept])
    rows = [
        _rows(name, encoded[name], _segment_of(texts[name], encoded[name], pair.segments.get(name, [])), cuts[name])
        for name in texts
    ]
    rows += [_marker_rows(name, tokenizer) for name in MARKERS]
    facts = {
        "kind": "tokens",
        "name": pair.name,
        "vocabulary": tokenizer.vocabulary,
        "windows": len(cuts["1"]) - 1,
        "context": context,
        "links": pair.links,
        "anchors": {
            anchor: {side: _token_spans(encoded[side], anchor_spans(pair.texts[side], anchor)) for side in SIDES}
            for anchor in pair.anchors
        },
        "bytes": {name: _bytes(texts[name], encoded[name], cuts[name]) for name in texts},
        "tokenizer": tokenizer.sha256,
        "notes": notes,
    }
    return with_facts(pa.concat_tables(rows).unify_dictionaries().combine_chunks(), facts)


def _kept(encoded: Encoded, longest: int) -> int:
    """How many tokens of a probe are kept: at most `longest`, ending with a whole character."""
    kept = min(longest, len(encoded.ids))
    while 0 < kept < len(encoded.ids) and encoded.offsets[kept][0] < encoded.offsets[kept - 1][1]:
        kept -= 1
    return kept


def first(encoded: Encoded, kept: int) -> Encoded:
    """The first tokens of a text."""
    return Encoded(encoded.ids[:kept], encoded.offsets[:kept], encoded.pieces[:kept])


def _segment_of(text: str, encoded: Encoded, spans: list[Span]) -> list[int]:
    """The segment in which the first visible character of each token lies; -1 for white space and without segments."""
    segments = []
    current = 0
    for start, stop in encoded.offsets:
        visible = next((place for place in range(start, stop) if not text[place].isspace()), None)
        while visible is not None and current < len(spans) and spans[current].stop <= visible:
            current += 1
        inside = visible is not None and current < len(spans) and spans[current].start <= visible
        segments.append(current if inside else -1)
    return segments


def _token_spans(encoded: Encoded, spans: list[Span]) -> list[list[int]]:
    """[first token, stop token] of every span of characters: all tokens that touch it."""
    starts, stops = np.array(encoded.offsets).T
    return [
        [int(np.searchsorted(stops, span.start, side="right")), int(np.searchsorted(starts, span.stop))]
        for span in spans
    ]


def _bytes(text: str, encoded: Encoded, cuts: NDArray[np.int64]) -> list[int]:
    """UTF-8 bytes of every window; they sum to those of the text."""
    edges = [0, *(encoded.offsets[cut][0] for cut in cuts[1:-1]), len(text)]
    return [len(text[start:stop].encode()) for start, stop in pairwise(edges)]


def _rows(name: str, encoded: Encoded, segments: list[int], cuts: NDArray[np.int64]) -> pa.Table:
    length = len(encoded.ids)
    columns = {
        "text": pa.array([name] * length).dictionary_encode(),
        "position": np.arange(length, dtype=np.int32),
        "token": encoded.ids,
        "piece": encoded.pieces,
        "segment": segments,
        "start": [start for start, _ in encoded.offsets],
        "stop": [stop for _, stop in encoded.offsets],
        "window": np.repeat(np.arange(len(cuts) - 1, dtype=np.int16), np.diff(cuts)),
    }
    return pa.table(columns, schema=SCHEMA)


def _marker_rows(name: str, tokenizer: Tokenizer) -> pa.Table:
    ids = tokenizer.markers[name]
    encoded = Encoded(ids, [(0, 0)] * len(ids), [name] * len(ids))
    return _rows(name, encoded, [-1] * len(ids), np.array([0, len(ids)]))


@dataclass(frozen=True)
class Rows:
    """The columns of one text, each of length T."""

    ids: Ids
    pieces: NDArray[np.object_]
    segments: NDArray[np.int64]
    offsets: NDArray[np.int64]
    cuts: NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """A tokenised pair, as arrays that cannot be written to.

    name: the pair. vocabulary: V. windows: W, the same for both texts. context: longest sequence.
    texts: names of all texts, '1' and '2' first, then the probes.
    markers: token ids by name, e.g. '[BOS]'.
    links: (segment of text 1, segment of text 2), from 0.
    anchors: {anchor: {'1': [[first token, stop token], ...], '2': ...}}, positions in the whole text.
    tokenizer: sha256 of the tokenizer. notes: what was cut or is missing.
    """

    name: str
    vocabulary: int
    windows: int
    context: int
    texts: tuple[str, ...]
    markers: dict[str, list[int]]
    links: list[tuple[int, int]]
    anchors: dict[str, dict[str, list[list[int]]]]
    tokenizer: str
    notes: list[str]
    rows: dict[str, Rows]
    bytes: dict[str, list[int]]

    @property
    def probes(self) -> tuple[str, ...]:
        """Names of the texts that are never trained on."""
        return tuple(text for text in self.texts if text not in SIDES)

    def span(self, text: str, window: int | None = None) -> slice:
        """Positions of a window in its text (None: all of it). A probe has one window, number 0."""
        cuts = self.rows[text].cuts
        if window is None:
            return slice(0, int(cuts[-1]))
        if not 0 <= window < len(cuts) - 1:
            raise ValueError(f"text {text!r} has windows 0 to {len(cuts) - 2}, not {window}")
        return slice(int(cuts[window]), int(cuts[window + 1]))

    def ids(self, text: str, window: int | None = None) -> Ids:
        """Token ids, int64 [T]."""
        return self.rows[text].ids[self.span(text, window)]

    def segments(self, text: str, window: int | None = None) -> NDArray[np.int64]:
        """Segment of every token, int64 [T]; -1 for none."""
        return self.rows[text].segments[self.span(text, window)]

    def pieces(self, text: str, window: int | None = None) -> NDArray[np.object_]:
        """Readable tokens, str [T]."""
        return self.rows[text].pieces[self.span(text, window)]

    def offsets(self, text: str, window: int | None = None) -> NDArray[np.int64]:
        """First character and stop character of every token in its text, int64 [T, 2]."""
        return self.rows[text].offsets[self.span(text, window)]

    def bytes_of(self, text: str, window: int | None = None) -> int:
        """UTF-8 bytes, for bits per byte."""
        self.span(text, window)
        return sum(self.bytes[text]) if window is None else self.bytes[text][window]


def read_tokens(path: str | Path) -> Tokens:
    """Read a tokens table that was written with `storage.write_table`."""
    facts = storage.read_made_by(path)
    if facts.get("kind") != "tokens":
        raise UserError(f"{path} does not hold tokens (kind: {facts.get('kind')!r}): name a tokens.parquet.")
    return as_tokens(storage.read_table(path), facts)


def as_tokens(table: pa.Table, facts: dict[str, Any]) -> Tokens:
    """The reader's form of a table and its facts."""
    rows = dict(_read_rows(table))
    return Tokens(
        name=facts["name"],
        vocabulary=facts["vocabulary"],
        windows=facts["windows"],
        context=facts["context"],
        texts=tuple(name for name in rows if name not in MARKERS),
        markers={name: rows[name].ids.tolist() for name in MARKERS},
        links=[(first, second) for first, second in facts["links"]],
        anchors=facts["anchors"],
        tokenizer=facts["tokenizer"],
        notes=facts["notes"],
        rows=rows,
        bytes=facts["bytes"],
    )


def _read_rows(table: pa.Table) -> Iterator[tuple[str, Rows]]:
    """Each text with its rows, in the order of the table; the rows of a text stand together."""
    names = np.array(table["text"].to_pylist(), dtype=object)
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "text"}
    edges = np.flatnonzero(np.append(True, names[1:] != names[:-1])).tolist()
    for start, stop in zip(edges, [*edges[1:], len(names)], strict=True):
        part = {name: column[start:stop] for name, column in columns.items()}
        cuts = np.append(np.flatnonzero(np.diff(part["window"], prepend=-1)), stop - start)
        rows = Rows(
            ids=part["token"].astype(np.int64),
            pieces=part["piece"].astype(object),
            segments=part["segment"].astype(np.int64),
            offsets=np.stack([part["start"], part["stop"]], axis=1).astype(np.int64),
            cuts=cuts,
        )
        for array in vars(rows).values():
            array.flags.writeable = False
        yield str(names[start]), rows
