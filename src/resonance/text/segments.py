"""segments.yaml: the clauses of both texts, which of them say the same, and the words that occur in both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resonance.errors import UserError
from resonance.params import nearest
from resonance.text.plain import place

SIDES = {"1": "article", "2": "meta"}
"""The two texts: the digit that directions use, and the name of the file."""


class Span(NamedTuple):
    """Characters `start` to `stop` (not included) of a text."""

    start: int
    stop: int


class Segments(NamedTuple):
    """What segments.yaml says of a pair: spans per text (and paraphrase), links counted from 0, anchors."""

    spans: dict[str, list[Span]]
    links: list[tuple[int, int]]
    anchors: list[str]


class SegmentsFile(BaseModel):
    """The keys of segments.yaml; links count clauses from 1."""

    model_config = ConfigDict(extra="forbid", strict=True)

    article: list[str] = Field(min_length=1)
    meta: list[str] = Field(min_length=1)
    paraphrase_article: list[str] = Field([], alias="paraphrase-article")
    paraphrase_meta: list[str] = Field([], alias="paraphrase-meta")
    links: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = []
    anchors: list[str] = []


def read_segments(path: Path, texts: dict[str, str], probes: dict[str, str] | None = None) -> Segments:
    """Read segments.yaml and check it against the texts ('1' article, '2' meta); every fault is a UserError.

    probes: by name; clause i of `paraphrase-article` rewords clause i of the article, and so for the meta text.
    """
    file = _parse(path)
    spans = {side: _spans(path, name, getattr(file, name), texts[side]) for side, name in SIDES.items()}
    for side, name in SIDES.items():
        if clauses := getattr(file, f"paraphrase_{name}"):
            spans[f"paraphrase-{name}"] = _reworded(path, name, clauses, len(spans[side]), probes or {})
    links = [_link(path, link, spans) for link in file.links]
    for number, link in enumerate(links):
        if link in links[:number]:
            raise UserError(f"{path}: link {file.links[number]} is given twice; remove one of them.")
    for anchor in file.anchors:
        for side, name in SIDES.items():
            if not anchor.strip() or anchor not in texts[side]:
                raise UserError(
                    f"{path}: anchor {anchor!r} does not occur in {name}.txt; an anchor is a name or a number that "
                    "stands in both texts, letter by letter: correct or remove it."
                )
    return Segments(spans, links, list(dict.fromkeys(file.anchors)))


def anchor_spans(text: str, anchor: str) -> list[Span]:
    """Where an anchor stands: as a whole word, or, if it never does, wherever its letters are found."""
    letters = re.escape(anchor)
    whole = [Span(*match.span()) for match in re.finditer(rf"(?<!\w){letters}(?!\w)", text)]
    return whole or [Span(*match.span()) for match in re.finditer(letters, text)]


def _parse(path: Path) -> SegmentsFile:
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold the keys article and meta, and may hold links and anchors.")
    try:
        return SegmentsFile.model_validate({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        raise UserError(_sentence(path, error.errors()[0])) from None


def _sentence(path: Path, fault: Any) -> str:
    key, *entry = fault["loc"]
    where = key + (f", entry {entry[0] + 1}" if entry else "")
    match fault["type"]:
        case "extra_forbidden":
            return f"{path}: {key!r} is not a known key{nearest(str(key), SegmentsFile.model_fields)}"
        case "missing":
            return f"{path}: the key {key} is missing; list the clauses of {key}.txt under it, in order."
        case "string_type":
            return f"{path}: {where} is {fault['input']!r}, which YAML does not read as text; put it in quotes."
        case _ if key == "links":
            return f"{path}: {where} is {fault['input']!r}; write links as [clause of article, clause of meta]."
        case _:
            return f"{path}: {where} must be a list with at least one entry (found: {fault['input']!r})."


def _spans(path: Path, name: str, clauses: list[str], text: str) -> list[Span]:
    """Find each clause right after the one before; white space may differ, nothing else may."""
    spans: list[Span] = []
    position = 0
    for number, clause in enumerate(clauses, 1):
        words = clause.split()
        if not words:
            raise UserError(f"{path}: clause {number} of {name} is empty; write its words or remove it.")
        position = _skip_space(text, position)
        match = re.compile(r"\s+".join(map(re.escape, words))).match(text, position)
        if match is None:
            reads = f"reads {text[position : position + 40]!r}" if position < len(text) else "has ended"
            raise UserError(
                f"{path}: clause {number} of {name} ({clause[:40]!r}) does not match {name}.txt, which {reads} at "
                f"{place(text, position)}; write the clauses as exact pieces of the text, in order, leaving none out."
            )
        spans.append(Span(*match.span()))
        position = match.end()
    position = _skip_space(text, position)
    if position < len(text):
        raise UserError(
            f"{path}: the last clause of {name} ends before {name}.txt does, which goes on with "
            f"{text[position : position + 40]!r} at {place(text, position)}; add the clauses that are left."
        )
    return spans


def _reworded(path: Path, name: str, clauses: list[str], number: int, probes: dict[str, str]) -> list[Span]:
    """The clauses of a paraphrase, as many as its text has."""
    probe = f"paraphrase-{name}"
    if probe not in probes:
        raise UserError(f"{path}: {probe} is listed, but there is no probes/{probe}.txt; write it or remove the key.")
    if len(clauses) != number:
        raise UserError(
            f"{path}: {probe} has {len(clauses)} clauses and {name} {number}; clause i of the one rewords clause i of "
            "the other: make them equally many."
        )
    return _spans(path, f"probes/{probe}", clauses, probes[probe])


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _link(path: Path, link: list[int], spans: dict[str, list[Span]]) -> tuple[int, int]:
    for number, (side, name) in zip(link, SIDES.items(), strict=True):
        if not 1 <= number <= len(spans[side]):
            raise UserError(
                f"{path}: link {link} names clause {number} of {name}, which has clauses 1 to {len(spans[side])}; "
                "correct the link."
            )
    return link[0] - 1, link[1] - 1
