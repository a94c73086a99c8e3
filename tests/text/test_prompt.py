from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from resonance.params import DIRECTIONS
from resonance.text.facts import facts
from resonance.text.pair import Pair
from resonance.text.prompt import prompt, separator
from resonance.text.tokenizer import PairTokenizer
from resonance.text.tokens import Tokens, as_tokens, tokenize

SEPARATORS = {
    "relation": {"1>1": "[SAME]", "2>2": "[SAME]", "1>2": "[OTHER]", "2>1": "[OTHER]"},
    "target": {"1>1": "[TO1]", "2>1": "[TO1]", "1>2": "[TO2]", "2>2": "[TO2]"},
    "none": dict.fromkeys(DIRECTIONS, "[SEP]"),
}


@pytest.fixture
def tokens(pair: Pair, tokenizer: PairTokenizer) -> Tokens:
    table = tokenize(pair, tokenizer, 48)
    return as_tokens(table, facts(table))


@pytest.mark.parametrize(("direction", "marker"), list(product(DIRECTIONS, SEPARATORS)))
def test_every_direction_and_marker(tokens: Tokens, direction: str, marker: str) -> None:
    name = SEPARATORS[marker][direction]
    assert separator(direction, marker) == name
    for window in range(tokens.windows):
        made = prompt(tokens, direction, marker, window)
        source, target = (tokens.ids(side, window) for side in direction.split(">"))
        assert made.tokens.dtype == np.int64
        assert made.tokens.tolist() == [
            *tokens.markers["[BOS]"],
            *source,
            *tokens.markers[name],
            *target,
            *tokens.markers["[EOS]"],
        ]
        assert np.array_equal(made.tokens[made.input], source)
        assert made.tokens[made.target].tolist() == [*target, *tokens.markers["[EOS]"]]
        assert made.target.stop == len(made.tokens) <= tokens.context


def test_other_tokens_stand_in_for_either_side(tokens: Tokens) -> None:
    made = prompt(tokens, "1>2", "relation", input_ids=[7, 8], target_ids=tokens.ids("unrelated"))
    assert made.tokens[made.input].tolist() == [7, 8]
    assert np.array_equal(made.tokens[made.target][:-1], tokens.ids("unrelated"))
    empty = prompt(tokens, "1>2", "relation", target_ids=[])
    assert empty.tokens[empty.target].tolist() == tokens.markers["[EOS]"]


def test_unknown_names_are_refused(tokens: Tokens) -> None:
    with pytest.raises(ValueError, match="direction '1>3' is not one of 1>2, 2>1"):
        prompt(tokens, "1>3", "relation")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="marker 'both' is not one of"):
        prompt(tokens, "1>2", "both")  # type: ignore[arg-type]
