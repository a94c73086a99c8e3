from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resonance import provenance
from resonance.params import RWKV7
from resonance.provenance import closure, code, file_of, fingerprint, folder, imports

SPINE = '''
"""The spine."""
from resonance import low
from resonance.params import A

def f():
    """Doc."""
    return A
'''
LOW = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from resonance.member import C
D = 1  # a number
"""
MODULES = {
    "__init__.py": "",
    "params/__init__.py": "A = 1",
    "errors.py": "B = 1",
    "spine.py": SPINE,
    "low.py": LOW,
    "member.py": "def late():\n    from .deep import inner",
    "deep/__init__.py": "",
    "deep/inner.py": "import numpy\nfrom resonance.errors import B",
    "other.py": "X = 1",
}
"""A small package in which only some modules are behind `spine`."""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A package of the same name in another place; the function writes one of its files."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)

    def forget() -> None:
        provenance.imports.cache_clear()
        provenance._meaning.cache_clear()

    def write(name: str, text: str) -> None:
        path = tmp_path / "resonance" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        forget()

    for name, text in MODULES.items():
        write(name, text)
    yield write
    forget()


def test_the_closure_is_all_that_may_run(write: Callable[[str, str], None]) -> None:
    assert closure("resonance.spine") == {"resonance", "resonance.spine", "resonance.low"}
    assert closure("resonance.member") == {"resonance.member", "resonance.deep", "resonance.deep.inner"}


def test_a_module_that_is_none_has_no_file(write: Callable[[str, str], None]) -> None:
    assert file_of("numpy") is None
    assert file_of("resonance.nothing") is None
    assert "resonance.deep.inner" in imports("resonance.member")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("spine.py", SPINE.replace("Doc.", "Other words.").replace("The spine", "A spine")),
        ("low.py", LOW.replace("# a number", "# a number, commented")),
        ("low.py", LOW.replace("D = 1", "D = (\n    1\n)")),
        ("params/__init__.py", "A = 2\n"),
        ("other.py", "X = 2\n"),
        ("member.py", "changed = True\n"),
    ],
)
def test_words_and_what_is_not_behind_it_do_not_change_the_code(
    write: Callable[[str, str], None], name: str, text: str
) -> None:
    before = code("resonance.spine")
    write(name, text)
    assert code("resonance.spine") == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("spine.py", SPINE.replace("return A", "return A + 1")),
        ("low.py", LOW.replace("D = 1", "D = 2")),
        ("low.py", LOW + "import resonance.other\n"),
    ],
)
def test_what_runs_changes_the_code(write: Callable[[str, str], None], name: str, text: str) -> None:
    before = code("resonance.spine")
    write(name, text)
    assert code("resonance.spine") != before


def test_a_fingerprint_is_that_of_the_canonical_form() -> None:
    assert fingerprint({"a": 1, "b": [0.5]}) == fingerprint({"b": [0.5], "a": 1})
    assert fingerprint(RWKV7()) == fingerprint(RWKV7().model_dump())
    assert fingerprint(RWKV7()) != fingerprint(RWKV7(width=64))
    assert len(fingerprint(None)) == 16


def test_a_folder_is_known_by_what_stands_in_it(tmp_path: Path) -> None:
    def put(name: str, content: bytes) -> None:
        path = tmp_path / "pair" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    put("a.txt", b"one")
    put("probes/b.txt", b"two")
    all_of_it, texts = folder(tmp_path / "pair"), folder(tmp_path / "pair", ".txt")
    put("README.md", b"words")
    put(".a.txt.swp", b"an editor's")
    put("__pycache__/x.pyc", b"compiled")
    assert folder(tmp_path / "pair", ".txt") == texts
    assert folder(tmp_path / "pair") != all_of_it
    put("probes/b.txt", b"three")
    assert folder(tmp_path / "pair", ".txt") != texts
    put("probes/b.txt", b"two")
    (tmp_path / "pair/probes").rename(tmp_path / "pair/tests")
    assert folder(tmp_path / "pair", ".txt") != texts, "names count"


def test_of_a_large_file_only_the_size_counts(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"abc")
    known = folder(tmp_path, whole=2)
    (tmp_path / "weights").write_bytes(b"xyz")
    assert folder(tmp_path, whole=2) == known
    (tmp_path / "weights").write_bytes(b"wxyz")
    assert folder(tmp_path, whole=2) != known
