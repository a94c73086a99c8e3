"""A small study with all that a report shows, and texts that try to break out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from figures.synthetic_tables import DIRECTIONS, tables, tokens
from report.judged import VERDICTS
from report.recorded import RUN, write_evaluations, write_snapshots, write_tokens

from resonance.figures import gallery, loss, pair
from resonance.figures.save import save
from resonance.report.explorer import explorer_data
from resonance.report.render import render

NASTY = "<script>alert('1')</script> & \"quotes\" {{ 7 * 7 }} <img src=x onerror=alert(2)>"

STUDY: dict[str, Any] = {
    "pairs": ["spacing"],
    "schedules": {"shuffled": "shuffled"},
    "seeds": [0, 1],
    "cycles": 64,
    "text": {"packages": ["numpy"]},
    **{block: {} for block in ("chunks", "snapshots", "base", "evaluation", "compute")},
    "learners": {
        "loreft": {"network": "transformer", "train": {"loreft": {"layers": [2], "rank": 4}}},
        "gpt": {"network": "transformer"},
    },
}

PROVENANCE = {"versions": "torch 2.13.0", "runs": {"gpt/spacing/shuffled/0": f"run 0123456789abcdef {NASTY}"}}


def generations(cycle: int = 64) -> pd.DataFrame:
    rows = [
        [name, "spacing", "shuffled", 0, cycle, way, 0, 0, f"{NASTY} and so on\n\n{name}", f"{NASTY} and so it ended"]
        for name in ("gpt", "loreft")
        for way in DIRECTIONS
    ]
    run = ["learner", "pair", "schedule", "seed"]
    columns = [*run, "cycle", "direction", "window", "prefix", "output", "reference"]
    return pd.DataFrame(rows, columns=columns).assign(steps=None)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two figures of the study."""
    folder = tmp_path_factory.mktemp("figures")
    save(loss.draw(tables(2)), folder / gallery.figure_name("loss", "spacing", "shuffled"))
    save(pair.draw(tokens([NASTY], ["b"]), [(0, 0)], "spacing"), folder / gallery.figure_name("pair", "spacing"))
    return folder


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Two runs to look into, of a pair whose tokens try to break out of the page."""
    folder = tmp_path_factory.mktemp("explored")
    cycles = [0, 1, 2, 4, 64]
    both = [NASTY, " </script>", "<!--", " one", " two", " three", " four", " five"], [f" w{i}" for i in range(60)]
    pair = write_tokens(folder / "tokens.parquet", *both)
    states = write_snapshots(folder / "snapshots.parquet", pair, cycles)
    said = write_evaluations(folder / "evaluations.parquet", pair, cycles)
    data = explorer_data([states], [said], pair)
    return [{"run": RUN | {"learner": name}} | data for name in ("gpt", "loreft")]


@pytest.fixture
def full(report: Callable[..., str], explored: list[dict[str, Any]]) -> Callable[..., str]:
    """Render the study with verdicts and with the explorer."""

    def rendered(name: str = "report.html", **changes: Any) -> str:
        return report(name, **{"judged": VERDICTS, "explored": explored} | changes)

    return rendered


@pytest.fixture
def report(tmp_path: Path, drawn: Path) -> Callable[..., str]:
    """Render the study, with changes, and return the page."""

    def rendered(name: str = "report.html", **changes: Any) -> str:
        given: dict[str, Any] = {
            "params": STUDY,
            "tables": tables(2, seeds=2),
            "figures_dir": drawn,
            "provenance": PROVENANCE,
            "generations": generations(),
        }
        render(tmp_path / name, **given | changes)
        return (tmp_path / name).read_text(encoding="utf-8")

    return rendered
