"""The beginning of both texts of a pair, as tokens and as the four examples of a learner."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from resonance import params
from resonance.learning.batch import Batch, batch
from resonance.learning.learner import Learner
from resonance.params import DIRECTIONS
from resonance.text.facts import facts
from resonance.text.pair import read_pair
from resonance.text.prompt import prompt
from resonance.text.shown import shown
from resonance.text.tokenizer import PairTokenizer, train_tokenizer
from resonance.text.tokens import Tokens, as_tokens, tokenize

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@cache
def tokens(name: str, characters: int, vocabulary: int = 420, *, equal: bool = False) -> Tokens:
    """The first characters of both texts, up to a whole word, without what a person has said about them.

    The tokenizer is trained on these texts alone, so that a network over it is small. equal: the text with more tokens
    ends where it has as many as the other.
    """
    whole = read_pair(ROOT / "data/pairs" / name)
    texts = {side: text[:characters].rsplit(" ", 1)[0] for side, text in whole.texts.items()}
    pair = replace(whole, texts=texts, segments={}, links=[], anchors=[], probes={}, notes=[])
    tokenizer = PairTokenizer(train_tokenizer(pair, list(texts.values()), vocabulary))
    if equal:
        encoded = {side: tokenizer.encode(text) for side, text in texts.items()}
        last = min(len(one.ids) for one in encoded.values()) - 1
        pair = replace(pair, texts={side: text[: encoded[side].offsets[last][1]] for side, text in texts.items()})
    table = tokenize(pair, tokenizer, 1024)
    return as_tokens(table, facts(table))


def batches(tokens: Tokens, settings: params.Learner) -> dict[str, Batch]:
    """What a learner is shown, by direction."""
    return {
        direction: batch(
            prompt(tokens, direction, settings.marker, 0, *shown(tokens, settings.shown, direction, 0)),
            direction,
            0,
            CPU,
        )
        for direction in DIRECTIONS
    }


def learner(tokens: Tokens, seed: int = 0, width: int = 64, layers: int = 2, **settings: object) -> Learner:
    """With fresh weights: a small transformer, unless the settings say otherwise."""
    network = {"transformer": {"width": width, "layers": layers, "heads": 4, "feedforward": 2 * width}}
    chosen = params.Learner.model_validate({"network": network, "init": "random", **settings})
    return Learner(chosen, tokens.vocabulary, seed, None, tokens=tokens)
