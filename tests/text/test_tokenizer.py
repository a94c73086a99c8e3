from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resonance.errors import UserError
from resonance.text.pair import Pair
from resonance.text.tokenizer import (
    BYTE_LETTERS,
    MARKERS,
    SPECIALS,
    PairTokenizer,
    Tokenizer,
    read_tokenizer,
    readable,
    train_tokenizer,
    write_tokenizer,
)

ODD = [
    "plain words, as usual.",
    " leading and trailing space ",
    "tabs\tand\n\n\nlines  of   space\n",
    "Привет, ёлка! Щука — рыба…",
    "学习就是重复，重复也是遗忘。",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "e\u0301 a\u0308\u0323 ﷽ ẞ ﬁ",
    "[BOS] [SEP] [BLANK] [UNUSED0] </s>",
    "\u200b\u00a0\u2028\ufeff\x01\x7f",
    "नमस्ते שלום مرحبا",
]


def test_every_text_comes_back_exactly(tokenizer: PairTokenizer, bytewise: PairTokenizer) -> None:
    for text in ODD:
        for each in (tokenizer, bytewise):
            assert each.decode(each.encode(text).ids) == text
            assert each.encode_many([text]) == [each.encode(text).ids]


def test_random_characters_come_back_exactly(tokenizer: PairTokenizer) -> None:
    draw = np.random.default_rng(0)
    for top in (0x300, 0x3000, 0xD800, 0x110000):
        points = [int(point) for point in draw.integers(1, top, size=200) if not 0xD800 <= point < 0xE000]
        text = "".join(map(chr, points))
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_vocabulary_has_the_size_asked_for(pair: Pair) -> None:
    for size in (265, 300, 700):
        trained = PairTokenizer(train_tokenizer(pair, "a b c", size))
        entries = trained.tokenizer.get_vocab()
        assert trained.vocabulary == size == len(entries)
        assert sorted(entries.values()) == list(range(size))
        assert [trained.entry(name) for name in SPECIALS] == list(range(len(SPECIALS)))
        assert entries.keys() >= BYTE_LETTERS.keys()
    with pytest.raises(ValueError, match="below 265"):
        train_tokenizer(pair, "", 264)


def test_markers_are_one_token_that_no_text_contains(tokenizer: PairTokenizer) -> None:
    checked: Tokenizer = tokenizer
    ids = [number for name in MARKERS for number in checked.markers[name]]
    assert len(set(ids)) == len(MARKERS)
    assert not set(ids) & set(tokenizer.encode(" ".join(MARKERS)).ids)


def test_offsets_and_pieces(tokenizer: PairTokenizer, bytewise: PairTokenizer) -> None:
    text = "He learned Ж"
    encoded = tokenizer.encode(text)
    assert "".join(text[start:stop] for start, stop in encoded.offsets[:2]) == "He learned"[: encoded.offsets[1][1]]
    assert bytewise.encode("aЖ").offsets == [(0, 1), (1, 2), (1, 2)]
    assert bytewise.encode("aЖ ").pieces == ["a", r"\xd0", r"\x96", " "]


def test_pieces_are_readable() -> None:
    assert readable("Ġthe") == " the"
    assert readable("ÐŁÑĢ") == "Пр"
    assert readable("▁the") == "▁the"


def test_training_is_deterministic_in_and_between_processes(pair: Pair) -> None:
    code = (
        "import hashlib; from resonance.text.pair import Pair; from resonance.text.tokenizer import train_tokenizer;"
        "t = train_tokenizer(Pair('p', {'1': 'ab cd ef gh', '2': 'cd ab gh ef'}), 'ij kl mn op ' * 99, 300);"
        "print(hashlib.sha256(t.to_str().encode()).hexdigest())"
    )
    assert len({subprocess.check_output([sys.executable, "-c", code]) for _ in range(2)}) == 1
    corpus = ["words and words", "other words"]
    assert train_tokenizer(pair, corpus, 300).to_str() == train_tokenizer(pair, corpus, 300).to_str()


def test_the_pair_is_half_of_what_is_trained_on() -> None:
    # the corpus is ten times as long as the pair; repeated to the same weight, the pair's two words are merged first
    pair = Pair("p", {"1": "abcdefgh", "2": "ijklmnop"})
    corpus = ["".join(np.random.default_rng(seed).permutation(list("qrstuvwxyz"))[:8]) for seed in range(20)]
    trained = PairTokenizer(train_tokenizer(pair, corpus, 279))
    assert len(trained.encode("abcdefgh").ids) == 1
    assert len(trained.encode("ijklmnop").ids) == 1


def test_the_file_is_read_back_and_its_sha256_is_the_tokenizers(tmp_path: Path, tokenizer: PairTokenizer) -> None:
    path = tmp_path / "tokenizer.json"
    write_tokenizer(path, tokenizer)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == tokenizer.sha256
    again = read_tokenizer(path)
    assert again.sha256 == tokenizer.sha256
    assert again.encode(ODD[3]) == tokenizer.encode(ODD[3])


def test_a_missing_or_damaged_file_says_how_to_make_it(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(UserError, match="is missing: run `snakemake"):
        read_tokenizer(path)
    path.write_text("{}")
    with pytest.raises(UserError, match="is damaged"):
        read_tokenizer(path)
