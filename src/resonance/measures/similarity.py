"""How far the hidden states of a network are from those of its first cycle, and those of one text from the other's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np

from resonance.measures.cka import alignment, centred_gram, null_alignments
from resonance.measures.heldout import folds, parts
from resonance.measures.procrustes import Split, centred, split_drift
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats, Tokens

PERMUTATIONS = 20
MOST_TOKENS = 1024
"""Texts with more tokens are compared on so many, evenly spaced: the same ones for every learner."""
LEAST_LINKS = 20

PROCRUSTES = "snapshots, fp64; derivation in resonance.measures.procrustes"
MEASURES: dict[str, Definition] = {
    "cka": {
        "unit": "1",
        "formula": "HSIC_u(K, L) / sqrt(HSIC_u(K, K) HSIC_u(L, L)), linear kernels of the same tokens at cycle 0 and c",
        "source": "snapshots, fp64; Song et al. 2012, JMLR 13, eq. 5",
    },
    "cka_null": {
        "unit": "1",
        "formula": "cka with the tokens of cycle c in random order: mean, 2.5 and 97.5 % of 20 orders",
        "source": "snapshots; Philox keyed by run and place",
    },
    "cka_texts": {
        "unit": "1",
        "formula": "debiased CKA of mean vectors of linked segments, article in 1>1 against meta-analysis in 2>2",
        "source": "snapshots and links of the pair, where 20 links or more are one-to-one",
    },
    "cka_texts_null": {
        "unit": "1",
        "formula": "cka_texts with the segments of the meta-analysis shifted round: mean, 2.5 and 97.5 % of all shifts",
        "source": "snapshots and links of the pair",
    },
    "drift": {
        "unit": "share of the norm at cycle 0",
        "formula": "||q - p|| / ||p||, p and q the centred held-out vectors at cycle 0 and c",
        "source": PROCRUSTES,
    },
    "rotation_share": {
        "unit": "share of the squared drift",
        "formula": "1 - ||q - pQ||^2 / ||q - p||^2, Q orthogonal, fitted on T1 and T2; null without drift",
        "source": PROCRUSTES,
    },
    "rotation_share_null": {
        "unit": "share of the squared drift",
        "formula": "rotation_share where the drift is isotropic noise of the same norm (one draw)",
        "source": "snapshots; Philox keyed by run and place",
    },
    "rest": {
        "unit": "share of the norm at cycle 0",
        "formula": "||q - pQ|| / ||p||: the drift that no rotation explains",
        "source": PROCRUSTES,
    },
    "shift": {
        "unit": "root mean square distance from the mean at cycle 0",
        "formula": "||mean(q) - mean(p)|| / sqrt(mean ||p||^2)",
        "source": PROCRUSTES,
    },
    "rotation_components": {
        "unit": "dimensions",
        "formula": "principal components that Q turns, chosen on folds of T1 and T2",
        "source": PROCRUSTES,
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per layer and cycle. Comparisons with cycle 0 start at the first mark after it."""
    snapshots = run.snapshots
    links = one_to_one(snapshots.links)
    for layer in snapshots.layers:
        start: Start | None = None
        for cycle in snapshots.cycles:
            now = thinned(snapshots.read(cycle, layer))
            rows = list(between_texts(now, links)) if len(links) >= LEAST_LINKS else []
            if cycle == 0:
                start = Start(now)
            elif start is not None:
                if not start.tokens.same_places(now):
                    raise ValueError(f"layer {layer}: cycles 0 and {cycle} hold vectors of different places")
                key = (*vars(run.identity).values(), cycle, layer)
                rows += [*start.alike(now, key), *start.split(now, key)]
            yield from (row._replace(cycle=cycle, layer=layer) for row in rows)


class Start:
    """The vectors of one layer at cycle 0, with what every comparison needs of them. Rows leave cycle and layer open."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        places = sorted(set(zip(tokens.direction.tolist(), tokens.side.tolist(), strict=True)) )
        self.masks = {
            (direction, side): (tokens.direction == direction) & (tokens.side == side)
            for direction, side in places
            if direction != "probe"
        }
        self.grams = {place: centred_gram(tokens.vectors[mask]) for place, mask in self.masks.items() if mask.sum() > 3}
        self.parts = parts(tokens)

    def alike(self, now: Tokens, key: Sequence[object]) -> Iterator[Row]:
        """CKA with cycle 0 per direction and side, and its null."""
        for (direction, side), gram in self.grams.items():
            later = centred_gram(now.vectors[self.masks[direction, side]])
            draws = generator("cka_null", *key, direction, side)
            orders = (draws.permutation(len(gram)) for _ in range(PERMUTATIONS))
            yield Row(0, "cka", alignment(gram, later), direction=direction, condition=side)
            yield null_row("cka_null", null_alignments(gram, later, orders), direction, side)

    def split(self, now: Tokens, key: Sequence[object]) -> Iterator[Row]:
        """The drift from cycle 0 as rotation and rest, and the same for noise; condition: what was held out."""
        if self.parts is None:
            return
        held_out, fit, judges = self.parts
        before, noise = self.tokens.vectors, generator("rotation_share_null", *key)
        inner = folds(self.tokens.take(fit))

        def split(later: Floats) -> Split:
            return split_drift(before[fit], later[fit], before[judges], later[judges], inner)

        found = split(now.vectors)
        for name in ("drift", "rotation_share", "rest", "shift", "rotation_components"):
            value = found.components if name == "rotation_components" else getattr(found, name)
            yield Row(0, name, float(value), condition=held_out)
        if not np.isnan(found.rotation_share):
            null = before + noise_like(now.vectors - before, fit, judges, noise)
            yield Row(0, "rotation_share_null", split(null).rotation_share, condition=held_out)


def noise_like(moves_ND: Floats, *rest: object) -> Floats:
    raise NotImplementedError
