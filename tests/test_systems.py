"""The page of all systems says what is there."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from resonance.systems import AXES, SYSTEMS, System, markdown, member

ROOT = Path(__file__).parents[1]


def test_the_page_is_what_the_code_says() -> None:
    page = (ROOT / "docs/systems.md").read_text(encoding="utf-8")
    assert page == markdown(), "run `python -m resonance systems --out docs/systems.md`"


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_what_a_system_names_exists(system: System) -> None:
    assert (ROOT / "docs" / system.page).is_file()
    for test in system.tests:
        assert "def test_" in (ROOT / "tests" / test).read_text(encoding="utf-8")
    for name in system.members:
        module = import_module(f"resonance.{name}")
        if settings := member(name):
            assert hasattr(module, settings.__name__)


def test_every_member_belongs_to_a_system() -> None:
    named = {name for system in SYSTEMS for name in system.members}
    left_out = {"learning.scopes.layers"}
    for package in AXES:
        folder = ROOT / "src/resonance" / package.replace(".", "/")
        for file in folder.glob("*.py"):
            name = f"{package}.{file.stem}"
            try:
                settings = member(name)
            except KeyError:
                continue
            assert settings
            assert name in named | left_out
