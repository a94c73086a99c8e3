from __future__ import annotations

import base64
from pathlib import Path

from resonance.report import pictures
from resonance.report.pictures import picture

SVG = "<svg><title>Loss &lt; 1 &amp; falling</title></svg>"


def test_an_svg_is_inlined_with_its_title(tmp_path: Path) -> None:
    (tmp_path / "loss.svg").write_text(SVG)
    found = picture(tmp_path, "loss")
    assert found is not None
    assert found.title == "Loss < 1 & falling"
    kind, content = found.source.split(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content).decode() == SVG


def test_of_a_large_svg_the_png_is_shown(tmp_path: Path) -> None:
    (tmp_path / "loss.svg").write_text(SVG + " " * pictures.LARGEST_SVG)
    (tmp_path / "loss.png").write_bytes(b"pixels")
    found = picture(tmp_path, "loss")
    assert found is not None
    assert found.source == "data:image/png;base64," + base64.b64encode(b"pixels").decode()
    assert found.title == "Loss < 1 & falling"


def test_a_figure_that_was_not_drawn_is_none(tmp_path: Path) -> None:
    assert picture(tmp_path, "loss") is None
