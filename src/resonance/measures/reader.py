"""A network that only reads: does its state settle, and does it help?"""

from __future__ import annotations

from collections.abc import Iterator

from resonance.measures.bins import thinned
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

MEASURES: dict[str, Definition] = {
    "state_change": {
        "unit": "share",
        "formula": "||s(c) - s(c - 1)|| / ||s(c - 1)|| of the carried state over one cycle, mean in a bin of cycles; "
        "low, high: least and greatest",
        "source": "cycle log",
    },
    "loss_since_first_pass": {
        "unit": "nat/token",
        "formula": "loss in pass n - loss in pass 1 of the same direction, mean in a bin of cycles; "
        "low, high: least and greatest",
        "source": "cycle log",
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows of runs that carry a state; no row for others. Pass n of a direction is cycle n of the log."""
    if "state_change" not in run.log or run.log["state_change"].isna().all():
        return
    for line in thinned(run.log, "state_change", by_direction=False):
        yield Row(line.cycle, "state_change", line.mean, line.low, line.high)
    passes = run.log.sort_values("cycle", kind="stable")
    first = passes.groupby(passes["direction"].astype(str))["loss"].first().to_dict()
    for line in thinned(passes, "loss"):
        mean, low, high = (value - first[line.direction] for value in line[2:])
        yield Row(line.cycle, "loss_since_first_pass", mean, low, high, direction=line.direction)
