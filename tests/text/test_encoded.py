from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from resonance.text.encoded import encode_corpus
from resonance.text.tokenizer import PairTokenizer

TEXTS = ["One text.", "Ещё один", "[EOS] 三"]


def test_texts_become_one_stream_with_an_end_after_each(tokenizer: PairTokenizer) -> None:
    stream = encode_corpus(TEXTS, tokenizer)
    (end,) = tokenizer.markers["[EOS]"]
    assert stream.dtype == np.uint16
    assert stream[-1] == end
    assert tokenizer.decode(stream[: np.flatnonzero(stream == end)[0]]) == TEXTS[0]
    assert (stream == end).sum() == 3
    assert "".join(tokenizer.decode(stream).split("[EOS]")) == "".join(TEXTS).replace("[EOS]", "")
    assert np.array_equal(stream, encode_corpus(pa.table({"text": TEXTS}), tokenizer))


def test_a_large_vocabulary_takes_wider_numbers(tokenizer: PairTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "vocabulary", 2**16 + 1)
    assert encode_corpus(TEXTS, tokenizer).dtype == np.int32


def test_no_texts_are_an_empty_stream(tokenizer: PairTokenizer) -> None:
    assert encode_corpus([], tokenizer).shape == (0,)
