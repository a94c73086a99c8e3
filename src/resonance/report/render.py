"""Write the report: one HTML file with everything in it, the same bytes from the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from resonance.figures.captions import CAPTIONS, PER_PAIR, PER_RUNS, Caption
from resonance.params import parse
from resonance.report.embedding import explorer, fingerprint
from resonance.report.final_tables import FamilyTable, family_tables
from resonance.report.findings import Line, findings
from resonance.report.pictures import Picture, picture
from resonance.report.study import learner_lines, schedule_lines
from resonance.report.verdicts import MEANINGS, verdicts
from resonance.report.voices import Speaker, speakers
from resonance.storage import write_text

STYLES = ("report.css", "verdicts.css", "explorer.css")


@dataclass(frozen=True)
class Shown:
    """A figure with its caption."""

    kind: str
    caption: Caption
    picture: Picture


@dataclass(frozen=True)
class Chapter:
    """All that was found under one schedule of one pair, and which learners it was run on."""

    schedule: str
    learners: list[str]
    findings: list[Line]
    figures: list[Shown]
    speakers: list[Speaker]
    tables: list[FamilyTable]


@dataclass(frozen=True)
class Part:
    """One pair: its pictures, and a chapter per schedule."""

    pair: str
    figures: list[Shown]
    chapters: list[Chapter]


@dataclass(frozen=True)
class Script:
    """A script of this package: its text, and the name by which the page lets it run."""

    text: Markup
    name: str


def render(
    out: str | Path,
    params: dict[str, Any],
    tables: Mapping[str, pd.DataFrame],
    figures_dir: str | Path,
    provenance: Mapping[str, Any],
    generations: pd.DataFrame,
    judged: Mapping[str, Any] | None = None,
    explored: Sequence[dict[str, Any]] = (),
) -> None:
    """Write the report to `out`.

    Args:
        params: the parameters of the study, as in params.yaml or as dumped from `params.Params`.
        tables: one tidy table per family, all runs; a family may be missing.
        figures_dir: where `figures.gallery` has drawn; a figure may be missing.
        provenance: what the results belong to, shown as it is: name → text, or name → {name → text}. It must hold no
            time, host or absolute path: the report has the bytes that its inputs give it.
        generations: learner, pair, schedule, seed, cycle, direction, window, prefix, output, reference; may be empty.
        judged: the verdicts, as `verdicts.read_verdicts` returns them; None where nothing was judged.
        explored: what `explorer.read_explorer` returns of each run that can be looked at; may be empty.
    """
    study = parse(params)
    learners = in_order(list(study.learners), tables)
    folder = Path(figures_dir)

    def chapter(pair: str, schedule: str) -> Chapter:
        own = {family: _of(table, pair, schedule) for family, table in tables.items()}
        names = [name for name in learners if schedule in (study.learners[name].schedules or study.schedules)]
        return Chapter(
            schedule=schedule,
            learners=names,
            findings=findings(own, names),
            figures=_shown(folder, PER_RUNS, pair, schedule),
            speakers=speakers(_of(generations, pair, schedule), names) if len(generations) else [],
            tables=family_tables(own, names),
        )

    parts = [
        Part(pair, _shown(folder, PER_PAIR, pair), [chapter(pair, name) for name in study.schedules])
        for pair in study.pairs
    ]
    places = _figure_places(parts)

    def find(name: str) -> str | Picture | None:
        return places.get(name) or picture(folder, name)

    told = None if judged is None else verdicts(judged, find)
    runs = sum(
        len(each.schedules or study.schedules) * len(each.seeds or study.seeds) for each in study.learners.values()
    )
    shown = explorer(explored, total=len(study.pairs) * runs)
    needed = {"report.js": told is not None and told.claims, "explorer.js": shown}
    page = _environment().get_template("report.html.jinja")
    text = page.render(
        verdicts=told,
        meanings=MEANINGS,
        explorer=shown,
        scripts=[_script(name) for name, wanted in needed.items() if wanted],
        study=study,
        learners=learner_lines(study, learners),
        schedules=schedule_lines(study),
        parts=parts,
        provenance=[(name, _as_text(value)) for name, value in provenance.items()],
        parameters=yaml.safe_dump(params, sort_keys=False, allow_unicode=True, width=100),
    )
    write_text(out, text)


def in_order(names: list[str], tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The learners as the tables have them: the order of params.yaml, even where `params` come sorted by key."""
    seen = dict.fromkeys(str(name) for table in tables.values() for name in pd.unique(table["learner"]))
    return [name for name in seen if name in names] + [name for name in names if name not in seen]


def _environment() -> Environment:
    """Templates of this package: all values escaped, a misspelt name an error."""
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # the only texts that are not escaped, and they are this package's own
    css = "".join((here / name).read_text(encoding="utf-8") for name in STYLES)
    environment.globals["css"] = Markup(css)  # noqa: S704
    return environment


def _script(name: str) -> Script:
    """A script of this package. It holds nothing of the study, so its name is the same in every report."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return Script(Markup(text), fingerprint(text))  # noqa: S704


def _figure_places(parts: Sequence[Part]) -> dict[str, str]:
    """Where each figure stands in the page: by the name of its file, and by its kind, then the first of that kind."""
    found: dict[str, str] = {}
    for p, part in enumerate(parts, start=1):
        for shown in part.figures:
            found.setdefault(f"{shown.kind}-{part.pair}", f"figure-{p}-{shown.kind}")
            found.setdefault(shown.kind, f"figure-{p}-{shown.kind}")
        for c, chapter in enumerate(part.chapters, start=1):
            for shown in chapter.figures:
                found.setdefault(f"{shown.kind}-{part.pair}-{chapter.schedule}", f"figure-{p}-{c}-{shown.kind}")
                found.setdefault(shown.kind, f"figure-{p}-{c}-{shown.kind}")
    return found


def _of(table: pd.DataFrame, pair: str, schedule: str) -> pd.DataFrame:
    """The rows of one pair and one schedule."""
    return table[(table["pair"] == pair) & (table["schedule"] == schedule)]


def _shown(folder: Path, kinds: Sequence[str], *which: str) -> list[Shown]:
    """The figures of these kinds that were drawn."""
    drawn = [(kind, picture(folder, "-".join((kind, *which)))) for kind in kinds]
    return [Shown(kind, CAPTIONS[kind], found) for kind, found in drawn if found is not None]


def _as_text(value: Any) -> str | list[tuple[str, str]]:
    """A text, or name and text of each entry."""
    if isinstance(value, Mapping):
        return [(str(name), str(inner)) for name, inner in value.items()]
    return str(value)
