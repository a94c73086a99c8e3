"""A tiny pair with clauses that say the same and names and numbers that stand in both texts, as tokens."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from resonance.storage import write_table
from resonance.text.facts import facts
from resonance.text.pair import Pair, Span
from resonance.text.tokenizer import PairTokenizer, train_tokenizer, write_tokenizer
from resonance.text.tokens import Tokens, as_tokens, tokenize

ARTICLE = (
    "Once Ada read for 12 days.",
    "Ben read for 17 days.",
    "Cleo slept in 1906 and in no other year.",
    "Dan kept 23 words of all.",
    "Eve wrote it down in 1931.",
)
META = (
    "It was written down in 1931 by Eve.",
    "Of all words Dan kept 23.",
    "Days of reading were 12 for Ada,",
    "and were 17 for Ben.",
    "In 1906 it was Cleo who slept.",
)
LINKS = [(0, 2), (1, 3), (2, 4), (3, 1), (4, 0)]
ANCHORS = ["12", "17", "1906", "1931", "23", "Ada", "Ben", "Cleo", "Dan", "Eve"]
UNRELATED = "The ferry leaves at noon; bring a warm coat, tea and a lamp for the way over the water."


def pair() -> Pair:
    texts = {"1": " ".join(ARTICLE), "2": " ".join(META)}
    segments = {"1": spans(ARTICLE), "2": spans(META)}
    return Pair("anchored", texts, segments, LINKS, ANCHORS, {"unrelated": UNRELATED})


def spans(clauses: tuple[str, ...]) -> list[Span]:
    found, start = [], 0
    for clause in clauses:
        found.append(Span(start, start + len(clause)))
        start += len(clause) + 1
    return found


@cache
def _made() -> tuple[PairTokenizer, object]:
    tokenizer = PairTokenizer(train_tokenizer(pair(), ["Some prose about nothing in particular."] * 20, 420))
    return tokenizer, tokenize(pair(), tokenizer, 512)


def tokens() -> Tokens:
    table = _made()[1]
    return as_tokens(table, facts(table))  # type: ignore[arg-type]


def tokenizer() -> PairTokenizer:
    return _made()[0]


def write(folder: Path) -> Path:
    """tokens.parquet and its tokenizer, as a job finds them."""
    tokenizer, table = _made()
    write_tokenizer(folder / "tokenizer.json", tokenizer)
    write_table(folder / "tokens.parquet", table, facts(table))  # type: ignore[arg-type]
    return folder / "tokens.parquet"
