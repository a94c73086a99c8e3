"""Do pieces that say the same have like hidden states: across the texts, across roles, in other words?

Segments are looked up by the cosine of their mean vectors, the mean of their text and role taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resonance.measures.lexical import bm25, jaccard
from resonance.measures.linked import Link, pooled
from resonance.measures.retrieval import (
    Links,
    cosine_scores,
    mean_reciprocal,
    mrr,
    one_way,
    ranks,
    separability,
    shifted,
)
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats, Tokens

LEAST = 10
"""Links between the texts, or segments in both roles, without which nothing is said."""
PARAPHRASES = {"1": "paraphrase-article", "2": "paraphrase-meta"}

LINKED = "snapshots and links of the pair, where there are 10 links"
ROLES = "snapshots, where a text has 10 segments; condition: input-target or target; direction: text as target"
PROBES = "snapshots, where the probe has 10 segments in the order of its text"
MEASURES: dict[str, Definition] = {
    "mrr_texts": {
        "unit": "1",
        "formula": "mean of 1 / rank of the best linked segment among all of the other text, both ways, article in 1>1 "
        "and meta-analysis in 2>2; condition: the side",
        "source": LINKED,
    },
    "mrr_texts_null": {
        "unit": "1",
        "formula": "mrr_texts with the segments of the meta-analysis shifted round: mean, 2.5 and 97.5 % of all shifts",
        "source": LINKED,
    },
    "mrr_texts_position": {
        "unit": "1",
        "formula": "mrr_texts by nearness of the relative positions in the texts instead; once, at the first mark",
        "source": LINKED,
    },
    "mrr_texts_lexical": {
        "unit": "1",
        "formula": "mrr_texts by BM25 (k1 = 1.5, b = 0.75) on token ids instead; once, at the first mark",
        "source": LINKED + "; Robertson and Zaragoza 2009",
    },
    "mrr_roles": {
        "unit": "1",
        "formula": "mean of 1 / rank of the same segment of the same text in another role, both ways. target: behind "
        "itself against behind the other text; input-target: as input for the other text against as target behind it",
        "source": ROLES,
    },
    "separability": {
        "unit": "share",
        "formula": "share of segments nearer to the mean of their role than to that of the other (those of mrr_roles), "
        "the segment itself left out of both means",
        "source": ROLES,
    },
    "mrr_paraphrase": {
        "unit": "1",
        "formula": "mean over segments of the paraphrase of 1 / rank of the segment of the text that it rewords, text "
        "as input of 1>1 or 2>2; condition: the probe",
        "source": PROBES,
    },
    "mrr_paraphrase_lexical": {
        "unit": "1",
        "formula": "mrr_paraphrase by the share of common token types (Jaccard) instead; once, at the first mark",
        "source": PROBES,
    },
}


class Pieces(NamedTuple):
    """The segments of a text in one role.

    numbers: which, ascending [S]. vectors: their means [S, D]. places: their mean positions over the length of the text
    [S]. tokens: their token ids.
    """

    numbers: NDArray[np.int64]
    vectors: Floats
    places: Floats
    tokens: list[list[int]]

    @classmethod
    def of(cls, tokens: Tokens) -> Pieces:
        """The segments that have a token here."""
        numbers = np.unique(tokens.segment[tokens.segment >= 0])
        own = [tokens.segment == number for number in numbers]
        places = np.array([tokens.position[mask].mean() for mask in own]) / max(1, len(tokens))
        vectors = pooled(tokens, numbers.tolist()) if own else np.zeros((0, tokens.vectors.shape[1]))
        return cls(numbers, vectors, places, [tokens.token[mask].tolist() for mask in own])

    def same(self, other: Pieces) -> Links:
        """Where segment i here and j there bear one number."""
        return self.numbers[:, None] == other.numbers


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle and layer; what no network has a part in, once, at the first mark."""
    snapshots = run.snapshots
    for cycle in snapshots.cycles:
        moment = snapshots.at(cycle)
        if cycle == snapshots.cycles[0]:
            tokens = moment.layer(snapshots.layers[0])
            baselines = [*texts_without(tokens, snapshots.links), *paraphrases_without(tokens)]
            yield from (row._replace(cycle=cycle) for row in baselines)
        for layer in snapshots.layers:
            now = moment.layer(layer)
            rows = [*texts(now, snapshots.links), *roles(now), *paraphrases(now)]
            yield from (row._replace(cycle=cycle, layer=layer) for row in rows)


def texts(now: Tokens, links: tuple[Link, ...]) -> Iterator[Row]:
    """Segments of one text looked up in the other. Here and below rows leave cycle and layer open."""
    for side in ("input", "target"):
        article, meta = Pieces.of(now.where("1>1", side)), Pieces.of(now.where("2>2", side))
        linked = linked_pieces(article, meta, links)
        if linked.sum() >= LEAST:
            scores = cosine_scores(article.vectors, meta.vectors)
            yield Row(0, "mrr_texts", mrr(scores, linked), condition=side)
            null = shifted(scores, linked)
            low, high = np.percentile(null, [2.5, 97.5])
            yield Row(0, "mrr_texts_null", float(null.mean()), float(low), float(high), condition=side)


def texts_without(tokens: Tokens, links: tuple[Link, ...]) -> Iterator[Row]:
    """The same without a network: by position, and by common tokens."""
    article, meta = Pieces.of(tokens.where("1>1", "input")), Pieces.of(tokens.where("2>2", "input"))
    linked = linked_pieces(article, meta, links)
    if linked.sum() >= LEAST:
        apart: Floats = np.abs(article.places[:, None] - meta.places)
        # Rounded, so that equal distances are ties.
        yield Row(0, "mrr_texts_position", mrr(-apart.round(12), linked))
        # BM25 is not symmetric: each side asks the other.
        asked = [*ranks(bm25(article.tokens, meta.tokens), linked), *ranks(bm25(meta.tokens, article.tokens), linked.T)]
        yield Row(0, "mrr_texts_lexical", mean_reciprocal(asked))


def linked_pieces(article: Pieces, meta: Pieces, links: tuple[Link, ...]) -> Links:
    """Where segment i of the article says what segment j of the meta-analysis says."""
    known = set(links)
    pairs = [[(i, j) in known for j in meta.numbers.tolist()] for i in article.numbers.tolist()]
    return np.array(pairs, bool).reshape(len(article.numbers), len(meta.numbers))


def roles(now: Tokens) -> Iterator[Row]:
    """Segments of one text in two roles: found again, and told apart."""
    for text, other in (("1", "2"), ("2", "1")):
        behind = f"{other}>{text}"
        goal = Pieces.of(now.where(behind, "target"))
        for name, place in (("target", (f"{text}>{text}", "target")), ("input-target", (f"{text}>{other}", "input"))):
            same = Pieces.of(now.where(*place))
            if len(goal.numbers) >= LEAST and np.array_equal(goal.numbers, same.numbers):
                found = mrr(cosine_scores(same.vectors, goal.vectors), same.same(goal))
                yield Row(0, "mrr_roles", found, direction=behind, condition=name)
                apart = separability(same.vectors, goal.vectors)
                yield Row(0, "separability", apart, direction=behind, condition=name)


def paraphrases(now: Tokens) -> Iterator[Row]:
    """Segments of a paraphrase looked up in their text."""
    for probe, reworded, original in rewordings(now):
        found = one_way(cosine_scores(reworded.vectors, original.vectors), reworded.same(original))
        yield Row(0, "mrr_paraphrase", found, direction="probe", condition=probe)


def paraphrases_without(tokens: Tokens) -> Iterator[Row]:
    """The same by common token types."""
    for probe, reworded, original in rewordings(tokens):
        found = one_way(jaccard(reworded.tokens, original.tokens), reworded.same(original))
        yield Row(0, "mrr_paraphrase_lexical", found, direction="probe", condition=probe)


def rewordings(tokens: Tokens) -> Iterator[tuple[str, Pieces, Pieces]]:
    """Each paraphrase that has segments, and its text: segment i of the one rewords segment i of the other."""
    for text, probe in PARAPHRASES.items():
        reworded = Pieces.of(tokens.where("probe", text=probe))
        original = Pieces.of(tokens.where(f"{text}>{text}", "input"))
        if reworded.same(original).sum() >= LEAST:
            yield probe, reworded, original
