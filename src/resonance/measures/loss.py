"""How well each direction's target is known: loss at the marks, and while training."""

from __future__ import annotations

from collections.abc import Iterator

from resonance.measures.bins import thinned
from resonance.measures.bits import bits_per_byte
from resonance.measures.places import places
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

MEASURES: dict[str, Definition] = {
    "nll": {
        "unit": "nat/token",
        "formula": "mean of -log p(token | input, earlier tokens) over target and end mark, teacher-forced",
        "source": "evaluations, condition clean",
    },
    "bits_per_byte": {
        "unit": "bit/byte",
        "formula": "sum of nll over the target without end mark / (ln 2 x UTF-8 bytes of the text)",
        "source": "evaluations, condition clean",
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
    for place, rows in places(run.asked("clean")):
        yield place.row("nll", rows["nll"].mean())
        yield place.row("bits_per_byte", bits_per_byte(rows, run.metadata["bytes"][place.direction[-1]]))
    for line in thinned(run.log, "loss"):
        yield Row(line.cycle, "loss_online", line.mean, line.low, line.high, direction=line.direction)
