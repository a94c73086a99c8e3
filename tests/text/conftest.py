"""Small pairs, and tokenizers trained on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resonance.text.pair import Pair, read_pair
from resonance.text.tokenizer import PairTokenizer, train_tokenizer

ARTICLE = "Repetition slows down in 1885. Ebbinghaus learned lists, and he forgot them.\nHe learned them again."
META = "This text is about Ebbinghaus. It says that 1885 was a year of lists. Then it stops."

SEGMENTS = """\
article:
  ["Repetition slows down in 1885.", "Ebbinghaus learned lists,", "and he forgot them.", "He learned them again."]
meta: ["This text is about Ebbinghaus.", "It says that 1885 was a year of lists.", "Then it stops."]
links: [[1, 2], [2, 1], [4, 3]]
anchors: ["1885", "Ebbinghaus"]
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files by name (text or bytes) into a new pair's folder that already holds a good pair."""

    def writer(**files: str | bytes | None) -> Path:
        folder = tmp_path / "pairs" / "mine"
        (folder / "probes").mkdir(parents=True)
        good: dict[str, str | bytes | None] = {"article.txt": ARTICLE, "meta.txt": META, "segments.yaml": SEGMENTS}
        for name, content in (good | files).items():
            if content is not None:
                (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return writer


@pytest.fixture
def pair(write: Write) -> Pair:
    return read_pair(write(**{"probes/unrelated.txt": "The sea was calm that morning, and nobody spoke."}))


@pytest.fixture
def tokenizer(pair: Pair) -> PairTokenizer:
    return PairTokenizer(train_tokenizer(pair, "some words of prose that are common " * 20, 400))


@pytest.fixture(scope="session")
def bytewise() -> PairTokenizer:
    """One token per byte (a vocabulary without room for merges)."""
    return PairTokenizer(train_tokenizer(Pair("bytes", {"1": "a", "2": "b"}), [], 265))
