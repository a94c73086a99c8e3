"""How alike the states of two runs are: of one learner with another seed, and of two learners with the same one.

Unlike all other families it looks at several runs at once, so it has a job of its own: one for all runs of a pair,
schedule, tokenizer and seed. Learners are compared where the tokens of both are the same ones, at the same places: the
targets of the four directions. Networks of unequal depth meet at their embeddings, in their middles and at their ends.

A network of another seed is the null of "it was a rotation" (C10): how much of the way from this run at cycle 0 to a
network that never was this one would a rotation explain? That holds where the other seed started elsewhere. Seeds that
start from one base share cycle 0, and then it is the rotation share of the other run: another draw of the same number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from resonance.measures.cka import centred_gram
from resonance.measures.heldout import folds, parts
from resonance.measures.neighbours import NEAREST, nearest
from resonance.measures.procrustes import split_drift
from resonance.measures.run import KEYS, Identity, RunData
from resonance.measures.sample import Key, generator, trained
from resonance.measures.table import Definition, Row, as_table, definitions
from resonance.measures.vectors import Floats, Moment, Tokens
from resonance.storage import read_made_by, write_table

ORDERS = 20

MEASURES: dict[str, Definition] = {
    "cka_between": {
        "unit": "1",
        "formula": "debiased CKA of the same target tokens in two runs, mean over directions; low, high: least and "
        "greatest of them",
        "source": "snapshots, fp64; as cka of the family similarity",
    },
    "cka_between_null": {
        "unit": "1",
        "formula": "cka_between with the tokens of the other run in random order: mean, 2.5 and 97.5 % of 20 orders",
        "source": "snapshots; Philox keyed by pair, schedule, seed and place",
    },
    "mutual_knn_between": {
        "unit": "share",
        "formula": "share of the 10 nearest target tokens by cosine in one run that are among the 10 nearest in the "
        "other, mean over tokens and directions; low, high: least and greatest direction",
        "source": "snapshots, fp64; as mutual_knn of the family neighbours",
    },
    "rotation_share_other_seed": {
        "unit": "share of the squared drift",
        "formula": "1 - ||q - pQ||^2 / ||q - p||^2, p this run at cycle 0, q the end of the other seed, Q orthogonal, "
        "fitted on T1 and T2",
        "source": "snapshots, fp64; derivation in resonance.measures.procrustes",
    },
}


class Partners(NamedTuple):
    """Run `one` is compared with run `other`; condition: how the row names that."""

    one: int
    other: int
    condition: str


class Likeness(NamedTuple):
    """R runs at one depth, each against each. cka, neighbours: [directions, R, R]; null: [20 orders, R, R]."""

    cka: Floats
    null: Floats
    neighbours: Floats


Clouds = dict[tuple[int, str], Tokens]
"""Vectors of at most 1,024 target tokens by depth (0: embedding, 1: middle, 2: last layer) and direction."""


def write_comparison(out: str | Path, seed: int, snapshots: Sequence[str | Path]) -> None:
    """Compare the runs that these files belong to and write the table, with a header also where nothing is in it.

    Args:
        seed: of the runs that rows are about; a run with another one is what its learner is compared with.
    """
    rows: dict[Identity, list[Row]] = {}
    for identity, row in compare(seed, runs_of(snapshots)):
        rows.setdefault(identity, []).append(row)
    told = definitions(MEASURES, (row.measure for own in rows.values() for row in own))
    tables = [as_table(identity, own) for identity, own in rows.items()] or [as_table(Identity("", "", "", 0), [])]
    about = {"kind": "measures", "family": "between", "measures": told}
    write_table(out, pa.concat_tables(tables).unify_dictionaries().combine_chunks(), about)


def runs_of(snapshots: Sequence[str | Path]) -> list[RunData]:
    """The runs of these files, in the order in which they first appear."""
    files: dict[Identity, list[Path]] = {}
    for path in map(Path, snapshots):
        made_by = read_made_by(path)
        files.setdefault(Identity(*(made_by[key] for key in KEYS)), []).append(path)
    return [RunData(identity, snapshots_files=tuple(sorted(own))) for identity, own in files.items()]


def compare(seed: int, runs: Sequence[RunData]) -> Iterator[tuple[Identity, Row]]:
    """Rows by run at cycle 0 and at the end.

    Raises:
        ValueError: runs end at different cycles, or hold vectors of different places.
    """
    chosen = list(partners(seed, runs))
    if not chosen:
        return
    ends = {run.snapshots.cycles[-1] for run in runs}
    if len(ends) > 1:
        raise ValueError(f"the runs end at cycles {' and '.join(map(str, sorted(ends)))}: nothing to compare")
    (end,) = ends
    others = {each.one: each.other for each in chosen if each.condition.startswith("seed:")}
    clouds: dict[int, list[Clouds]] = {0: [], end: []}
    for place, run in enumerate(runs):
        first, last = run.snapshots.at(0), run.snapshots.at(end)
        clouds[0].append(targets(first, run.snapshots.layers))
        clouds[end].append(targets(last, run.snapshots.layers))
        if place in others:
            partner = runs[others[place]]
            for row in rotations(first, partner.snapshots.at(end), run.snapshots.layers):
                yield run.identity, row._replace(cycle=end, condition=f"seed:{partner.identity.seed}")
    about = runs[0].identity
    for cycle, seen in clouds.items():
        for depth in range(3):
            places = [place for place, own in enumerate(seen) if any(at == depth for at, _ in own)]
            if places:
                key = (about.pair, about.schedule, seed, cycle, depth)
                found = alike([seen[place] for place in places], depth, key)
                for one, other, condition in chosen:
                    if one in places and other in places:
                        layer = middle(runs[one].snapshots.layers)[depth]
                        i, j = places.index(one), places.index(other)
                        for row in rows_of(found, i, j):
                            yield runs[one].identity, row._replace(cycle=cycle, layer=layer, condition=condition)


def partners(seed: int, runs: Sequence[RunData]) -> Iterator[Partners]:
    """Every run of this seed against every other, both ways, and against the run of its learner with another seed."""
    own = [place for place, run in enumerate(runs) if run.identity.seed == seed]
    for one, other in permutations(own, 2):
        yield Partners(one, other, f"learner:{runs[other].identity.learner}")
    for one in own:
        for other, run in enumerate(runs):
            if run.identity.seed != seed and run.identity.learner == runs[one].identity.learner:
                yield Partners(one, other, f"seed:{run.identity.seed}")


def middle(layers: Sequence[int]) -> dict[int, int]:
    """Depth to layer: embedding, middle and last; a network of one layer has no middle, and none of 0 a last one."""
    last = layers[-1]
    depths = {0: 0}
    if last > 1:
        depths[1] = (last + 1) // 2
    if last > 0:
        depths[2] = last
    return depths


def targets(moment: Moment, layers: Sequence[int]) -> Clouds:
    """The clouds of a run at one cycle; texts too short to have neighbours drop out."""
    found: Clouds = {}
    for depth, layer in middle(layers).items():
        tokens = moment.layer(layer)
        for direction, side, places in trained(tokens):
            if side == "target" and len(places) > NEAREST + 1:
                found[depth, direction] = tokens.take(places)
    return found


def alike(seen: Sequence[Clouds], depth: int, key: Key) -> Likeness:
    """Each run against each at one depth. Every kernel is made once, and every random order is shared by all runs."""
    cka, neighbours, nulls = [], [], []
    for direction in sorted(name for at, name in seen[0] if at == depth):
        tokens = [own[depth, direction] for own in seen]
        if not all(tokens[0].same_places(other) for other in tokens):
            raise ValueError(f"direction {direction}: the runs hold vectors of different places")
        n = len(tokens[0])
        rows, columns = np.triu_indices(n, 1)
        kernels_RM = np.stack([unit(centred_gram(own.vectors)[rows, columns]) for own in tokens])
        at_NN = np.zeros((n, n), np.intp)
        at_NN[rows, columns] = at_NN[columns, rows] = np.arange(len(rows))
        draws = generator("cka_between_null", *key, direction)
        orders = [draws.permutation(n) for _ in range(ORDERS)]
        cka.append(kernels_RM @ kernels_RM.T)
        nulls.append([kernels_RM @ kernels_RM[:, at_NN[order[rows], order[columns]]].T for order in orders])
        near_RM = np.stack([marked(nearest(own.vectors, NEAREST)) for own in tokens])
        neighbours.append((near_RM @ near_RM.T).astype(np.float64) / (n * NEAREST))
    return Likeness(np.array(cka), np.array(nulls).mean(axis=0), np.array(neighbours))


def unit(kernel_M: Floats) -> Floats:
    """A kernel's upper triangle with norm 1, so that products are CKAs; NaN where nothing varies."""
    norm = np.linalg.norm(kernel_M)
    return kernel_M / norm if norm > 0 else np.full_like(kernel_M, np.nan)


def marked(near_NK: np.ndarray) -> np.ndarray:
    """1 where token j is among the nearest of token i, else 0: [n * n], float32, in which counts are exact."""
    n = len(near_NK)
    marks_NN = np.zeros((n, n), np.float32)
    np.put_along_axis(marks_NN, near_NK, 1.0, axis=1)
    return marks_NN.ravel()


def rows_of(found: Likeness, i: int, j: int) -> Iterator[Row]:
    """The rows of run i against run j. Here and below rows leave open what the caller knows."""
    null = found.null[:, i, j]
    for name, values in (("cka_between", found.cka[:, i, j]), ("mutual_knn_between", found.neighbours[:, i, j])):
        yield Row(0, name, float(values.mean()), float(values.min()), float(values.max()))
    low, high = np.percentile(null, [2.5, 97.5])
    yield Row(0, "cka_between_null", float(null.mean()), float(low), float(high))


def rotations(first: Moment, other: Moment, layers: Sequence[int]) -> Iterator[Row]:
    """How much of the way from this run's cycle 0 to the other run's end a rotation explains, layer by layer."""
    for layer in layers:
        before, after = first.layer(layer), other.layer(layer)
        if not before.same_places(after):
            raise ValueError(f"layer {layer}: the seeds hold vectors of different places")
        chosen = parts(before)
        if chosen is not None:
            _, fit, judges = chosen
            p, q = before.vectors, after.vectors
            split = split_drift(p[fit], q[fit], p[judges], q[judges], folds(before.take(fit)))
            yield Row(0, "rotation_share_other_seed", split.rotation_share, layer=layer)
