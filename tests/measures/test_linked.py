import numpy as np
import pytest

from resonance.measures.linked import one_to_one, pooled
from resonance.measures.vectors import Tokens


def test_no_segment_is_used_twice() -> None:
    assert one_to_one([(2, 2), (0, 1), (0, 3), (1, 1), (3, 0), (2, 2)]) == [(0, 1), (2, 2), (3, 0)]
    assert one_to_one([]) == []


def test_segments_are_means_of_their_tokens() -> None:
    word, zero = np.array(["x"] * 4), np.zeros(4, int)
    tokens = Tokens(word, word, word, zero, zero, zero, np.array([1, -1, 0, 1]), np.array([[1.0], [9], [5], [3]]))
    assert pooled(tokens, [0, 1]).tolist() == [[5], [2]]
    with pytest.raises(ValueError, match="segment 7"):
        pooled(tokens, [0, 7])
