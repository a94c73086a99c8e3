"""What an artifact is made of, by content: the code of its stage and a fingerprint of all that led to it.

Code is compared as an abstract syntax tree without comments and docstrings, over a module and all that it imports from
this package. `resonance.params` is left out: what it says reaches a stage as values, so a new class of settings
changes nothing that is already there. So is this module, which no number depends on.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from resonance.params import canonical

ROOT = Path(__file__).parent.parent
LEFT_OUT = {"resonance.params", "resonance.errors", "resonance.provenance"}


def fingerprint(value: Any) -> str:
    """16 hex digits that stand for a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def code(*modules: str) -> str:
    """16 hex digits that stand for what these modules, and all that they import from this package, do."""
    return fingerprint({module: _meaning(module) for module in sorted(closure(*modules))})


def closure(*modules: str) -> set[str]:
    """The modules and all that they import from this package."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found or module in LEFT_OUT or file_of(module) is None:
            continue
        found.add(module)
        waiting += imports(module)
    return found


def file_of(module: str) -> Path | None:
    """The source of a module of this package; None for anything else."""
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if module.startswith("resonance") and candidate.is_file():
            return candidate
    return None


@cache
def imports(module: str) -> tuple[str, ...]:
    """Names that a module imports, `from a import b` as both `a` and `a.b`, in functions too, type-checking aside."""
    file = file_of(module)
    assert file is not None
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(_without_type_checking(ast.parse(file.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return tuple(names)


@cache
def _meaning(module: str) -> str:
    file = file_of(module)
    assert file is not None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _without_type_checking(tree: ast.Module) -> ast.Module:
    """Imports under `if TYPE_CHECKING:` never run."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                line
                for line in body
                if not (isinstance(line, ast.If) and getattr(line.test, "id", "") == "TYPE_CHECKING")
            ]
    return tree


def folder(path: str | Path, *suffixes: str, whole: int = 64_000_000) -> str:
    """16 hex digits that stand for the files of a folder, hidden ones aside; with suffixes, for those that end so.

    Of a file larger than `whole` bytes only the size counts.
    """
    path = Path(path)
    files = {file.relative_to(path): file for file in path.rglob("*") if file.is_file()}
    shown = [name for name in files if not any(part.startswith(".") for part in name.parts)]
    chosen = sorted(name for name in shown if not suffixes or name.suffix in suffixes)
    return fingerprint([[name.as_posix(), _content(files[name], whole)] for name in chosen])


def _content(file: Path, whole: int) -> str:
    size = file.stat().st_size
    return hashlib.sha256(file.read_bytes()).hexdigest() if size <= whole else f"{size} bytes"
