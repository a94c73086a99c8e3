"""Figures inside the report: each as a data URI, so that the file needs nothing beside it."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

LARGEST_SVG = 150_000
"""Bytes. Above that the PNG is shown: it is smaller, and browsers draw tens of thousands of paths slowly."""
WIDEST = 1472
"""Pixels of a PNG in the report: two for each at which report.css shows a figure at most (46 rem)."""
COLOURS = 256
"""Of a PNG in the report, chosen for each; a drawing has few, and edges of letters and colour scales need the rest."""

TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
NOTHING = ": nothing to show"
"""In the title of a file that says why there is no figure; the reason may follow behind a colon."""


@dataclass(frozen=True)
class Picture:
    """A figure for an `<img>`: its `src`, and the title drawn in it for those who cannot see it.

    lacking: why there is nothing to show, where the file only says that; then it takes no figure's place.
    """

    source: str
    title: str
    lacking: str = ""


def picture(folder: Path, name: str) -> Picture | None:
    """`<folder>/<name>.svg`, or the .png beside it where the SVG is large; None where neither was drawn."""
    vector, pixels = folder / f"{name}.svg", folder / f"{name}.png"
    if not vector.is_file():
        return None
    svg = vector.read_bytes()
    found = TITLE.search(svg.decode("utf-8"))
    title = html.unescape(found[1]) if found else name
    _, nothing, why = title.partition(NOTHING)
    if nothing:
        return Picture("", title, why.removeprefix(": ") or "no run of the study has what it compares.")
    if len(svg) > LARGEST_SVG and pixels.is_file():
        return Picture(_data("image/png", smaller(pixels.read_bytes())), title)
    return Picture(_data("image/svg+xml", svg), title)


def smaller(png: bytes) -> bytes:
    """The PNG with a palette of its own, and no wider than what a dense screen shows of it; itself if it is less."""
    with Image.open(BytesIO(png)) as opened:
        pixels = opened.convert("RGB")
    if pixels.width > WIDEST:
        height = round(pixels.height * WIDEST / pixels.width)
        pixels = pixels.resize((WIDEST, height), Image.Resampling.LANCZOS)
    packed = BytesIO()
    reduced = pixels.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    reduced.save(packed, "PNG", optimize=True)
    return min(packed.getvalue(), png, key=len)


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
