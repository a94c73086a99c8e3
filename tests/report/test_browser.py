"""The page in a real browser: run by `make test-system` on machines that have one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.image import imread

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--window-size=900,2400"),
)


@pytest.mark.system
@pytest.mark.parametrize(("scheme", "dark"), [("0", True), ("1", False)])
def test_a_browser_shows_the_page_without_an_error(
    report: Callable[..., str], tmp_path: Path, scheme: str, dark: bool
) -> None:
    browser = shutil.which("chromium")
    assert browser is not None, "chromium is not installed"
    report()
    shot = tmp_path / "shot.png"
    own = [f"--user-data-dir={tmp_path / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}"]
    done = subprocess.run(
        [browser, *QUIET, *own, f"--screenshot={shot}", (tmp_path / "report.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    pixels = imread(shot)[..., :3]
    assert pixels.shape[:2] == (2400, 900)
    assert (pixels[5, 5].mean() < 0.5) == dark
    # the card of a figure is white in both schemes, and something is drawn on it
    assert (pixels[:, 450] == 1).all(axis=-1).any()
    assert pixels.std() > 0.05
