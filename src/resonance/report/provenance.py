"""What the results belong to, from the seals of the last states, without a time, a host or a path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from resonance.storage import read_made_by, read_table

KEYS = ("learner", "pair", "schedule", "seed")


def provenance(seals: Sequence[str | Path]) -> dict[str, Any]:
    """The fingerprint, last cycle and device of every run, and the versions that trained them."""
    read = [json.loads(Path(seal).read_text(encoding="utf-8")) for seal in seals]
    runs = {
        "/".join(str(seal[key]) for key in KEYS): f"run {seal['run']}, cycle {seal['cycle']}, on {seal['device']}, "
        f"tensors {seal['tensors'][:16]}"
        for seal in read
    }
    versions = sorted({", ".join(f"{name} {version}" for name, version in seal["versions"].items()) for seal in read})
    return {"runs": runs, "versions": "; ".join(versions)}


def read_generations(paths: Sequence[str | Path]) -> pd.DataFrame:
    """All generations, with the names of their runs."""
    frames = []
    for path in paths:
        made_by = read_made_by(path)
        frame = read_table(path).to_pandas()
        frames.append(frame.assign(**{key: made_by[key] for key in KEYS}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
