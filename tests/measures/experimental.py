"""Findings of every experiment and of steps at chunk edges, in the form in which they are recorded."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from measures.interventions import SCHEMA
from measures.test_stitching import stitched
from measures.test_transfer import SCHEMA as STEPS
from measures.test_transfer import cycles, gains, lines

from resonance.measures.run import RunData
from resonance.storage import write_table


def findings(clauses: int) -> list[dict[str, Any]]:
    """One mark, all experiments."""
    draws = np.random.default_rng(0)
    asked = {
        "tempered": product(["nll:target:unrelated"], [None], [None], [0, 1], range(-4, 13)),
        "matching": [
            *product(["score"], ["1>2", "2>1"], [None], range(clauses), range(clauses)),
            *(("hidden", direction, None, n, n) for direction in ("1>2", "2>1") for n in range(3)),
        ],
        "anchors": product(["own", "own_before", "sham", "sham_before"], ["1>2", "2>1"], [None], range(4), [None]),
        "passes": product(["carried", "empty"], ["1>2", "2>1", "1>1", "2>2"], [None], [None], [None]),
        "edits": [
            *product(["drift", "outside"], ["1>2"], [1, 2], [0, 1], [None]),
            *product(["drift_random", "outside_random"], ["1>2"], [1, 2], [0, 1], range(3)),
        ],
        "induction": [
            *product(["first", "second", "other", "accuracy"], [None], [None], range(3), [None]),
            *product(["prefix_matching"], [None], [1, 2], range(2), [None]),
        ],
        "patching": [
            *product(["clean", "corrupted"], ["1>2"], [None], [None], range(clauses)),
            *product(["patched", "moved"], ["1>2"], [0, 1], range(4), range(clauses)),
        ],
    }
    return [
        {
            "cycle": 4,
            "experiment": experiment,
            "quantity": quantity,
            "direction": direction,
            "layer": layer,
            "item": item,
            "other": other,
            "value": float(draws.random()),
        }
        for experiment, places in asked.items()
        for quantity, direction, layer, item, other in places
    ] + stitched()


def with_experiments(run: RunData, folder: Path, clauses: int) -> RunData:
    """The run with all of that."""
    write_table(folder / "interventions", pa.Table.from_pylist(findings(clauses), SCHEMA), {})
    sharp = [
        {"cycle": 4, "quantity": name, "step": None, "direction": None, "value": 1.0}
        for name in ("sharpness", "sharpness_preconditioned", "sharpness_limit")
    ]
    write_table(folder / "steps", pa.Table.from_pylist([*lines(4, gains()), *cycles(4, 0.1), *sharp], STEPS), {})
    return replace(run, interventions_files=(folder / "interventions",), transfer_files=(folder / "steps",))
