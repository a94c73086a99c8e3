"""Where each text stands inside a network, and how it moves over the cycles: one plane per learner, fitted once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resonance.figures.cycles import in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import learners
from resonance.figures.sheet import of, sheet
from resonance.figures.style import BLACK, DASHED, DIRECTIONS, GREY, SOLID, Mark, styled
from resonance.storage import read_made_by

KEYS = ["cycle", "layer", "direction", "side", "text"]

INPUTS: dict[str, Mark] = {
    "1": Mark(BLACK, SOLID, "P", "text 1 as input"),
    "2": Mark(GREY, DASHED, "X", "text 2 as input"),
}
"""The input is read before the network knows the direction, so it has one line per text, not one per direction."""

TARGETS: dict[str, Mark] = {
    direction: Mark(mark.colour, mark.dash, mark.marker, f"target of {mark.label}")
    for direction, mark in DIRECTIONS.items()
}


def pooled_states(paths: Iterable[Path]) -> pd.DataFrame:
    """The mean state of each text, from the snapshot files of one or more runs.

    One row per learner, pair, schedule, seed, cycle, layer, direction, side and text; `vector` holds the mean over
    windows and positions, float64 of shape (D,). Files are read row group by row group, so memory does not grow with
    the number of cycles or positions.

    Args:
        paths: `snapshots/<learner>/<pair>/<schedule>/<seed>/<stop>.parquet`.
    """
    sums: dict[tuple[Any, ...], NDArray[np.float64]] = {}
    counts: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for path in sorted(paths):
        made_by = read_made_by(path)
        run = tuple(made_by[key] for key in ("learner", "pair", "schedule", "seed"))
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096, columns=[*KEYS, "vector"]):
                _add(batch, run, sums, counts)
    return pd.DataFrame(
        [[*key, total / counts[key]] for key, total in sums.items()],
        columns=["learner", "pair", "schedule", "seed", *KEYS, "vector"],
    )


def _add(
    batch: pa.RecordBatch,
    run: tuple[Any, ...],
    sums: dict[tuple[Any, ...], NDArray[np.float64]],
    counts: defaultdict[tuple[Any, ...], int],
) -> None:
    """Add the vectors of a batch to the sums of their texts."""
    vectors_BD = batch["vector"].flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
    keys = batch.select(KEYS).to_pandas().astype({"direction": str, "side": str, "text": str})
    for key, places in keys.groupby(KEYS, sort=False).indices.items():
        whole = (*run, *key)
        total = vectors_BD[places].sum(axis=0, dtype=np.float64)
        sums[whole] = sums[whole] + total if whole in sums else total
        counts[whole] += len(places)


def plane(vectors_ND: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The plane through the mean along which the vectors vary most (principal components by SVD).

    Each axis points to where its largest loading is positive, so that the picture does not depend on the sign that
    a linear algebra library happens to choose.

    Returns:
        coordinates of the vectors, shape (N, 2), and the two axes' shares of the variance, shape (2,).
    """
    centred = vectors_ND - vectors_ND.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    axes, singular = axes[:2], singular.copy()
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    total = float((singular**2).sum())
    shares = singular[:2] ** 2 / total if total > 0 else np.zeros(len(axes))
    missing = 2 - len(axes)
    return np.pad(centred @ axes.T, ((0, 0), (0, missing))), np.pad(shares, (0, missing))


@styled
def draw(states: pd.DataFrame, layer: int | None = None) -> Figure:
    """One panel per learner: the paths of its six mean states (two inputs, four targets) in one plane for all cycles.

    Args:
        states: what `pooled_states` returns, of one pair and schedule. Of several seeds the first is drawn: the planes
            of two networks have nothing to do with each other.
        layer: which layer; None takes the last one of each learner.
    """
    kept = states[states["side"].isin(["input", "target"]) & (states["direction"] != "probe")]
    kept = kept[kept["layer"] == (kept.groupby("learner")["layer"].transform("max") if layer is None else layer)]
    if kept.empty:
        which = "" if layer is None else f" of layer {layer}"
        return notice("Paths of the mean states", f"there are no snapshots{which}; a run takes them at its marks.")
    seed = kept["seed"].min()
    kept = kept[kept["seed"] == seed]
    names = learners(kept)
    paths = {name: _paths(kept[kept["learner"] == name]) for name in names}
    last = int(kept["cycle"].max())
    where = "the last layer" if layer is None else f"layer {layer}"
    page = sheet(
        names,
        title=headline(paths, last),
        subtitle=(
            f"pair {kept['pair'].iloc[0]} · schedule {kept['schedule'].iloc[0]} · seed {seed} · {where} · "
            f"open: cycle 0, filled: cycle {last:,}, small: snapshots between; "
            "%: share of the variance in this plane"
        ),
        legend=[*TARGETS.values(), *INPUTS.values()],
        share=False,
        height={1: 4.4, 2: 3.0, 3: 2.3}.get(len(names)),
    )
    for name, axes in zip(names, page.panels, strict=True):
        share = _panel(axes, paths[name], nbins=5 if page.columns < 3 else 4)
        page.corner(axes, f"{share:.0%} of the variance", f"{share:.0%}")
    page.label("first principal component (units of activation)", "second principal component (units of activation)")
    return page.figure


Paths = Mapping[str, NDArray[np.float64]]
"""Per line of the legend: its states over cycles, shape (cycles, D)."""


def _paths(states: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """The states of one learner as paths. Inputs are averaged over the directions that share them."""
    paths = {}
    for side, marks, key in (("target", TARGETS, "direction"), ("input", INPUTS, "text")):
        own = states[states["side"] == side]
        for word in marks:
            cycles = own[own[key] == word].groupby("cycle", sort=True)["vector"]
            if len(cycles):
                paths[f"{side} {word}"] = np.stack([np.stack(list(group)).mean(axis=0) for _, group in cycles])
    return paths


def moved(paths: Paths) -> float:
    """Mean distance from first to last state, each as a share of the first state's length."""
    return float(
        np.mean([np.linalg.norm(p[-1] - p[0]) / max(float(np.linalg.norm(p[0])), 1e-12) for p in paths.values()])
    )


def headline(paths: Mapping[str, Paths], last: int) -> str:
    """How far the texts moved, in one sentence."""
    far = {name: moved(own) for name, own in paths.items()}
    most, least = max(far, key=far.__getitem__), min(far, key=far.__getitem__)
    if len(far) == 1:
        return f"{most}: the mean state of a text moves by {far[most]:.2f} times its length in {in_cycles(last)}"
    return (
        f"The mean state of a text moves by {of(f'{far[least]:.2f}', least)} to {of(f'{far[most]:.2f}', most)} "
        f"times its length in {in_cycles(last)}"
    )


def _panel(axes: Axes, paths: Paths, nbins: int) -> float:
    """Draw the paths of one learner in their common plane; returns the share of the variance that the plane holds."""
    points, shares = plane(np.concatenate(list(paths.values())))
    ends = np.cumsum([len(path) for path in paths.values()])
    marks = {f"target {word}": mark for word, mark in TARGETS.items()}
    marks |= {f"input {word}": mark for word, mark in INPUTS.items()}
    for key, end, path in zip(paths, ends, paths.values(), strict=True):
        mark = marks[key]
        x, y = points[end - len(path) : end].T
        axes.plot(x, y, color=mark.colour, linestyle=mark.dash, linewidth=1.1)
        axes.plot(x[1:-1], y[1:-1], mark.marker, color=mark.colour, markersize=2.2, markeredgewidth=0)
        axes.plot(x[:1], y[:1], mark.marker, color=mark.colour, markersize=6, markerfacecolor="white")
        axes.plot(x[-1:], y[-1:], mark.marker, color=mark.colour, markersize=6, markeredgewidth=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.locator_params(nbins=nbins)
    return float(shares.sum())
