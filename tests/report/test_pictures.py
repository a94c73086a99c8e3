from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from resonance.figures.notice import notice
from resonance.figures.save import save
from resonance.report import pictures
from resonance.report.pictures import picture, smaller

SVG = "<svg><title>Loss &lt; 1 &amp; falling</title></svg>"


def drawing(width: int) -> np.ndarray:
    """Lines on white, a tenth as high as wide."""
    pixels = np.full((width // 10, width, 3), 255, np.uint8)
    draws = np.random.default_rng(0)
    for column in range(0, width, 3):
        pixels[draws.integers(width // 10), column : column + 3] = 10 * draws.integers(0, 20)
    return pixels


def png(pixels: np.ndarray) -> bytes:
    """As a file of 24 bits per pixel."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


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
    (tmp_path / "loss.png").write_bytes(png(drawing(400)))
    found = picture(tmp_path, "loss")
    assert found is not None
    kind, content = found.source.split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == smaller(png(drawing(400)))
    assert found.title == "Loss < 1 & falling"


def test_a_png_is_made_smaller_without_another_look() -> None:
    """Some 20 colours on white: all of them stay, to the bit, and the file is less than half."""
    given = drawing(1440)
    packed = smaller(png(given))
    assert len(packed) < len(png(given)) / 2
    assert packed == smaller(png(given))
    with Image.open(BytesIO(packed)) as shown:
        assert np.array_equal(np.asarray(shown.convert("RGB")), given)


def test_a_png_is_as_wide_as_a_dense_screen_shows_it() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (30, 3000, 3), np.uint8)
    with Image.open(BytesIO(smaller(png(photograph)))) as shown:
        assert shown.size == (pictures.WIDEST, round(30 * pictures.WIDEST / 3000))
    css = (Path(pictures.__file__).parent / "report.css").read_text(encoding="utf-8")
    assert f"max-width: {pictures.WIDEST // 2 // 16}rem" in css[css.index(".card img") :]


def test_a_png_that_cannot_be_made_smaller_stays_as_it_is() -> None:
    dense = png(np.random.default_rng(0).integers(0, 256, (1, 3, 3), np.uint8))
    assert smaller(dense) == dense


def test_a_notice_is_no_figure_and_says_why(tmp_path: Path) -> None:
    save(notice("Depth & data", "there are no <such> runs."), tmp_path / "depth")
    found = picture(tmp_path, "depth")
    assert found is not None
    assert (found.source, found.lacking) == ("", "there are no <such> runs.")


def test_a_figure_that_was_not_drawn_is_none(tmp_path: Path) -> None:
    assert picture(tmp_path, "loss") is None
