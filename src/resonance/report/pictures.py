"""Figures inside the report: each as a data URI, so that the file needs nothing beside it."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass
from pathlib import Path

LARGEST_SVG = 600_000
"""Bytes. Above that the PNG is shown: browsers draw tens of thousands of paths slowly."""

TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)


@dataclass(frozen=True)
class Picture:
    """A figure for an `<img>`: its `src`, and the title drawn in it for those who cannot see it."""

    source: str
    title: str


def picture(folder: Path, name: str) -> Picture | None:
    """`<folder>/<name>.svg`, or the .png beside it where the SVG is large; None where neither was drawn."""
    vector, pixels = folder / f"{name}.svg", folder / f"{name}.png"
    if not vector.is_file():
        return None
    svg = vector.read_bytes()
    found = TITLE.search(svg.decode("utf-8"))
    title = html.unescape(found[1]) if found else name
    if len(svg) > LARGEST_SVG and pixels.is_file():
        return Picture(_data("image/png", pixels.read_bytes()), title)
    return Picture(_data("image/svg+xml", svg), title)


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
