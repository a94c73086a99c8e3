from __future__ import annotations

import hashlib
import sys
from importlib import metadata
from pathlib import Path

import pytest

from resonance.errors import UserError
from resonance.text.corpus import extract_corpus, package_docstrings, summary, version
from resonance.text.facts import facts

LONG = "{0} is a docstring that is long enough to be kept, because it goes on and on about nothing. " * 3


def install(folder: Path, name: str, files: dict[str, str], number: str = "1.0") -> None:
    """A package with files, and the metadata that an installer leaves."""
    for relative, content in files.items():
        path = folder / name / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    info = folder / f"{name}-{number}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = (
        f'"""{LONG.format("module")}"""\nraise RuntimeError("this code must never run")\n'
        f'class A:\n    r"""{LONG.format("class")} \\d"""\n'
        f'    if True:\n        async def f(self):\n            """{LONG.format("method")}"""\n'
        '            def short():\n                """Too short."""\n'
    )
    install(
        tmp_path,
        "alpha_prose",
        {
            "__init__.py": source,
            "b/c.py": f'"""{LONG.format("nested")}"""\nx = "\\d"\n',
            "a.py": f'"""{LONG.format("module")}"""\n',  # the same as the package's own
            "template.py": "{{ not python }}",
            "tests/test_x.py": f'"""{LONG.format("test")}"""',
            "b/test/x.py": f'"""{LONG.format("test")}"""',
        },
    )
    install(
        tmp_path,
        "beta_prose",
        {"__init__.py": f'"""{LONG.format("nested")}"""', **{f"m{i}.py": f'"""{LONG.format(i)}"""' for i in range(50)}},
        "2.1",
    )
    return tmp_path


def test_docstrings_are_found_without_running_the_package(site: Path) -> None:
    found = package_docstrings("alpha_prose")
    assert [(d.module, d.name) for d in found] == [
        ("alpha_prose", ""),
        ("alpha_prose", "A"),
        ("alpha_prose", "A.f"),
        ("alpha_prose.b.c", ""),
    ]
    assert found[2].text == LONG.format("method")
    assert "alpha_prose" not in sys.modules


def test_a_corpus_has_everything_where_it_fits(site: Path) -> None:
    table = extract_corpus(["alpha_prose", "beta_prose"], 1_000_000)
    assert table.column_names == ["package", "module", "name", "text"]
    assert table["package"].to_pylist() == ["alpha_prose"] * 4 + ["beta_prose"] * 50  # one text is in both
    made_of = facts(table)
    assert made_of["kind"] == "corpus"
    assert made_of["packages"]["beta_prose"]["version"] == "2.1"
    texts = table["text"].to_pylist()
    assert made_of["bytes"] == sum(len(text.encode()) for text in texts)
    assert made_of["sha256"] == hashlib.sha256(b"".join(text.encode() + b"\xff" for text in texts)).hexdigest()
    assert summary(made_of).endswith("alpha_prose 1.0, beta_prose 2.1")


def test_a_limit_is_shared_evenly_and_a_smaller_corpus_is_part_of_a_larger(site: Path) -> None:
    size = len(LONG.format("xxx"))
    limits = [extract_corpus(["alpha_prose", "beta_prose"], number * size) for number in (4, 8, 20)]
    for table, number in zip(limits, (4, 8, 20), strict=True):
        assert facts(table)["bytes"] <= number * size
    counts = [table["package"].to_pylist().count("alpha_prose") for table in limits]
    assert counts[0] in (1, 2)
    assert counts[2] == 4
    assert 14 <= len(limits[2]) - counts[2] <= 16  # what alpha leaves goes to beta
    texts = [set(table["text"].to_pylist()) for table in limits]
    assert texts[0] < texts[1] < texts[2]
    # a package is described by all its docstrings, whatever the limit
    assert facts(limits[0])["packages"] == facts(limits[2])["packages"]


def test_extraction_is_deterministic(site: Path) -> None:
    once, again = (extract_corpus(["beta_prose", "alpha_prose"], 3000) for _ in range(2))
    assert once.equals(again, check_metadata=True)


@pytest.mark.parametrize("name", ["no_such_package_here", "not.a.top", "", ".relative", "sys"])
def test_a_package_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UserError, match=r"text\.packages names .* not installed"):
        extract_corpus([name], 1000)


def test_a_package_without_a_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "loose_prose.py").write_text(f'"""{LONG.format("loose")}"""')
    assert [d.module for d in package_docstrings("loose_prose")] == ["loose_prose"]
    with pytest.raises(UserError, match="'loose_prose', which has no version here"):
        extract_corpus(["loose_prose"], 1000)


def test_the_version_is_found_by_the_name_of_the_module_too() -> None:
    assert version("yaml") == metadata.version("PyYAML")


def test_an_installed_package_is_prose() -> None:
    table = extract_corpus(["networkx"], 200_000)
    assert 150_000 < facts(table)["bytes"] <= 200_000
    assert not [module for module in table["module"].to_pylist() if ".tests." in module]
