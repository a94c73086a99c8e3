from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib as mpl
from figures.synthetic_tables import states, tables
from matplotlib.figure import Figure

from resonance.figures import drift, loss, trajectory
from resonance.figures.save import save


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for number in "12":
        save(loss.draw(tables(3, 2)), tmp_path / f"loss{number}")
        save(drift.draw(tables(1)), tmp_path / f"drift{number}")
        save(trajectory.draw(states(2)), tmp_path / f"trajectory{number}")
    for kind in ("loss", "drift", "trajectory"):
        for suffix in ("svg", "png"):
            first, second = (tmp_path / f"{kind}{number}.{suffix}" for number in "12")
            assert first.read_bytes() == second.read_bytes()


def test_neither_date_nor_version_is_written(tmp_path: Path) -> None:
    save(loss.draw(tables(1)), tmp_path / "loss")
    for suffix in ("svg", "png"):
        content = (tmp_path / f"loss.{suffix}").read_bytes()
        assert b"atplotlib" not in content.replace(b'id="matplotlib.axis', b"")
        assert b"dc:date" not in content
        assert b"Software" not in content
        assert str(tmp_path).encode() not in content


def test_a_users_settings_do_not_reach_the_files(tmp_path: Path) -> None:
    save(loss.draw(tables(1)), tmp_path / "plain")
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "other", "savefig.dpi": 20, "savefig.bbox": "tight"}):
        save(loss.draw(tables(1)), tmp_path / "same")
    for suffix in ("svg", "png"):
        assert (tmp_path / f"plain.{suffix}").read_bytes() == (tmp_path / f"same.{suffix}").read_bytes()


def test_the_svg_is_well_formed_has_a_title_and_no_text_that_needs_a_font(tmp_path: Path) -> None:
    save(loss.draw(tables(1)), tmp_path / "loss")
    root = ElementTree.parse(tmp_path / "loss.svg").getroot()  # noqa: S314 (written above)
    svg = "{http://www.w3.org/2000/svg}"
    title = root.find(f"{svg}title")
    assert title is not None
    assert title.text is not None
    assert title.text.startswith("gpt: loss 7.61 →")
    assert root.find(f".//{svg}text") is None
    assert not any(line != line.rstrip() for line in (tmp_path / "loss.svg").read_text().splitlines())


def test_only_the_two_files_are_left(tmp_path: Path) -> None:
    save(Figure(figsize=(1, 1)), tmp_path / "new" / "loss-a.b")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"loss-a.b.svg", "loss-a.b.png"}
