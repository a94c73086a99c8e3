"""Marks → what experiments on the learner find, in one long table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import torch

from resonance.snapshots.experiments import anchors, edits, induction, matching, passes, patching, stitching, tempered
from resonance.snapshots.experiments.scene import Scene

EXPERIMENTS = {
    "tempered": tempered.findings,
    "matching": matching.findings,
    "anchors": anchors.findings,
    "passes": passes.findings,
    "stitching": stitching.findings,
    "edits": edits.findings,
    "induction": induction.findings,
    "patching": patching.findings,
}
"""Every experiment by its name."""

AT_EDGES = {"stitching", "edits", "patching"}
"""Dear ones, which are made at the last mark of each chunk only."""

WORD = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    {
        "cycle": pa.int64(),
        "experiment": WORD,
        "direction": WORD,
        "layer": pa.int16(),
        "item": pa.int32(),
        "other": pa.int32(),
        "quantity": WORD,
        "value": pa.float64(),
    }
)
"""One row per number. What item, other and quantity are, each experiment says."""


@torch.no_grad()
def interventions(scene: Scene, edge: bool = True) -> list[dict[str, Any]]:
    """What the experiments that are asked for find at a mark, as rows of SCHEMA.

    edge: whether this is the last mark of a chunk.
    """
    return [
        {"cycle": scene.cycle, "experiment": name, **finding._asdict()}
        for name in scene.settings.experiments
        if edge or name not in AT_EDGES
        for finding in EXPERIMENTS[name](scene)
    ]
