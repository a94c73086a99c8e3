"""Whether a learner still continues what it has just read: rows of random tokens, written twice.

A row is [BOS] and R tokens drawn without order or meaning, then the same R again. Nothing in it can be known before
its second half, and there all but the first token follow from the first half. Beside it stands its control, in which
other R tokens make the first half: what the place in the sequence does, without any repetition. item: the row. Mean
over the tokens behind the first of a half, which are the same tokens each time:

    first, second   −log p of these in the halves of the row, teacher-forced (nat/token)
    other           the same in the second half of the control
    accuracy        share of them that are the most likely token, in the second half of the row

Of head `item` of layer `layer` `prefix_matching`, its attention to the token behind the previous occurrence, mean over
the second halves of all rows (see `snapshots.prefix_matching`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import generator
from resonance.networks.causal_lm import CausalLM
from resonance.snapshots.experiments.scene import Finding, Scene
from resonance.snapshots.prefix_matching import attends, prefix_matching
from resonance.text.tokenizer import Tokenizer
from resonance.text.tokens import Tokens

ROWS, HALF = 8, 32
"""Rows, and tokens of half a row; fewer where the longest sequence or the vocabulary is shorter."""


def findings(scene: Scene) -> Iterator[Finding]:
    """Of every causal network.

    Networks that are not causal see the second half with the first, and give a bound: nothing of them. A learner that
    carries something from sequence to sequence reads every row behind what it carries at this mark; that is in all
    numbers then, and it carries nothing on from the rows.
    """
    learner = scene.learner
    if not learner.network.causal:
        return
    if scene.tokenizer is None:
        raise ValueError("the ordinary tokens are not known without the tokenizer")
    rows, controls = questions(scene.tokens, scene.tokenizer, learner.device)
    answers = predicted(learner, rows), predicted(learner, controls)
    for item, (row, row_TV, control_TV) in enumerate(zip(rows, *answers, strict=True)):
        half = row.target_BT.shape[1]
        token_T = row.tokens_BT[0, -half + 1 :]
        first_TV, second_TV, other_TV = row_TV[1:half], row_TV[half + 1 :], control_TV[half + 1 :]
        yield Finding("first", nll(first_TV, token_T), item=item)
        yield Finding("second", nll(second_TV, token_T), item=item)
        yield Finding("other", nll(other_TV, token_T), item=item)
        yield Finding("accuracy", float((second_TV.argmax(-1) == token_T).double().mean()), item=item)
    if rows and attends(learner.network) and not learner.memory.keeps:
        assert isinstance(learner.network, CausalLM)
        tokens_BT, half = torch.cat([row.tokens_BT for row in rows]), rows[0].target_BT.shape[1]
        with learner.autocast():
            heads = prefix_matching(learner.network, tokens_BT, half, learner.scope.edit(rows[0].prompt))
        for layer, scores in enumerate(heads, 1):
            yield from (Finding("prefix_matching", score, layer=layer, item=head) for head, score in enumerate(scores))


def nll(log_p_TV: Tensor, token_T: Tensor) -> float:
    """Mean −log p of the tokens."""
    return -float(log_p_TV.gather(1, token_T[:, None]).detach().double().mean())


def predicted(learner: Learner, asked: list[Batch]) -> Iterator[Tensor]:
    """log p of every token at each place of both halves, [2R, V], per row."""
    if learner.memory.keeps:
        outputs = [learner.read(row, whole=True) for row in asked]
    else:
        outputs = learner.read_together(asked, learner.scope.edit(asked[0].prompt)) if asked else []
    for row, output in zip(asked, outputs, strict=True):
        places = 2 * row.target_BT.shape[1]
        yield output.logits_BTV[0, -places - 1 : -1].float().log_softmax(-1)


def questions(tokens: Tokens, tokenizer: Tokenizer, device: torch.device) -> tuple[list[Batch], list[Batch]]:
    """The rows and their controls, all of one length; the prompt is [BOS] and the first half, the target the second.

    They depend on the tokenizer and the longest sequence alone: every learner is asked the same, at every mark. None
    where a half has no room for two tokens.
    """
    begin = torch.tensor(tokens.markers["[BOS]"])
    longest = min(HALF, (tokens.context - len(begin)) // 2)
    draws = generator(0, "induction", tokens.tokenizer)
    rows: list[Batch] = []
    controls: list[Batch] = []
    for _ in range(ROWS):
        drawn = [*islice(ordinary(tokenizer, draws), 2 * longest)]
        half = len(drawn) // 2
        if half > 1:
            own_T, other_T = torch.tensor(drawn[:half]), torch.tensor(drawn[half : 2 * half])
            for made, read_T in ((rows, own_T), (controls, other_T)):
                tokens_BT = torch.cat([begin, read_T, own_T])[None].to(device)
                made.append(Batch(tokens_BT, len(begin) + half, "1>2", 0, "induction", end=0))
    return rows, controls


def ordinary(tokenizer: Tokenizer, draws: torch.Generator) -> Iterator[int]:
    """Tokens in a random order, each once, that are what the tokenizer makes of their own text.

    Markers, specials, unused entries and parts of characters are not.
    """
    for token in torch.randperm(tokenizer.vocabulary, generator=draws).tolist():
        if tokenizer.encode_many([tokenizer.decode([token])]) == [[token]]:
            yield token
