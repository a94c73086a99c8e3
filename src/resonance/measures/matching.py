"""Does a learner expect, after a clause of one text, the clause of the other that says the same?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from resonance.measures.correspondence import Pieces
from resonance.measures.lexical import bm25
from resonance.measures.retrieval import Links, one_way, shifted
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats

SOURCE = "interventions (matching), links of the pair"
HIDDEN = SOURCE + "; only for clauses whose links the learner was never shown"
MEASURES: dict[str, Definition] = {
    "mrr_likelihood": {
        "unit": "1",
        "formula": "mean over linked clauses of 1 / rank of the best linked clause of the other text by mean log p per "
        "token behind this clause, minus the mean of that over all clauses as input",
        "source": SOURCE,
    },
    "mrr_likelihood_null": {
        "unit": "1",
        "formula": "mrr_likelihood with the candidates shifted round: mean, 2.5 and 97.5 % of all shifts",
        "source": SOURCE,
    },
    "mrr_hidden": {"unit": "1", "formula": "mrr_likelihood of hidden links alone", "source": HIDDEN},
    "mrr_hidden_lexical": {"unit": "1", "formula": "mrr_hidden by BM25 on token ids instead", "source": HIDDEN},
    "mrr_hidden_position": {
        "unit": "1",
        "formula": "mrr_hidden by nearness of the relative positions in the texts instead",
        "source": HIDDEN,
    },
    "hidden": {"unit": "links", "formula": "links that the learner was never shown", "source": SOURCE},
}


class Asked(NamedTuple):
    """Clauses of one text as input [A], those of the other as candidates [B]: scores, links, and which are hidden."""

    scores_AB: Floats
    links_AB: Links
    hidden_AB: Links


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle and direction; no row of pairs without links."""
    found = run.experiment("matching")
    if found.empty:
        return
    links = run.snapshots.links
    for (cycle, direction), rows in found.groupby(["cycle", "direction"], observed=True):
        for row in measured(asked(rows, links, str(direction)), run, str(direction)):
            yield row._replace(cycle=int(str(cycle)), direction=str(direction))


def measured(asked: Asked, run: RunData, direction: str) -> Iterator[Row]:
    """What can be said of one direction at one cycle; both are left open."""
    scores_AB = asked.scores_AB - asked.scores_AB.mean(axis=0)
    yield Row(0, "mrr_likelihood", one_way(scores_AB, asked.links_AB))
    null = shifted(scores_AB, asked.links_AB, one_way)
    low, high = np.percentile(null, [2.5, 97.5])
    yield Row(0, "mrr_likelihood_null", float(null.mean()), float(low), float(high))
    if asked.hidden_AB.any():
        source, goal = clauses(run, direction[0]), clauses(run, direction[-1])
        yield Row(0, "hidden", float(asked.hidden_AB.sum()))
        yield Row(0, "mrr_hidden", one_way(scores_AB, asked.hidden_AB))
        yield Row(0, "mrr_hidden_lexical", one_way(bm25(source.tokens, goal.tokens), asked.hidden_AB))
        yield Row(0, "mrr_hidden_position", one_way(-np.abs(source.places[:, None] - goal.places), asked.hidden_AB))


def asked(rows: pd.DataFrame, links: tuple[tuple[int, int], ...], direction: str) -> Asked:
    """The findings of one mark and direction as tables."""
    score = rows[rows["quantity"] == "score"].pivot_table(index="item", columns="other", values="value").to_numpy()
    linked, hidden = np.zeros(score.shape, bool), np.zeros(score.shape, bool)
    for first, second in links:
        linked[(first, second) if direction == "1>2" else (second, first)] = True
    unseen = rows[rows["quantity"] == "hidden"]
    hidden[unseen["item"].to_numpy(int), unseen["other"].to_numpy(int)] = True
    return Asked(score, linked, hidden)


def clauses(run: RunData, text: str) -> Pieces:
    """The clauses of a text: their tokens and where they stand."""
    snapshots = run.snapshots
    tokens = snapshots.at(snapshots.cycles[0]).layer(snapshots.layers[0])
    return Pieces.of(tokens.where(f"{text}>{text}", "input"))
