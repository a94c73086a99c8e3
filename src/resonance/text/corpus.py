"""The prose that bases read: docstrings of installed packages, found by `ast`, no package code run."""

from __future__ import annotations

import ast
import hashlib
import inspect
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa

from resonance.errors import UserError
from resonance.text.facts import with_facts

SHORTEST = 200
"""Characters below which a docstring is not prose worth keeping."""

TEST_FOLDERS = frozenset({"test", "tests"})

SCHEMA = pa.schema([pa.field(name, pa.string(), False) for name in ("package", "module", "name", "text")])

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Docstring(NamedTuple):
    """One docstring; `name` is the class or function inside the module, empty for the module's own."""

    package: str
    module: str
    name: str
    text: str


def extract_corpus(packages: Sequence[str], limit: int) -> pa.Table:
    """The docstrings of installed packages, at most `limit` UTF-8 bytes of them, in the order of packages and modules.

    Every package gives the same number of bytes, as far as it has them. Which of its docstrings are taken is decided by
    their sha256, so that a smaller corpus is a part of a larger one. `facts` of the table: kind, packages ({name:
    {version, sha256 of all its docstrings}}), bytes, sha256 of the texts taken. Raises UserError for a package that is
    not installed. Some 3,000 modules take about 10 s.
    """
    everything = {package: package_docstrings(package) for package in dict.fromkeys(packages)}
    described = {
        package: {"version": version(package), "sha256": _sha256(docstring.text for docstring in found)}
        for package, found in everything.items()
    }
    first_seen: dict[str, str] = {}
    for package, found in everything.items():
        for docstring in found:
            first_seen.setdefault(docstring.text, package)
    unique = [[d for d in found if first_seen[d.text] == package] for package, found in everything.items()]
    shares = _shares([sum(map(_size, found)) for found in unique], limit)
    taken = [docstring for found, share in zip(unique, shares, strict=True) for docstring in _sample(found, share)]
    table = pa.Table.from_pylist([docstring._asdict() for docstring in taken], schema=SCHEMA)
    facts = {
        "kind": "corpus",
        "packages": described,
        "bytes": sum(map(_size, taken)),
        "sha256": _sha256(docstring.text for docstring in taken),
    }
    return with_facts(table, facts)


def package_docstrings(package: str) -> list[Docstring]:
    """All docstrings of a package of SHORTEST characters or more, each once, by module and line; no tests."""
    found: dict[str, Docstring] = {}
    for module, path in _modules(package):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in other people's strings
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue  # templates that only look like modules
        for name, node in [("", tree), *_definitions(tree, "")]:
            text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
            if len(text) >= SHORTEST:
                found.setdefault(text, Docstring(package, module, name, text))
    return list(found.values())


def version(package: str) -> str:
    """The installed version of a package, by the name of its distribution or of its top-level module."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        distributions = metadata.packages_distributions().get(package)
    if not distributions:
        raise UserError(
            f"params.yaml: text.packages names {package!r}, which has no version here; "
            "name packages that requirements.lock installs."
        )
    return metadata.version(distributions[0])


def _modules(package: str) -> Iterator[tuple[str, Path]]:
    """Name and file of every module, sorted by path; a top-level name is located without importing anything."""
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not (spec.submodule_search_locations or (spec.origin or "").endswith(".py")):
        raise UserError(
            f"params.yaml: text.packages names {package!r}, which is not installed; run `make setup`, or remove it."
        )
    if not spec.submodule_search_locations:
        yield package, Path(str(spec.origin))
        return
    root = Path(next(iter(spec.submodule_search_locations)))
    files = {PurePosixPath(path.relative_to(root).as_posix()): path for path in root.rglob("*.py")}
    for relative in sorted(files):
        if TEST_FOLDERS.isdisjoint(relative.parts[:-1]):
            parts = relative.with_suffix("").parts
            yield ".".join((package, *parts)).removesuffix(".__init__"), files[relative]


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    """Classes and functions below a node with their dotted names, in the order of the file."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield prefix + child.name, child
            yield from _definitions(child, f"{prefix}{child.name}.")
        elif not isinstance(child, ast.expr):
            yield from _definitions(child, prefix)


def _shares(sizes: list[int], limit: int) -> list[int]:
    """Bytes that each package may give: equal shares, and what a small one leaves goes to the others."""
    shares = [0] * len(sizes)
    for done, place in enumerate(sorted(range(len(sizes)), key=lambda place: sizes[place])):
        shares[place] = min(sizes[place], (limit - sum(shares)) // (len(sizes) - done))
    return shares


def _sample(docstrings: list[Docstring], share: int) -> list[Docstring]:
    """The docstrings with the smallest sha256 that together fit the share, in their own order."""
    taken = set()
    for docstring in sorted(docstrings, key=lambda docstring: hashlib.sha256(docstring.text.encode()).digest()):
        share -= _size(docstring)
        if share < 0:
            break
        taken.add(docstring.text)
    return [docstring for docstring in docstrings if docstring.text in taken]


def _size(docstring: Docstring) -> int:
    return len(docstring.text.encode())


def _sha256(texts: Iterable[str]) -> str:
    """Hex digest of texts, each ended by a byte that UTF-8 never holds."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\xff")
    return digest.hexdigest()


def summary(facts: dict[str, Any]) -> str:
    """One line for the log: '5.0 MB of docstrings: numpy 2.4.6, ...'."""
    packages = ", ".join(f"{name} {described['version']}" for name, described in facts["packages"].items())
    return f"{facts['bytes'] / 1e6:.1f} MB of docstrings: {packages}"
