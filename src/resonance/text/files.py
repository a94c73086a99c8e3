"""The edge of this package: a folder with two texts in, tokens and tokenizer as files out."""

from __future__ import annotations

import logging
from pathlib import Path

from resonance import params
from resonance.storage import read_table, write_table
from resonance.text.facts import facts
from resonance.text.hub import hub_tokenizer
from resonance.text.pair import Pair, read_pair
from resonance.text.tokenizer import PairTokenizer, Tokenizer, train_tokenizer, write_tokenizer
from resonance.text.tokens import tokenize

log = logging.getLogger(__name__)


def tokenize_pair(pair_folder: Path, corpus_file: Path, vocabulary: int, context: int, out: Path) -> None:
    """Write tokens to `out`, cut by a tokenizer trained for this pair, and tokenizer.json beside them."""
    pair = read_pair(pair_folder)
    corpus = read_table(corpus_file, columns=["text"])["text"].to_pylist()
    tokenizer = PairTokenizer(train_tokenizer(pair, corpus, vocabulary))
    write_tokenizer(out.with_name("tokenizer.json"), tokenizer)
    _write(pair, tokenizer, context, out)


def tokenize_as_published(pair_folder: Path, hub: params.Hub, context: int, out: Path) -> None:
    """Write tokens to `out`, cut by the tokenizer of a published network."""
    _write(read_pair(pair_folder), hub_tokenizer(hub), context, out)


def _write(pair: Pair, tokenizer: Tokenizer, context: int, out: Path) -> None:
    table = tokenize(pair, tokenizer, context)
    for note in facts(table)["notes"]:
        log.info("%s", note)
    write_table(out, table, facts(table))
