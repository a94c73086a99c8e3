"""The explorer inside the page: the data of its runs as one JSON text, thinned where it would be too large."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from resonance.errors import UserError
from resonance.report.coding import packed, unpacked
from resonance.storage import damaged

BUDGET = 5_000_000
"""Bytes of the page that the explorer's data may take."""

Run = dict[str, Any]
Pick = Callable[[list[int]], list[int]]
"""Which places of a list are kept."""


@dataclass(frozen=True)
class Explorer:
    """What the page holds of the explorer.

    Attributes:
        data: JSON in which no character can end a script or begin markup.
        runs: how many runs it shows.
        notes: what of the study is not in it, sentence by sentence.
    """

    data: Markup
    runs: int
    notes: list[str]


def read_explorer(path: str | Path) -> dict[str, Any]:
    """What `write_explorer` wrote.

    Raises:
        UserError: the file is missing, damaged or something else.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} is missing: run `snakemake -- {path}` to make it.")
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        raise damaged(path) from None
    if not isinstance(data, dict) or {"run", "cycles", "layers", "texts", "ways"} - data.keys():
        raise damaged(path)
    return data


def explorer(runs: Sequence[Run], total: int, budget: int = BUDGET) -> Explorer | None:
    """The data of the explored runs, as much as fits into `budget` bytes; None without runs.

    Args:
        runs: what `explorer.explorer_data` says of each, with the names of its `run`.
        total: how many runs the study has.
    """
    if not runs:
        return None
    for kept, note in _ever_less(list(runs)):
        explored = Explorer(safe(together(kept)), len(kept), _notes(kept, total, note))
        if len(explored.data.encode("utf-8")) <= budget:
            break
    return explored


def _notes(runs: Sequence[Run], total: int, thinned: str) -> list[str]:
    """What is not shown."""
    notes = []
    if len(runs) < total:
        notes.append(
            f"{len(runs):,} of the {total:,} runs of the study can be looked at here, first seeds before others."
        )
    if thinned:
        notes.append(thinned)
    if left_out := max(text["left_out"] for run in runs for text in run["texts"].values()):
        notes.append(f"Of a longer text the start is shown; up to {left_out:,} tokens at its end are left out.")
    return notes


def _ever_less(runs: list[Run]) -> Iterator[tuple[list[Run], str]]:
    """All runs, then with fewer layers and marks, then fewer runs, down to one; and what is said of it."""
    yield runs, ""
    less = [thinned(run, three, every) for run in runs]
    yield less, "So that the page stays small, of the layers the first, the middle and the last are here."
    less = [thinned(run, three, every_other) for run in runs]
    yield less, "So that the page stays small, three layers and every other mark are here."
    less = [thinned(run, last, every_other) for run in runs]
    while True:
        yield less, "So that the page stays small, the last layer and every other mark are here."
        if len(less) == 1:
            return
        less = less[: len(less) * 3 // 4]


def every(values: list[int]) -> list[int]:
    """All places."""
    return list(range(len(values)))


def every_other(values: list[int]) -> list[int]:
    """Every second place, counted from the end so that the last is there, and the first."""
    return sorted({0, *range(len(values) - 1, -1, -2)}) if values else []


def three(values: list[int]) -> list[int]:
    """The first, the middle and the last place."""
    return sorted({0, (len(values) - 1) // 2, len(values) - 1}) if values else []


def last(values: list[int]) -> list[int]:
    """The last place."""
    return [len(values) - 1] if values else []


def thinned(run: Run, layers: Pick, cycles: Pick) -> Run:
    """A run with some of its layers and marks."""
    at_L, at_C = layers(run["layers"]), cycles(run["cycles"])
    sizes = len(run["cycles"]), len(run["layers"])
    axes: dict[str, tuple[str, tuple[int, ...], tuple[list[int], ...]]] = {
        "drift": ("u1", sizes, (at_C, at_L)),
        "nll": ("u1", sizes[:1], (at_C,)),
        "right": ("u1", sizes[:1], (at_C,)),
        "path": ("<u2", sizes[::-1], (at_L, at_C)),
        "parts": ("<u2", sizes[::-1], (at_L, at_C)),
    }

    def less(key: str, text: str) -> str:
        kind, shape, kept = axes[key]
        whole = unpacked(text, kind, (*shape, -1))
        return packed(whole[np.ix_(*kept, range(whole.shape[-1]))])

    ways = {
        direction: {side: {key: less(key, text) for key, text in own.items()} for side, own in sides.items()}
        for direction, sides in run["ways"].items()
    }
    return run | {
        "cycles": [run["cycles"][place] for place in at_C],
        "layers": [run["layers"][place] for place in at_L],
        "planes": [run["planes"][place] for place in at_L],
        "ways": ways,
    }


def together(runs: Sequence[Run]) -> str:
    """All runs as one JSON text. Packed numbers stand in `pool` and texts in `texts`, each once: inputs that are read
    before the direction is known are alike in two directions, and the runs of a pair read the same tokens.
    """
    pool: dict[str, int] = {}
    texts: dict[str, int] = {}
    lean = [
        run
        | {
            "texts": {name: texts.setdefault(_json(text), len(texts)) for name, text in run["texts"].items()},
            "ways": {
                direction: {
                    side: {key: pool.setdefault(text, len(pool)) for key, text in own.items()}
                    for side, own in sides.items()
                }
                for direction, sides in run["ways"].items()
            },
        }
        for run in runs
    ]
    return _json({"pool": list(pool), "runs": lean, "texts": [json.loads(text) for text in texts]})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def safe(text: str) -> Markup:
    """JSON that may stand in a script element: what could end it or begin another is written as an escape."""
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - nothing is left in it that HTML would read


def fingerprint(script: str) -> str:
    """The name by which a content security policy lets one inline script run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
