"""How far the hidden states of a network are from those of its first cycle, and those of one text from the other's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resonance.measures.cka import alignment, centred_gram, null_alignments
from resonance.measures.heldout import folds, parts
from resonance.measures.linked import Link, one_to_one, pooled
from resonance.measures.procrustes import centred, relative_norm, split_drift
from resonance.measures.run import RunData
from resonance.measures.sample import Key, generator, trained
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats, Moment, Tokens

PERMUTATIONS = 20
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
    "drift_pair": {
        "unit": "share of the norm at cycle 0",
        "formula": "||y - x|| / ||x||, x and y the centred vectors of T1 and T2 at cycle 0 and c, all directions",
        "source": "snapshots, fp64",
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
    """Rows per cycle and layer. Comparisons with cycle 0 start at the first mark after it."""
    snapshots, links = run.snapshots, one_to_one(run.snapshots.links)
    start: Moment | None = None
    for cycle in snapshots.cycles:
        moment = snapshots.at(cycle)
        for layer in snapshots.layers:
            now = moment.layer(layer)
            rows = list(between_texts(now, links)) if len(links) >= LEAST_LINKS else []
            if start is not None:
                before = start.layer(layer)
                if not before.same_places(now):
                    raise ValueError(f"layer {layer}: cycles 0 and {cycle} hold vectors of different places")
                key = (*vars(run.identity).values(), cycle, layer)
                rows += [*alike(before, now, key), *split(before, now, key)]
            yield from (row._replace(cycle=cycle, layer=layer) for row in rows)
        if cycle == 0:
            start = moment


def alike(before: Tokens, now: Tokens, key: Key) -> Iterator[Row]:
    """CKA with cycle 0 per direction and side, and its null. Here and below rows leave cycle and layer open."""
    for direction, side, places in trained(before):
        if len(places) < 4:
            continue
        first, later = centred_gram(before.vectors[places]), centred_gram(now.vectors[places])
        draws = generator("cka_null", *key, direction, side)
        orders = (draws.permutation(len(places)) for _ in range(PERMUTATIONS))
        yield Row(0, "cka", alignment(first, later), direction=direction, condition=side)
        yield null_row("cka_null", null_alignments(first, later, orders), direction, side)


def split(before: Tokens, now: Tokens, key: Key) -> Iterator[Row]:
    """The drift from cycle 0 as rotation and rest, and the same for noise; condition: what was held out.

    The drift alone also for the pair itself: the embeddings of tokens that never occur in it need not move at all.
    """
    old, moves = before.vectors, now.vectors - before.vectors
    pair = np.isin(before.text, ("1", "2"))
    yield Row(0, "drift_pair", relative_norm(moves[pair], old[pair]))
    chosen = parts(before)
    if chosen is None:
        return
    held_out, fit, judges = chosen
    inner = folds(before.take(fit))
    found = split_drift(old[fit], now.vectors[fit], old[judges], now.vectors[judges], inner)
    yield Row(0, "drift", found.drift, condition=held_out)
    yield Row(0, "rotation_share", found.rotation_share, condition=held_out)
    yield Row(0, "rest", found.rest, condition=held_out)
    yield Row(0, "shift", found.shift, condition=held_out)
    if not np.isnan(found.rotation_share):
        yield Row(0, "rotation_components", float(found.components), condition=held_out)
        draws = generator("rotation_share_null", *key)
        fit_noise, judge_noise = noise_like(moves[fit], draws), noise_like(moves[judges], draws)
        null = split_drift(old[fit], old[fit] + fit_noise, old[judges], old[judges] + judge_noise, inner)
        yield Row(0, "rotation_share_null", null.rotation_share, condition=held_out)


def noise_like(moves_ND: Floats, draws: np.random.Generator) -> Floats:
    """Isotropic noise [n, D] with the norm of these moves, both without their means."""
    noise = centred(draws.standard_normal(moves_ND.shape))
    return noise * (np.linalg.norm(centred(moves_ND)) / np.linalg.norm(noise))


def between_texts(now: Tokens, links: list[Link]) -> Iterator[Row]:
    """CKA of linked segments. In 1>1 and 2>2 nothing of the other text is in sight; condition: the side."""
    article, meta = zip(*links, strict=True)
    for side in ("input", "target"):
        first, second = now.where("1>1", side), now.where("2>2", side)
        if len(first) and len(second):
            a, b = centred_gram(pooled(first, article)), centred_gram(pooled(second, meta))
            shifts = (np.roll(np.arange(len(links)), shift) for shift in range(1, len(links)))
            yield Row(0, "cka_texts", alignment(a, b), condition=side)
            yield null_row("cka_texts_null", null_alignments(a, b, shifts), None, side)


def null_row(name: str, values: Floats, direction: str | None, condition: str) -> Row:
    """Mean and central 95 % of what a measure is by chance."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Row(0, name, float(values.mean()), float(low), float(high), direction=direction, condition=condition)
