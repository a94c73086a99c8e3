"""Figures on disk: the same drawing gives the same bytes."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from resonance.figures.style import applied
from resonance.storage import written

PNG_DPI = 200
NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))
"""What matplotlib would write into an SVG unasked."""


def save(figure: Figure, path: str | Path) -> None:
    """Write `path` as .svg and .png (two files, each whole or not at all).

    Neither holds a date, a program's version or a random id: ids in the SVG are hashes with a fixed salt, text is drawn
    as outlines of DejaVu Sans, which matplotlib carries with it. The figure's label becomes the title of the SVG, for
    those who cannot see it.

    Args:
        figure: a figure of this package.
        path: where to, without the ending.
    """
    path = Path(path)
    with applied():
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        # once is enough: the layout takes longer than the drawing, and both files get the same one
        figure.set_layout_engine("none")
        with written(path.with_name(f"{path.name}.svg")) as part:
            figure.savefig(part, format="svg", metadata={**NOTHING, "Title": str(figure.get_label())})
            part.write_text(_without_trailing_blanks(part.read_text(encoding="utf-8")), encoding="utf-8")
        with written(path.with_name(f"{path.name}.png")) as part:
            figure.savefig(part, format="png", dpi=PNG_DPI, metadata={"Software": None})


def _without_trailing_blanks(svg: str) -> str:
    """Figures are kept in git, which complains of blanks at the ends of lines."""
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)
