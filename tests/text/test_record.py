from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from resonance.errors import UserError
from resonance.text.corpus import extract_corpus
from resonance.text.facts import facts
from resonance.text.record import check_corpus, read_record

MADE = {"packages": {"numpy": {"version": "2.10", "sha256": "aaaaaaaaaaaaaaaa"}}}
SHIPPED = Path(__file__).parents[2] / "data" / "corpus.yaml"


def test_a_missing_record_is_written_and_then_agrees(tmp_path: Path) -> None:
    path = tmp_path / "corpus.yaml"
    check_corpus(MADE, path)
    assert read_record(path) == {"numpy": {"2.10": "aaaaaaaaaaaaaaaa"}}
    before = path.read_bytes()
    check_corpus(MADE, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"numpy": {"version": "2.9", "sha256": "a"}}, "needs numpy 2.10 ("),
        ({"numpy": {"version": "2.9", "sha256": "a"}}, "but numpy 2.9 is installed; run `make setup`, or edit"),
        (
            {"numpy": {"version": "2.10", "sha256": "bbbbbbbbbbbbbbbb"}},
            "(sha256 bbbbbbbbbbbb..., wanted aaaaaaaaaaaa...)",
        ),
        ({"scipy": {"version": "1", "sha256": "a"}}, "does not know the package 'scipy' of text.packages"),
    ],
)
def test_another_corpus_is_refused_with_what_to_do(tmp_path: Path, found: dict[str, Any], says: str) -> None:
    path = tmp_path / "corpus.yaml"
    check_corpus(MADE, path)
    with pytest.raises(UserError) as error:
        check_corpus({"packages": found}, path)
    assert says in str(error.value)
    assert f"delete {path} to record anew" in str(error.value)


@pytest.mark.parametrize("content", ["just text", "[1, 2]", "numpy: 2.10", "a: [", ""])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "corpus.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match="is not a record of packages"):
        check_corpus(MADE, path)


def test_the_shipped_record_holds_for_the_lock() -> None:
    record = read_record(SHIPPED)
    assert record.keys() == {"sympy", "pandas", "networkx", "numpy", "matplotlib", "scipy"}
    assert all(metadata.version(name) in versions for name, versions in record.items())
    check_corpus(facts(extract_corpus(["networkx"], 10_000)), SHIPPED)
