"""How well a network that fills masks writes a target, by the number of steps in which it fills them."""

from __future__ import annotations

from collections.abc import Iterator

from resonance.measures.places import Place
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

SOURCE = "generations; steps and draws are those of resonance.snapshots.decoding"
MEASURES: dict[str, Definition] = {
    "match_<k>": {
        "unit": "share",
        "formula": "share of target tokens (end mark included) that stand at their place in a text written in <k> "
        "steps, mean over texts",
        "source": SOURCE,
    },
    "exact_<k>": {
        "unit": "share",
        "formula": "share of texts written in <k> steps that are the target, token by token",
        "source": SOURCE,
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, direction and number of steps: the greedy text, and random ones; none for a causal network."""
    if run.generations.empty:
        return
    written = run.generations.dropna(subset="steps").astype({"steps": int})
    written = written.assign(condition=written["draw"].isna().map({True: "greedy", False: "random"}))
    for key, rows in written.groupby(["cycle", "condition", "direction", "steps"]):
        cycle, condition, direction, steps = map(str, key)
        place = Place(int(cycle), condition, direction)
        yield place.row(f"match_{steps}", rows["match"].mean())
        yield place.row(f"exact_{steps}", (rows["match"] == 1).mean())
