"""All figures of a study: which there are, what their files are called, and drawing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from resonance.errors import UserError
from resonance.figures import (
    between,
    concepts,
    correspondence,
    critic,
    depth,
    dose,
    drift,
    geometry,
    interference,
    loss,
    pair,
    patching,
    permutations,
    probes,
    reader,
    recall,
    reliability,
    trajectory,
    understanding,
    verdicts,
)
from resonance.figures.captions import PER_PAIR, PER_RUNS, PER_STUDY
from resonance.figures.rows import Tables
from resonance.figures.save import save
from resonance.storage import read_made_by, read_table
from resonance.text.concepts import concept_graph
from resonance.text.tokens import read_tokens

FROM_TABLES = {
    "loss": loss.draw,
    "recall": recall.draw,
    "probes": probes.draw,
    "understanding": understanding.draw,
    "reliability": reliability.draw,
    "dose": dose.draw,
    "critic": critic.draw,
    "interference": interference.draw,
    "reader": reader.draw,
    "drift": drift.draw,
    "geometry": geometry.draw,
    "between": between.draw,
    "correspondence": correspondence.draw,
    "links": patching.draw,
}
"""Figures of one pair and schedule that need nothing but tables."""

OVER_SCHEDULES = {"permutations": permutations.draw, "depth": depth.draw}
"""Figures of one pair that need the tables of all its schedules."""


def figure_name(kind: str, pair_name: str, schedule: str = "") -> str:
    """`loss-spacing-shuffled`, `pair-spacing`: the name of a figure's files, without the ending."""
    return "-".join(filter(None, (kind, pair_name, schedule)))


def figure_names(pairs: Sequence[str], schedules: Sequence[str]) -> list[str]:
    """The names of all figures of a study, in the order of the report.

    Raises:
        UserError: two of them would get the same name (pair `a`, schedule `b-c` and pair `a-b`, schedule `c`).
    """
    names = [*PER_STUDY, *(figure_name(kind, name) for name in pairs for kind in PER_PAIR)]
    names += [figure_name(kind, name, schedule) for name in pairs for schedule in schedules for kind in PER_RUNS]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(
            f"params.yaml: two figures would be called {min(twice)}; rename a pair or a schedule so that pair and "
            "schedule joined by '-' are different for each."
        )
    return names


def draw_pair(tokens: str | Path, out: str | Path) -> None:
    """Draw `pair-<name>` and `concepts-<name>` into the folder `out` from the tokens table of a pair."""
    facts = read_made_by(tokens)
    table = read_table(tokens, columns=["text", "position", "piece", "segment"]).to_pandas()
    links = [(first, second) for first, second in facts["links"]]
    figures = {
        "pair": pair.draw(table, links, facts["name"]),
        "concepts": concepts.draw(concept_graph(read_tokens(tokens)), facts["name"]),
    }
    for kind, figure in figures.items():
        save(figure, Path(out) / figure_name(kind, facts["name"]))


def draw_across(pair_name: str, learners: Sequence[str], tables: Tables, out: str | Path) -> None:
    """Draw what compares the schedules of one pair into the folder `out`; arguments as of `draw_runs`."""
    kept = {family: ordered(table[table["pair"] == pair_name], learners) for family, table in tables.items()}
    for kind, draw in OVER_SCHEDULES.items():
        save(draw(kept), Path(out) / figure_name(kind, pair_name))


def draw_verdicts(judged: Mapping[str, Any], out: str | Path) -> None:
    """Draw `verdicts` into the folder `out` from what stands in results/verdicts.json."""
    save(verdicts.draw(judged), Path(out) / "verdicts")


def draw_runs(
    pair_name: str,
    schedule: str,
    learners: Sequence[str],
    tables: Tables,
    snapshots: Iterable[str | Path],
    out: str | Path,
) -> None:
    """Draw all figures of one pair and one schedule into the folder `out`.

    Args:
        learners: names in the order of params.yaml; others are not drawn.
        tables: one table per family, of any runs.
        snapshots: snapshot files, of any runs.
    """
    kept = {family: of_runs(table, pair_name, schedule, learners) for family, table in tables.items()}
    figures: dict[str, Figure] = {kind: draw(kept) for kind, draw in FROM_TABLES.items()}
    files = [path for path in map(Path, snapshots) if is_of(path, pair_name, schedule, learners)]
    figures["trajectory"] = trajectory.draw(ordered(trajectory.pooled_states(files), learners))
    for kind, figure in figures.items():
        save(figure, Path(out) / figure_name(kind, pair_name, schedule))


def of_runs(table: pd.DataFrame, pair_name: str, schedule: str, learners: Sequence[str]) -> pd.DataFrame:
    """The rows of one pair and schedule, learners in the order given."""
    return ordered(table[(table["pair"] == pair_name) & (table["schedule"] == schedule)], learners)


def ordered(table: pd.DataFrame, learners: Sequence[str]) -> pd.DataFrame:
    """The rows of these learners, in their order."""
    place = {name: number for number, name in enumerate(learners)}
    kept = table[table["learner"].isin(list(learners))]
    return kept.iloc[kept["learner"].astype(object).map(place).argsort(kind="stable")]


def is_of(path: Path, pair_name: str, schedule: str, learners: Sequence[str]) -> bool:
    """Whether a snapshot file belongs to one of these runs."""
    made_by: Mapping[str, object] = read_made_by(path)
    return (made_by["pair"], made_by["schedule"]) == (pair_name, schedule) and made_by["learner"] in learners
