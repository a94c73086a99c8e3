"""What the explorer of the report shows of one run: tokens, how far each has moved, what each costs, and the paths.

Numbers are bytes, since a page holds some millions of them: a drift or a loss is one byte on a scale of squares, fine
near 0 where most of them lie, and a place in a plane is two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from resonance.figures.trajectory import plane
from resonance.params import DIRECTIONS
from resonance.report.coding import Floats, in_bytes, in_places, packed
from resonance.storage import read_made_by, read_table, write_text
from resonance.text.tokens import Tokens, read_tokens

LONGEST = 1200
"""Tokens of a text that can be looked at one by one; paths are those of the whole text."""

TOP_OF_DRIFT = 2.0
"""1 - cosine is at most 2."""

KEYS = ("learner", "pair", "schedule", "seed")
COLUMNS = ["cycle", "layer", "direction", "side", "position", "vector"]
SIDES = ("input", "target")

Place = tuple[str, str]
"""A direction and a side: where a text was read."""


def write_explorer(
    out: str | Path, name: str, tokens: Path, snapshots: Sequence[Path], evaluations: Sequence[Path]
) -> None:
    """Write the explorer's data of the run `name` (learner/pair/schedule/seed) as one line of JSON."""
    learner, pair, schedule, seed = name.split("/")
    run = {"learner": learner, "pair": pair, "schedule": schedule, "seed": int(seed)}
    data = {"run": run} | explorer_data(snapshots, evaluations, read_tokens(tokens))
    write_text(out, json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n")


def explorer_data(snapshots: Sequence[Path], evaluations: Sequence[Path], tokens: Tokens) -> dict[str, Any]:
    """One run as numbers and strings that JSON can hold.

    C marks, L layers, T tokens of a text that are shown, S segments of a text.

    Args:
        snapshots, evaluations: the files of one run, in any order; either may be empty, and may hold other marks.

    Returns:
        cycles [C] and layers [L], ascending; texts: tokens and segments [T], and how many tokens are left out; top: of
        the scales of drift and of nll; planes [L]: `low` and `span` of the square that places are told in, and
        `share` of the variance; ways: per direction and side `drift` bytes [C, L, T], `path` [L, C, 2] and `parts`
        [L, C, S, 2] as two-byte places, and of targets `nll` bytes [C, T] and `right` bits [C, T]: greedy output would
        say this token. What was not measured is not there.
    """
    seen = States(tokens)
    for path in sorted(snapshots):
        seen.read(path)
    known = _evaluated(evaluations)
    cycles = sorted({cycle for cycle, _ in seen.sums} | set(map(int, known["cycle"].unique())))
    layers = sorted({layer for _, layer in seen.sums})
    top = float(max(1.0, np.ceil(known["nll"].max()))) if len(known) else 1.0
    ways: dict[str, Any] = {}
    for direction in DIRECTIONS:
        sides = {side: _drift(seen, (direction, side), cycles, layers) for side in SIDES}
        sides["target"] |= _recall(known[known["direction"] == direction], cycles, tokens, direction[-1], top)
        if sides := {side: said for side, said in sides.items() if said}:
            ways[direction] = sides
    planes = _places(seen, cycles, layers, ways)
    return {
        "cycles": cycles,
        "layers": layers,
        "texts": {text: _text(tokens, text) for text in ("1", "2")},
        "top": {"drift": TOP_OF_DRIFT, "nll": top},
        "planes": planes,
        "ways": ways,
    }


@dataclass
class States:
    """Hidden states, read file by file: only what the explorer needs of them is kept.

    start: vectors of cycle 0, float32 [T, D], per direction, side and layer.
    drift: 1 - cosine to them, [T], per cycle, layer, direction and side; NaN where there is none.
    sums, counts: of the vectors of each segment, [S + 1, D] and [S + 1], the last row of tokens in no segment.
    """

    tokens: Tokens
    start: dict[tuple[Place, int], NDArray[np.float32]] = field(default_factory=dict)
    drift: dict[tuple[Place, int, int], Floats] = field(default_factory=dict)
    sums: dict[tuple[int, int], dict[Place, Floats]] = field(default_factory=dict)
    counts: dict[Place, dict[tuple[int, int], Floats]] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        """Add one file. Files must come in the order of their cycles."""
        read_made_by(path)
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096, columns=COLUMNS):
                vectors_ND = batch["vector"].flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
                keys = batch.drop_columns(["vector"]).to_pandas().astype({"direction": str, "side": str})
                positions = keys["position"].to_numpy()
                for (cycle, layer, direction, side), rows in keys.groupby(COLUMNS[:4], sort=False).indices.items():
                    if direction in DIRECTIONS and side in SIDES:
                        self._add(int(cycle), int(layer), (direction, side), positions[rows], vectors_ND[rows])

    def _add(self, cycle: int, layer: int, place: Place, at: NDArray[Any], vectors_ND: NDArray[np.float32]) -> None:
        text = text_of(place)
        segments = self.tokens.segments(text)
        width = vectors_ND.shape[1]
        if cycle == 0:
            whole = np.full((len(segments), width), np.nan, np.float32)
            self.start.setdefault((place, layer), whole)[at] = vectors_ND
        if (place, layer) in self.start:
            apart = 1 - cosine(vectors_ND, self.start[place, layer][at])
            nothing = np.full(len(segments), np.nan)
            self.drift.setdefault((place, cycle, layer), nothing)[at] = np.maximum(apart, 0.0)
        rows = int(segments.max(initial=-1)) + 2
        here = self.sums.setdefault((cycle, layer), {}).setdefault(place, np.zeros((rows, width)))
        np.add.at(here, segments[at], vectors_ND)
        number = self.counts.setdefault(place, {}).setdefault((cycle, layer), np.zeros(rows))
        np.add.at(number, segments[at], 1)


def text_of(place: Place) -> str:
    """The text that stands there: `1` or `2`."""
    direction, side = place
    return direction[0] if side == "input" else direction[-1]


def cosine(one_ND: NDArray[np.float32], other_ND: NDArray[np.float32]) -> Floats:
    """Row by row, [N]; NaN where a vector is missing, 1 where both are zero."""
    one, other = one_ND.astype(np.float64), other_ND.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    same = (one == other).all(axis=1)
    dots = (one * other).sum(axis=1)
    return np.where(same, 1.0, dots / np.where(lengths == 0, 1.0, lengths))


def _drift(seen: States, place: Place, cycles: list[int], layers: list[int]) -> dict[str, Any]:
    """The drift of every token in one place, or nothing where no state was recorded."""
    shown = min(LONGEST, len(seen.tokens.ids(text_of(place))))
    nothing = np.full(shown, np.nan)
    drift_CLT = np.array(
        [[seen.drift.get((place, cycle, layer), nothing)[:shown] for layer in layers] for cycle in cycles]
    )
    if not drift_CLT.size or np.isnan(drift_CLT).all():
        return {}
    return {"drift": packed(in_bytes(drift_CLT, TOP_OF_DRIFT))}


def _evaluated(paths: Sequence[Path]) -> pd.DataFrame:
    """The rows of the true targets with the true inputs."""
    columns = ["cycle", "condition", "direction", "window", "position", "nll", "correct"]
    frames = [read_table(path, columns).to_pandas() for path in sorted(paths)]
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return whole[whole["condition"] == "clean"].astype({"direction": str, "nll": float})


def _recall(rows: pd.DataFrame, cycles: list[int], tokens: Tokens, text: str, top: float) -> dict[str, Any]:
    """What each token of a target costs, and whether it would be said; the [EOS] behind each window is left out."""
    if rows.empty:
        return {}
    length = len(tokens.ids(text))
    nll_CT, right_CT = np.full((len(cycles), length), np.nan), np.zeros((len(cycles), length), bool)
    spans = {window: tokens.span(text, window) for window in range(tokens.windows)}
    first = rows["window"].map({window: span.start for window, span in spans.items()}).to_numpy()
    stop = rows["window"].map({window: span.stop for window, span in spans.items()}).to_numpy()
    at = first + rows["position"].to_numpy()
    mark = rows["cycle"].map({cycle: place for place, cycle in enumerate(cycles)}).to_numpy()
    inside = at < stop
    nll_CT[mark[inside], at[inside]] = rows["nll"].to_numpy()[inside]
    right_CT[mark[inside], at[inside]] = rows["correct"].to_numpy(bool)[inside]
    bits = np.packbits(right_CT[:, :LONGEST], axis=1, bitorder="little")
    return {"nll": packed(in_bytes(nll_CT[:, :LONGEST], top)), "right": packed(bits)}


def _places(seen: States, cycles: list[int], layers: list[int], ways: dict[str, Any]) -> list[dict[str, Any]]:
    """The plane of each layer; adds the path of every text and of its segments to `ways`.

    One plane for all cycles and directions of a layer, that of the first two principal components of all points that
    are drawn in it: the mean states of texts and of segments. Distances are true as far as the plane reaches.
    """
    planes = []
    found: dict[Place, list[tuple[NDArray[Any], NDArray[Any]]]] = {place: [] for place in seen.counts}
    for layer in layers:
        # per place [C, 1 + S, D]: the text, then its segments
        means = {place: np.array([_means(seen, cycle, layer, place) for cycle in cycles]) for place in found}
        flat_ND = np.concatenate([each.reshape(-1, each.shape[-1]) for each in means.values()])
        there = ~np.isnan(flat_ND).any(axis=1)
        points = np.full((len(flat_ND), 2), np.nan)
        points[there], shares = plane(flat_ND[there])
        low = np.nanmin(points, axis=0)
        span = float((np.nanmax(points, axis=0) - low).max()) or 1.0
        ends = np.cumsum([each.shape[0] * each.shape[1] for each in means.values()])
        for (place, each), end in zip(means.items(), ends, strict=True):
            n = each.shape[0] * each.shape[1]
            coded = in_places(points[end - n : end].reshape(*each.shape[:2], 2), low, span)
            found[place].append((coded[:, 0], coded[:, 1:]))
        share = float(shares.sum())
        planes.append({"low": [float(f"{x:.6g}") for x in low], "span": float(f"{span:.6g}"), "share": round(share, 4)})
    for (direction, side), own in found.items():
        path_LC2, parts_LCS2 = (np.array(kind) for kind in zip(*own, strict=True))
        ways.setdefault(direction, {}).setdefault(side, {}).update(
            {"path": packed(path_LC2), "parts": packed(parts_LCS2)}
        )
    return planes


def _means(seen: States, cycle: int, layer: int, place: Place) -> Floats:
    """The mean state of a text, then of each of its segments, [1 + S, D]; NaN where there is none."""
    counts = seen.counts[place].get((cycle, layer))
    if counts is None:
        like = next(iter(seen.counts[place]))
        return np.full_like(seen.sums[like][place], np.nan)
    sums = seen.sums[cycle, layer][place]
    parts = np.divide(sums, counts[:, None], out=np.full_like(sums, np.nan), where=counts[:, None] > 0)
    return np.concatenate([sums.sum(axis=0)[None] / counts.sum(), parts[:-1]])


def _text(tokens: Tokens, text: str) -> dict[str, Any]:
    """What is shown of a text."""
    pieces, segments = tokens.pieces(text), tokens.segments(text)
    return {
        "tokens": [str(piece) for piece in pieces[:LONGEST]],
        "segments": [int(segment) for segment in segments[:LONGEST]],
        "left_out": max(0, len(pieces) - LONGEST),
    }
