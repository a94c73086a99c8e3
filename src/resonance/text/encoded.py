"""The corpus as one stream of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resonance.text.tokenizer import Tokenizer


def encode_corpus(corpus: pa.Table | list[str], tokenizer: Tokenizer) -> NDArray[Any]:
    """All texts one after the other, [EOS] after each: uint16 [T], or int32 where the vocabulary needs it."""
    texts = corpus["text"].to_pylist() if isinstance(corpus, pa.Table) else corpus
    end = tokenizer.markers["[EOS]"]
    dtype = np.uint16 if tokenizer.vocabulary <= 2**16 else np.int32
    parts = [np.array(ids + end, dtype=dtype) for ids in tokenizer.encode_many(texts)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)
