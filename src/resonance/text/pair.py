"""A pair: two texts that never change, with what a person has said about them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from resonance.errors import UserError
from resonance.params import nearest
from resonance.text.plain import read_plain
from resonance.text.segments import SIDES, Segments, Span, read_segments

__all__ = ["Pair", "Span", "read_pair"]

USUAL_PROBES = ("paraphrase-article", "paraphrase-meta", "unrelated")
"""Probes that measures ask for by name."""

MADE_PROBES = ("shuffled-1", "shuffled-2")
"""Probes that code makes (`probes.py`); no file may bear these names."""


@dataclass(frozen=True)
class Pair:
    """Two texts and their annotations.

    name: the folder's name.
    texts: '1' is the article, '2' the meta text; no white space at the ends, line ends LF.
    segments: spans in characters per text, in order; empty where there is no segments.yaml.
    links: (segment of text 1, segment of text 2) that say the same, counted from 0.
    anchors: names and numbers that stand in both texts.
    probes: texts that are never trained on, by name.
    notes: what was normalised and what is missing, for the log.
    """

    name: str
    texts: dict[str, str]
    segments: dict[str, list[Span]] = field(default_factory=dict)
    links: list[tuple[int, int]] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)
    probes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_pair(folder: str | Path) -> Pair:
    """Read and check a folder with article.txt, meta.txt and, where there are any, segments.yaml and probes/*.txt.

    Raises UserError for whatever a person can put right in the folder; see docs/text.md.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(_missing(folder))
    texts, notes = {}, []
    for side, name in SIDES.items():
        texts[side], found = read_plain(folder / f"{name}.txt")
        notes += found
    if texts["1"] == texts["2"]:
        raise UserError(
            f"{folder}: article.txt and meta.txt hold the same text; the four directions need two different texts."
        )
    probes, found = _read_probes(folder / "probes", texts)
    segments = Segments({}, [], [])
    path = folder / "segments.yaml"
    if path.is_file():
        segments = read_segments(path, texts, probes)
        if not segments.links:
            notes.append("segments.yaml has no links: measures of corresponding segments are skipped")
        if not segments.anchors:
            notes.append("segments.yaml has no anchors: measures that swap anchors are skipped")
    else:
        notes.append("no segments.yaml: measures that need segments are skipped")
    return Pair(folder.name, texts, *segments, probes, notes + found)


def _missing(folder: Path) -> str:
    pairs = sorted(path.parent.name for path in folder.parent.glob("*/article.txt"))
    known = f"{nearest(folder.name, pairs)}; pairs there: {', '.join(pairs)}" if pairs else "; there is no pair yet"
    return f"{folder} is not a folder{known}. Make it, with article.txt and meta.txt, or correct `pairs`."


def _read_probes(folder: Path, texts: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Every probe of a folder by its file's name, and notes."""
    probes: dict[str, str] = {}
    notes: list[str] = []
    for path in sorted(folder.glob("*")):
        if path.suffix != ".txt":
            if not path.name.startswith("."):
                notes.append(f"probes/{path.name} is not read: probes are .txt files")
            continue
        name = path.stem
        if name in MADE_PROBES or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            raise UserError(
                f"{path}: {name!r} cannot be the name of a probe; use a letter, then letters, digits, - and _, "
                f"and not {' or '.join(MADE_PROBES)}, which are made by code."
            )
        probes[name], found = read_plain(path)
        notes += [f"probes/{note}" for note in found]
        for side, trained in SIDES.items():
            if probes[name] == texts[side]:
                raise UserError(f"{path} holds the same text as {trained}.txt; a probe is a text never trained on.")
    for name in USUAL_PROBES:
        if name not in probes:
            notes.append(f"no probes/{name}.txt: measures that need it are skipped")
    return probes, notes
