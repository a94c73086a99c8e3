"""Dependencies point one way, and torch is loaded from `networks` on only."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FLOOR = {"text": 0, "schedule": 0, "networks": 1, "learning": 2, "training": 3, "snapshots": 4}
FLOOR |= {"measures": 5, "claims": 6, "figures": 7, "report": 8}
"""A package imports from floors below its own, and from the ground."""
GROUND = {
    "errors": set(),
    "params": {"errors"},
    "storage": {"errors"},
    "provenance": {"params"},
    "members": {"params"},
}
"""Known to all; each knows only these."""
ROOF = {"plan", "housekeeping", "reference", "systems", "costs", "cli", "__main__"}
"""They hold it all together, and no package knows them."""
WITHOUT_TORCH = ["text", "schedule", "measures", "claims", "figures", "report", *GROUND, *sorted(ROOF - {"__main__"})]


def module(file: Path) -> str:
    return ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def imported(file: Path) -> set[str]:
    """Modules of this package that a file imports, anywhere in it, for type checking too."""
    package = module(file) if file.name == "__init__.py" else module(file).rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            found |= {f"{origin}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("resonance.")}


def place(name: str) -> str:
    """The package, or the module beside the packages, that a dotted name belongs to."""
    return name.split(".")[1]


FILES = [file for file in sorted(SOURCE.rglob("*.py")) if module(file) != "resonance"]
ARROWS = sorted({(place(module(file)), place(name)) for file in FILES for name in imported(file)})


def test_every_module_has_its_place() -> None:
    assert {place(module(file)) for file in FILES} <= {*FLOOR, *GROUND, *ROOF}


@pytest.mark.parametrize(("above", "below"), [(a, b) for a, b in ARROWS if a != b], ids=lambda name: name)
def test_no_arrow_points_up(above: str, below: str) -> None:
    if above in GROUND:
        assert below in GROUND[above]
    elif above in FLOOR:
        assert below in GROUND or FLOOR.get(below, 99) < FLOOR[above]


def test_the_graph_is_not_empty() -> None:
    assert ("training", "learning") in ARROWS
    assert ("text", "errors") in ARROWS


@pytest.mark.parametrize("part", WITHOUT_TORCH)
def test_torch_is_not_loaded_by(part: str) -> None:
    names = [module(file) for file in FILES if place(module(file)) == part]
    assert names, f"there is no {part}"
    code = f"import sys, {', '.join(names)}; print(*sorted({{'torch', 'transformers'}} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stdout == "\n"


def test_planning_loads_nothing_heavy() -> None:
    """`snakemake -n` and `--help` answer at once."""
    heavy = "{'torch', 'transformers', 'pandas', 'scipy', 'matplotlib', 'tokenizers'}"
    code = f"import sys, resonance.cli, resonance.housekeeping; print(*sorted({heavy} & sys.modules.keys()))"
    said = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True
    )
    assert said.stdout == "\n"
