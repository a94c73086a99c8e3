"""Whether a learner continues what it has just read, whatever that is: rows of random tokens, written twice."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

SOURCE = "interventions (induction)"
ROWS = "; low, high: least and greatest row"
MEASURES: dict[str, Definition] = {
    "induction_score": {
        "unit": "nat/token",
        "formula": "mean −log p in the first half minus that in the second half, of the same random tokens" + ROWS,
        "source": SOURCE,
    },
    "induction_score_net": {
        "unit": "nat/token",
        "formula": "mean −log p in a second half behind a first half of other random tokens, minus that behind the same"
        + ROWS,
        "source": SOURCE,
    },
    "induction_nll": {
        "unit": "nat/token",
        "formula": "mean −log p of random tokens in a first half (condition `first`), in the second behind the same "
        "tokens (`second`), and behind others (`other`)" + ROWS,
        "source": SOURCE,
    },
    "induction_accuracy": {
        "unit": "share",
        "formula": "tokens of the second half that are the most likely one" + ROWS,
        "source": SOURCE,
    },
    "prefix_matching": {
        "unit": "share",
        "formula": "attention from the second half to the token behind the previous occurrence, mean over places and "
        "rows, of the head of this layer that has most of it",
        "source": SOURCE,
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per mark; `prefix_matching` per layer of networks whose attention is known."""
    found = run.experiment("induction")
    if found.empty:
        return
    quantity = found["quantity"].astype(str)
    for mark, answers in found[quantity != "prefix_matching"].groupby("cycle"):
        cycle = int(str(mark))
        by_row = answers.astype({"quantity": str}).pivot_table(index="item", columns="quantity", values="value")
        yield Row(cycle, "induction_score", *about(by_row["first"] - by_row["second"]))
        yield Row(cycle, "induction_score_net", *about(by_row["other"] - by_row["second"]))
        yield Row(cycle, "induction_accuracy", *about(by_row["accuracy"]))
        for read in ("first", "second", "other"):
            yield Row(cycle, "induction_nll", *about(by_row[read]), condition=read)
    heads = found[quantity == "prefix_matching"].astype({"layer": "Int64"})
    for (at, layer), scores in heads.groupby(["cycle", "layer"])["value"]:
        yield Row(int(str(at)), "prefix_matching", float(scores.max()), layer=int(str(layer)))


def about(values: pd.Series) -> tuple[float, float, float]:
    """Mean, least and greatest."""
    return float(values.mean()), float(values.min()), float(values.max())
