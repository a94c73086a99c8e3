"""The shape of a cloud of tokens by persistent homology: descriptive, beside what noise of the same spread has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import gudhi  # type: ignore[import-untyped]
import numpy as np

from resonance.measures.run import RunData
from resonance.measures.sample import Key, evenly, generator
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats, Tokens

MOST_POINTS = 64
DRAWS = 5
LEAST = 4
PLACES = (("1>2", "target"), ("probe", "unrelated"))
"""Direction and condition of the clouds that are looked at: a text as target of the other, and one that is never
trained on. Every cloud costs as much as all other measures of it together."""

SOURCE = (
    "snapshots, fp64, by gudhi; at most 64 tokens, evenly spaced, distances / their median; Vietoris-Rips complex, "
    "coefficients modulo 11"
)
NULL = "the same of a Gaussian cloud of the same size and covariance: mean, least and greatest of 5 draws"
PERSISTENCE: dict[str, Definition] = {
    "h0_persistence": {
        "unit": "median distance",
        "formula": "sum of death - birth of the components: the length of the shortest tree that joins all tokens",
        "source": SOURCE,
    },
    "h1_persistence": {
        "unit": "median distance",
        "formula": "sum of death - birth of the loops",
        "source": SOURCE,
    },
    "h1_longest": {
        "unit": "median distance",
        "formula": "greatest death - birth of a loop, 0 without loops",
        "source": SOURCE,
    },
}
MEASURES: dict[str, Definition] = {
    **PERSISTENCE,
    **{
        f"{name}_null": {"unit": about["unit"], "formula": NULL, "source": "snapshots; Philox keyed by run and place"}
        for name, about in PERSISTENCE.items()
    },
    "h1_bottleneck": {
        "unit": "median distance",
        "formula": "bottleneck distance of the diagrams of loops at cycle 0 and c: the least, over matchings with each "
        "other or with the diagonal, of the greatest move of a birth or death",
        "source": SOURCE,
    },
}


class Diagram(NamedTuple):
    """When components (born at 0) die, and when loops are born and die.

    deaths: [n − 1], the component that never dies left out. loops: [loops, 2].
    """

    deaths: Floats
    loops: Floats

    def persistence(self) -> dict[str, float]:
        """Sums of lifetimes, and the longest life of a loop."""
        lives = self.loops[:, 1] - self.loops[:, 0]
        return {
            "h0_persistence": float(self.deaths.sum()),
            "h1_persistence": float(lives.sum()),
            "h1_longest": float(lives.max(initial=0.0)),
        }


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, layer, direction and condition (side, for the probe its name)."""
    snapshots = run.snapshots
    first: dict[tuple[int, str, str], Diagram] = {}
    for cycle in snapshots.cycles:
        moment = snapshots.at(cycle)
        for layer in snapshots.layers:
            for direction, condition, vectors in clouds(moment.layer(layer)):
                place, key = (layer, direction, condition), (*vars(run.identity).values(), cycle, layer, direction)
                now = diagram(vectors)
                if cycle == 0:
                    first[place] = now
                row = Row(cycle, "", None, layer=layer, direction=direction, condition=condition)
                for name, value in now.persistence().items():
                    yield row._replace(measure=name, value=value)
                yield from (null._replace(cycle=cycle, layer=layer) for null in nulls(vectors, row, (*key, condition)))
                if cycle > 0 and place in first:
                    yield row._replace(measure="h1_bottleneck", value=bottleneck(first[place].loops, now.loops))


def clouds(tokens: Tokens) -> Iterator[tuple[str, str, Floats]]:
    """Direction, condition and at most 128 vectors of each of PLACES that is there."""
    for direction, condition in PLACES:
        column = tokens.text if direction == "probe" else tokens.side
        places = np.flatnonzero((tokens.direction == direction) & (column == condition))
        if len(places) >= LEAST:
            yield direction, condition, tokens.vectors[evenly(places, MOST_POINTS)]


def nulls(x_ND: Floats, row: Row, key: Key) -> Iterator[Row]:
    """What Gaussian clouds with the covariance of this one have: mean, least and greatest."""
    draws = generator("topology_null", *key)
    found = [diagram(noise_like(x_ND, draws)).persistence() for _ in range(DRAWS)]
    for name in PERSISTENCE:
        values = [each[name] for each in found]
        yield row._replace(measure=f"{name}_null", value=float(np.mean(values)), low=min(values), high=max(values))


def noise_like(x_ND: Floats, draws: np.random.Generator) -> Floats:
    """n Gaussian vectors [n, D] with the covariance of these: sums of the centred vectors with Gaussian weights."""
    n = len(x_ND)
    noise: Floats = draws.standard_normal((n, n)) @ (x_ND - x_ND.mean(axis=0)) / np.sqrt(n - 1)
    return noise


def diagram(x_ND: Floats) -> Diagram:
    """Components and loops of the Vietoris-Rips complex over scaled distances; of a cloud in one point, none but 0.

    Edges longer than the least distance from one vector to the farthest other are left out: from there on the complex
    is a cone over that vector, and nothing is born or dies. Collapsing edges changes no diagram (Boissonnat and
    Pritam 2020).
    """
    distance_NN = scaled_distances(x_ND)
    enclosing = float(distance_NN.max(axis=1).min())
    tree = gudhi.RipsComplex(distance_matrix=distance_NN, max_edge_length=enclosing).create_simplex_tree(1)
    tree.collapse_edges()
    tree.expansion(2)
    tree.compute_persistence()
    components, loops = (tree.persistence_intervals_in_dimension(d).reshape(-1, 2) for d in (0, 1))
    return Diagram(components[np.isfinite(components[:, 1]), 1], loops)


def scaled_distances(x_ND: Floats) -> Floats:
    """Distances [n, n] over the median of those between two vectors; unscaled where that is 0.

    From scalar products of the centred vectors, so that equal ones may stand 1e-8 of the median apart: no ratio of
    distances is taken here, and sums are that exact.
    """
    centred = x_ND - x_ND.mean(axis=0)
    norm = np.square(centred).sum(axis=1)
    distance_NN = np.sqrt(np.maximum(norm[:, None] + norm - 2 * (centred @ centred.T), 0.0))
    np.fill_diagonal(distance_NN, 0.0)
    median = float(np.median(distance_NN[np.triu_indices(len(x_ND), 1)]))
    scaled: Floats = distance_NN / median if median > 0 else distance_NN
    return scaled


def bottleneck(a_K2: Floats, b_K2: Floats) -> float:
    """Bottleneck distance of two diagrams, exactly."""
    return float(gudhi.bottleneck_distance(a_K2, b_K2, 0.0))
