"""How well each direction's target is known: loss at the marks, and while training."""

from __future__ import annotations

from collections.abc import Iterator

from resonance.measures.bins import thinned
from resonance.measures.bits import bits_per_byte
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

MEASURES: dict[str, Definition] = {
    "nll": {
        "unit": "nat/token",
        "formula": "mean of -log p(token | input, earlier tokens) over target and end mark, teacher-forced, condition clean",
        "source": "evaluations",
    },
    "bits_per_byte": {
        "unit": "bit/byte",
        "formula": "sum of nll over the target without end mark / (ln 2 x UTF-8 bytes of the text), condition clean",
        "source": "evaluations",
    },
    "loss_online": {
        "unit": "nat/token",
        "formula": "mean loss before the update in a bin of cycles (each up to 64, then 32 bins per doubling); "
        "low, high: least and greatest",
        "source": "cycle log",
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per direction: `nll` and `bits_per_byte` at every mark, `loss_online` per bin of cycles."""
    if len(run.evaluations):
        clean = run.evaluations[run.evaluations["condition"] == "clean"]
        for (cycle, direction), rows in clean.groupby(["cycle", "direction"], observed=True):
            here = {"direction": str(direction), "condition": "clean"}
            yield Row(cycle, "nll", rows["nll"].mean(), **here)
            yield Row(cycle, "bits_per_byte", bits_per_byte(rows, run.metadata["bytes"][direction[-1]]), **here)
    for line in thinned(run.log, "loss").itertuples(index=False):
        yield Row(line.cycle, "loss_online", line.mean, line.low, line.high, direction=line.direction)
