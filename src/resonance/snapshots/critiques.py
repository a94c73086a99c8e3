"""Marks → what heads think of their learner's own output, token by token, beside what is true of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import torch

from resonance.learning.batch import Batch
from resonance.learning.deviation import deviation, text_deviation
from resonance.learning.head import Critique
from resonance.learning.learner import Learner
from resonance.learning.memory import until_end
from resonance.learning.moment import generator
from resonance.snapshots.corruption import corrupted
from resonance.text.tokenizer import Tokenizer

WORD = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    {
        "cycle": pa.int64(),
        "head": WORD,
        "source": WORD,
        "direction": WORD,
        "window": pa.int16(),
        "position": pa.int32(),
        "token": pa.int32(),
        "reference": pa.int32(),
        "estimate": pa.float32(),
        "distance": pa.float32(),
        "error": pa.bool_(),
        "suffix": pa.float32(),
        "confidence": pa.float32(),
        "entropy": pa.float32(),
        "surprisal": pa.float32(),
        "nll": pa.float32(),
        "deviation": pa.float32(),
    }
)
"""One row per token said. source: see `Critique`. position: in what was said. reference: the token that was due, -1
past the end of the original. estimate, distance: the head's, of error and suffix; distance is null where it has none.
error, suffix: see `Deviation`. Of the network, which read what was said before: confidence (largest probability),
entropy and surprisal (-log p of the token said), both in nats. nll: -log p of the token that was due behind the true
tokens before it (nat), null past the end. deviation: 1 - chrF2 / 100 of the whole output, the same in all its rows."""


@torch.no_grad()
def critiques(
    learner: Learner, examples: Iterable[Batch], cycle: int, blank: int, tokenizer: Tokenizer
) -> Iterator[pa.Table]:
    """A table per output, of a learner at a mark; none of a learner without heads.

    examples: the clean prompts of training. blank: the token of the empty word.
    """
    for example in examples if learner.heads else ():
        clean = learner.memory.shown(example, learner.carried)
        asked = [clean, *corrupted(clean, blank)]
        for name, head in learner.heads.items():
            draws = generator(learner.seed, "critiques", name, cycle, clean.direction, clean.window)
            for critique in head.examine(learner, asked, draws):
                yield rows(learner, name, critique, cycle, tokenizer)


def rows(learner: Learner, head: str, critique: Critique, cycle: int, tokenizer: Tokenizer) -> pa.Table:
    """The judgements of a head about one output, and what they are compared with."""
    asked, said_N = critique.asked, critique.said_N
    said = asked.said(said_N[None])
    log_p_NV = said.predictions(learner.read(said, whole=True).logits_BTV)[0].float().log_softmax(-1)
    nll_M = asked.nll(learner.read(asked, whole=True).logits_BTV)
    ids_N, original_M = said_N.cpu().numpy(), asked.target_BT[0].cpu().numpy()
    found = deviation(ids_N, original_M)
    n = len(ids_N)
    missing = np.full(n, np.nan)
    values = {
        "cycle": np.full(n, cycle),
        "head": [head] * n,
        "source": [critique.source] * n,
        "direction": [asked.direction] * n,
        "window": np.full(n, asked.window),
        "position": np.arange(n),
        "token": ids_N,
        "reference": np.append(original_M, -1)[found.due_N],
        "estimate": critique.estimate_N.float().cpu().numpy(),
        "distance": missing if critique.distance_N is None else critique.distance_N.float().cpu().numpy(),
        "error": found.error_N,
        "suffix": found.suffix_N,
        "confidence": log_p_NV.max(-1).values.exp().cpu().numpy(),
        "entropy": -(log_p_NV.exp() * log_p_NV).sum(-1).cpu().numpy(),
        "surprisal": -log_p_NV.gather(1, said_N[:, None])[:, 0].cpu().numpy(),
        "nll": found.at_due(nll_M.double().cpu().numpy()),
        "deviation": np.full(n, text_deviation(text(asked, said.target_BT, tokenizer), original(asked, tokenizer))),
    }
    return pa.table(
        {field.name: pa.array(values[field.name], field.type, from_pandas=True) for field in SCHEMA}, schema=SCHEMA
    )


def text(asked: Batch, said_1N: torch.Tensor, tokenizer: Tokenizer) -> str:
    """What was said as text, up to its end."""
    return tokenizer.decode(until_end(said_1N, asked.target_BT[:, -asked.end :])[0].tolist())


def original(asked: Batch, tokenizer: Tokenizer) -> str:
    """The true target as text, without its end."""
    return tokenizer.decode(asked.target_BT[0, : -asked.end].tolist())
