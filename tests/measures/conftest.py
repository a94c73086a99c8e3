"""A run that was never run: files in the schemas of the real ones, with contents that a test decides."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from resonance.measures.run import RunData, read_run
from resonance.storage import write_table

DIRECTIONS = ("1>2", "2>1", "1>1", "2>2")
IDENTITY = {"learner": "gpt", "pair": "spacing", "schedule": "shuffled", "seed": 3}
WORD = pa.dictionary(pa.int8(), pa.string())


def later_unchanged(vectors_ND: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
    return vectors_ND


@dataclass
class Synthetic:
    """What the run holds. Files end at the marks in `stops`; `length` tokens per text and per probe.

    later: vectors at cycle 0 [n, D], cycle, generator → vectors at that cycle, called once per mark and layer.
    """

    folder: Path
    cycles: tuple[int, ...] = (0, 1, 2, 4, 8)
    stops: tuple[int, ...] = (2, 8)
    length: int = 60
    width: int = 16
    layers: int = 2
    segment: int = 6
    links: list[list[int]] = field(default_factory=list)
    probes: tuple[str, ...] = ("unrelated", "shuffled-1", "shuffled-2", "paraphrase-article", "paraphrase-meta")
    later: Callable[[np.ndarray, int, np.random.Generator], np.ndarray] = later_unchanged
    state_change: bool = False
    orbit: dict[str, int] = field(default_factory=dict)
    heads: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    prefixes: tuple[int, ...] = (0, 8, 32)
    kept: int = 16
    edits: int = 10
    shown: tuple[str, ...] = DIRECTIONS
    """Directions that the cycle log holds."""
    spectrum: float = 0.0
    """Standard deviations along the axes at cycle 0 fall like index^-spectrum."""

    def write(self) -> RunData:
        marked = [stop for stop in self.stops if self.inside(stop)]
        return read_run(
            logs=[self._write("logs", stop, self.log(stop)) for stop in self.stops],
            evaluations=[self._write("evaluations", stop, self.evaluations(stop)) for stop in marked],
            snapshots=[self._write("snapshots", stop, self.states(stop)) for stop in marked],
            stability=[self._write("stability", stop, self.stability(stop)) for stop in marked],
            critiques=[self._write("critiques", stop, self.critiques(stop)) for stop in marked],
            generations=[self._write("generations", stop, self.generations(stop)) for stop in marked],
        )

    def tokens(self, text: str) -> np.ndarray:
        """Types of the texts overlap with each other; those of the probe `unrelated` with nothing."""
        first = {"1": 0, "2": 40, "unrelated": 1000}.get(text, 20)
        return first + np.arange(self.length) * 7 % self.length

    def bytes(self) -> dict[str, int]:
        return {text: 4 * self.length + len(text) for text in ("1", "2", *self.probes)}

    def inside(self, stop: int) -> list[int]:
        start = max((s for s in self.stops if s < stop), default=-1)
        return [cycle for cycle in self.cycles if start < cycle <= stop]

    def log(self, stop: int) -> pa.Table:
        start = max((s for s in self.stops if s < stop), default=0)
        rows = [(c, d) for c in range(start + 1, stop + 1) for d in self.shown]
        cycle = np.array([c for c, _ in rows])
        columns: dict[str, Any] = {
            "cycle": pa.array(cycle, pa.int64()),
            "visits": pa.array(np.ones(len(rows)), pa.int32(), safe=False),
            "direction": pa.array([d for _, d in rows], pa.string()).dictionary_encode(),
        }
        quantities = {"loss": 4.0 / cycle, "accuracy": 1 - 1 / cycle}
        if self.state_change:
            quantities["state_change"] = 0.5**cycle
        for name, values in quantities.items():
            columns |= {name + suffix: pa.array(values) for suffix in ("", "_min", "_max", "_last")}
        return pa.table(columns)

    def stability(self, stop: int) -> pa.Table:
        """Where a state is carried, exponents −c and −2c around which cycles differ by 0.5; the second is lost at 4."""
        rows: list[dict[str, Any]] = []
        for cycle in self.inside(stop) if self.state_change else ():
            for index in (1, 2):
                value = None if (cycle, index) == (4, 2) else -1.0 * index * cycle
                low, high = (None, None) if value is None else (value - 0.5, value + 0.5)
                rows.append({"quantity": f"lyapunov_{index}", "value": value, "low": low, "high": high, "cycle": cycle})
            rows.append({"quantity": "spectral_radius", "value": 0.5, "cycle": cycle})
        kinds = {"cycle": pa.int64(), "quantity": pa.string(), "value": pa.float64(), "low": pa.float64()}
        table = pa.Table.from_pylist(rows, pa.schema(kinds | {"high": pa.float64()}))
        return table.append_column("tokens", pa.array(np.full(len(rows), 200.0)))

    def critiques(self, stop: int) -> pa.Table:
        """Every third token of the own output is wrong, of the controlled one every fourth; heads mistake one in 7."""
        rows: list[dict[str, Any]] = []
        outputs = [("own", 3), ("controlled", 4), ("corrupted:replaced-15", 2), ("reranked:own", 5)]
        for cycle, head, (source, apart), direction in product(self.inside(stop), self.heads, outputs, DIRECTIONS):
            for position in range(self.length):
                error = position % apart == 0
                rows.append(
                    {
                        "cycle": cycle,
                        "head": head,
                        "source": source,
                        "direction": direction,
                        "window": 0,
                        "position": position,
                        "estimate": 0.75 if error == (position % 7 > 0) else 0.25,
                        "distance": position // 2 / self.length,
                        "error": error,
                        "suffix": position / self.length,
                        "confidence": position / self.length,
                        "entropy": 1.0,
                        "surprisal": 2.0 if error else 1.0,
                        "deviation": 1 / apart,
                    }
                )
        kinds = {"cycle": pa.int64(), "head": WORD, "source": WORD, "direction": WORD, "window": pa.int16()}
        kinds |= {"position": pa.int32()}
        kinds |= dict.fromkeys(("estimate", "distance"), pa.float32()) | {"error": pa.bool_()}
        kinds |= dict.fromkeys(("suffix", "confidence", "entropy", "surprisal", "deviation"), pa.float32())
        return pa.table(
            {name: pa.array([row[name] for row in rows], _plain(kind)) for name, kind in kinds.items()}
        ).cast(pa.schema(kinds))

    def generations(self, stop: int) -> pa.Table:
        """The learner's own text is half right; in s steps 1 - 1/(s c) of the greedy one, and of two others less."""
        rows: list[dict[str, Any]] = []
        for cycle, direction in product(self.inside(stop), DIRECTIONS):
            said = {"cycle": cycle, "direction": direction, "window": 0, "prefix": 0, "output": "a", "reference": "b"}
            rows.append(said | {"match": 0.5})
            for steps in self.steps:
                best = 1 - 1 / (steps * cycle) if cycle else 1.0
                drawn = [(None, best), (0, best), (1, best / 2)]
                rows += [said | {"match": match, "steps": steps, "draw": draw} for draw, match in drawn]
        kinds = {"cycle": pa.int64(), "direction": pa.string(), "window": pa.int16(), "prefix": pa.int32()}
        kinds |= {"output": pa.string(), "reference": pa.string(), "match": pa.float64()}
        return pa.Table.from_pylist(rows, pa.schema(kinds | {"steps": pa.int32(), "draw": pa.int16()}))

    def evaluations(self, stop: int) -> pa.Table:
        rows: list[dict[str, Any]] = []
        for cycle in self.inside(stop):
            for direction in DIRECTIONS:
                for condition in ("clean", "input:blank", "input:edited", "target:unrelated", "target:shuffled"):
                    rows += self.answers(cycle, direction, condition)
        kinds = {
            "cycle": pa.int64(), "condition": WORD, "direction": WORD, "window": pa.int16(), "position": pa.int32(),
            "token": pa.int32(), "nll": pa.float32(), "correct": pa.bool_(), "confidence": pa.float32(),
            "entropy": pa.float32(), "alternative": pa.int32(), "alternative_nll": pa.float32(),
            "alternative_correct": pa.bool_(),
        }  # fmt: skip
        return pa.table(
            {name: pa.array([row[name] for row in rows], _plain(kind)) for name, kind in kinds.items()}
        ).cast(pa.schema(kinds))

    def answers(self, cycle: int, direction: str, condition: str) -> list[dict[str, Any]]:
        """nll is 4 / (1 + cycle), plus 0.5 behind a blank input; the first 10 · cycle tokens are right.

        At the edited sites of 1>1 and 2>2 the learner follows the input at even, and recites at odd ones.
        """
        n = self.length + 1
        same = direction in ("1>1", "2>2")
        rows = []
        for position in range(n):
            site = condition == "input:edited" and same and 0 <= position - 2 * self.kept < self.edits
            rows.append(
                {
                    "cycle": cycle,
                    "condition": condition,
                    "direction": direction,
                    "window": 0,
                    "position": position,
                    "token": position + 7 * (direction[-1] == "2"),
                    "nll": 4.0 / (1 + cycle) + (0.5 if condition == "input:blank" else 0.0),
                    "correct": position % 2 == 1 if site else position < 10 * cycle,
                    "confidence": 0.5,
                    "entropy": 1.0,
                    "alternative": 999 if site else -1,
                    "alternative_nll": 1.0 if site else np.nan,
                    "alternative_correct": site and position % 4 == 0,
                }
            )
        return rows

    def places(self) -> list[tuple[str, str, str]]:
        spans = [(d, side, d[at]) for d in DIRECTIONS for side, at in (("input", 0), ("target", 2))]
        return spans + [("probe", "input", probe) for probe in self.probes]

    def states(self, stop: int) -> pa.Table:
        places = self.places()
        n = len(places) * self.length
        tables = []
        for cycle in self.inside(stop):
            for layer in range(self.layers):
                scale = np.arange(1, self.width + 1) ** -self.spectrum
                start = np.random.default_rng([layer]).standard_normal((n, self.width)) * scale
                vectors = self.later(start, cycle, np.random.default_rng([cycle, layer, 1])) if cycle else start
                position = np.tile(np.arange(self.length), len(places))
                columns = {
                    "cycle": pa.array(np.full(n, cycle), pa.int64()),
                    "layer": pa.array(np.full(n, layer), pa.int16()),
                    "direction": _words([d for d, _, _ in places], self.length),
                    "side": _words([s for _, s, _ in places], self.length),
                    "text": _words([t for _, _, t in places], self.length),
                    "window": pa.array(np.zeros(n), pa.int16(), safe=False),
                    "position": pa.array(position, pa.int32()),
                    "token": pa.array(np.concatenate([self.tokens(t) for _, _, t in places]), pa.int32()),
                    "segment": pa.array(position // self.segment, pa.int16()),
                    "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), self.width),
                }
                tables.append(pa.table(columns))
        return pa.concat_tables(tables).unify_dictionaries()

    def _write(self, kind: str, stop: int, table: pa.Table) -> Path:
        made_by: dict[str, Any] = {**IDENTITY, "kind": kind}
        if kind == "evaluations":
            made_by |= {"kept": self.kept, "prefixes": list(self.prefixes), "bytes": self.bytes()}
        if kind == "logs":
            made_by |= {"cycle": stop} | ({"orbit": self.orbit} if self.orbit else {})
        if kind == "snapshots":
            made_by["links"] = self.links
        path = self.folder / kind / f"{stop:012d}.parquet"
        write_table(path, table, made_by)
        return path


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_dictionary(kind) else kind


def _words(words: list[str], times: int) -> pa.Array:
    return pa.array([word for word in words for _ in range(times)], pa.string()).cast(WORD)


@pytest.fixture
def synthetic(tmp_path: Path) -> Callable[..., Synthetic]:
    """`synthetic(cycles=..., ...).write()` gives the RunData of a run on disk."""
    return lambda **what: Synthetic(folder=tmp_path, **what)
