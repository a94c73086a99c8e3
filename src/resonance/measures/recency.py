"""How much the loss on a direction depends on when in a cycle it is read: right behind its own slot, or three later."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from statistics import fmean

from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

SOURCE = "transfer: a cycle of steps from a chunk edge, in four orders"
MEASURES: dict[str, Definition] = {
    "loss_by_recency": {
        "unit": "nat/token",
        "formula": "loss of a direction after a step on each of the four, that on itself k slots ago (condition "
        "`ago:<k>`, 0 to 3), minus its mean over the four orders, in which it was each k once",
        "source": SOURCE,
    },
    "recency_spread": {
        "unit": "nat/token",
        "formula": "standard deviation (over 4) of the losses of a direction after the four orders",
        "source": SOURCE,
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows at every chunk edge of a run that trains one direction at a time."""
    if run.transfer.empty:
        return
    table = run.transfer[run.transfer["quantity"] == "loss_after_cycle"]
    words = table.astype({"step": str, "direction": str}).sort_values("cycle", kind="stable")
    for (mark, name), rows in words.groupby(["cycle", "direction"]):
        cycle, direction = int(str(mark)), str(name)
        losses = {ago(step, direction): float(loss) for step, loss in zip(rows["step"], rows["value"], strict=True)}
        mean = fmean(losses.values())
        for slots, loss in sorted(losses.items()):
            yield Row(cycle, "loss_by_recency", loss - mean, direction=direction, condition=f"ago:{slots}")
        spread = sqrt(fmean((loss - mean) ** 2 for loss in losses.values()))
        yield Row(cycle, "recency_spread", spread, direction=direction)


def ago(order: str, direction: str) -> int:
    """How many slots before the last one of this order a direction stands."""
    return order.split()[::-1].index(direction)
