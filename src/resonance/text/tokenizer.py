"""The tokenizer of a pair: byte-level BPE, trained so that the pair makes up half of what it sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from resonance import storage
from resonance.errors import UserError
from resonance.text.pair import Pair

MARKERS = ("[BOS]", "[EOS]", "[SEP]", "[SAME]", "[OTHER]", "[TO1]", "[TO2]", "[BLANK]")
"""Names of the markers that every tokenizer has: start, end, four kinds of separator, and the empty word."""

SPECIALS = ("[PAD]", *MARKERS)
"""First entries of the vocabulary of a pair."""


class Encoded(NamedTuple):
    """A text as tokens: ids, character offsets (start, stop) and readable pieces, each of length T.

    Tokens that are parts of one character share its offsets.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    pieces: list[str]


class Tokenizer(Protocol):
    """What the project asks of a tokenizer.

    markers: token ids of every name in MARKERS; '[BLANK]' is always one token.
    vocabulary: V, number of entries.
    sha256: hex digest of the file that defines it.
    """

    @property
    def markers(self) -> Mapping[str, list[int]]: ...  # noqa: D102

    @property
    def vocabulary(self) -> int: ...  # noqa: D102

    @property
    def sha256(self) -> str: ...  # noqa: D102

    def encode(self, text: str) -> Encoded:
        """Tokens of a text; nothing in a text is ever read as a marker."""
        ...

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """Token ids of many texts."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; bytes that are not UTF-8 come out as U+FFFD."""
        ...


def train_tokenizer(pair: Pair, corpus: str | list[str], vocabulary: int) -> tokenizers.Tokenizer:
    """Train a byte-level BPE with exactly `vocabulary` entries: SPECIALS, the 256 bytes, then merges.

    The two texts are repeated until they weigh as many bytes as the corpus (at least once). Where there are not enough
    merges to be found, the vocabulary is filled with entries that no text uses. The whole corpus is read: 6 MB take
    about 1.5 s on two cores. Equal inputs give an equal tokenizer.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocabulary < len(SPECIALS) + len(alphabet):
        raise ValueError(f"vocabulary {vocabulary} is below {len(SPECIALS) + len(alphabet)}")
    tokenizer = tokenizers.Tokenizer(models.BPE())
    # no normaliser and no prefix space: the text comes back as it was, byte for byte
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_training_texts(pair, [corpus] if isinstance(corpus, str) else corpus), trainer)
    return _plain(tokenizer, vocabulary)


def _training_texts(pair: Pair, corpus: list[str]) -> Iterator[str]:
    texts = list(pair.texts.values())
    weight = sum(len(text.encode()) for text in texts)
    yield from corpus
    for _ in range(max(1, round(sum(len(text.encode()) for text in corpus) / weight))):
        yield from texts


def _plain(tokenizer: tokenizers.Tokenizer, vocabulary: int) -> tokenizers.Tokenizer:
    """The same tokenizer with its markers as mere entries, so that '[SEP]' written in a text stays five characters."""
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = []
    entries = description["model"]["vocab"]
    entries |= {f"[UNUSED{number}]": number for number in range(len(entries), vocabulary)}
    return tokenizers.Tokenizer.from_str(json.dumps(description))


class PairTokenizer:
    """A trained tokenizer behind the interface `Tokenizer`."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.json = tokenizer.to_str(pretty=True) + "\n"
        self.sha256 = hashlib.sha256(self.json.encode()).hexdigest()
        self.vocabulary: int = tokenizer.get_vocab_size()
        self.markers = {name: [self.entry(name)] for name in MARKERS}

    def entry(self, name: str) -> int:
        """The id of an entry, e.g. '[PAD]'."""
        number = self.tokenizer.token_to_id(name)
        if number is None:
            raise ValueError(f"the tokenizer has no entry {name}")
        return int(number)

    def encode(self, text: str) -> Encoded:
        """Tokens of a text."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return Encoded(encoding.ids, encoding.offsets, [readable(piece) for piece in encoding.tokens])

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """Token ids of many texts, on all cores."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; a marker comes out as its name."""
        return str(self.tokenizer.decode([int(number) for number in ids], skip_special_tokens=False))


def write_tokenizer(path: str | Path, tokenizer: PairTokenizer) -> None:
    """Write tokenizer.json; its sha256 is the tokenizer's."""
    storage.write_text(path, tokenizer.json)


def read_tokenizer(path: str | Path) -> PairTokenizer:
    """Read tokenizer.json, or raise a UserError where it is missing or not one of ours."""
    if not Path(path).is_file():
        raise UserError(f"{path} is missing: run `snakemake -- {path}` to make it.")
    try:
        return PairTokenizer(tokenizers.Tokenizer.from_file(str(path)))
    except Exception:  # the library raises bare Exception for a file that it cannot read
        raise UserError(
            f"{path} is damaged or was not written by this project: delete it and run `snakemake -- {path}`."
        ) from None


def _byte_letters() -> dict[str, int]:
    """The letter that stands for each byte in byte-level BPE: printable Latin-1 for itself, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTE_LETTERS = _byte_letters()


def readable(piece: str) -> str:
    r"""A byte-level entry as text: 'Ġthe' → ' the'; parts of a character as '\xd0'; what is not byte-level stays."""
    if not BYTE_LETTERS.keys() >= set(piece):
        return piece
    return bytes(BYTE_LETTERS[letter] for letter in piece).decode("utf-8", errors="backslashreplace")
