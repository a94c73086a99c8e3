"""The loop of the Feedback Transformer with its backward pass written out: what training runs.

`feedback_blocks.read` is the computation. Left to autograd, its way back would be a long graph of small operations in
which every token adds to the gradients of all weights; here that sum is one product per weight and block.
Shapes as in `feedback_blocks.py`. A step is one layer for one token; a tensor "of steps" is [C · L, ...].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from resonance.networks.feedback_blocks import EPS, Folded, Kept, Past, read


class Fused(torch.autograd.Function):
    """`read` of a block, from the keys and values of the memories before it."""

    @staticmethod
    def forward(
        ctx: Any, embedded_CBD: Tensor, keys_RANW: Tensor, values_RAWN: Tensor, *folded: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What `read` returns; folded: the fields of `Folded`."""
        weights, kept = Folded(*folded), list[Kept]()
        with torch.inference_mode():
            past = Past(keys_RANW, values_RAWN, len(embedded_CBD), weights.span)
            left_LCBD, memories_CBD = read(embedded_CBD, weights, past, kept=kept)
            attention, *others = zip(*kept, strict=True)
            there = There(embedded_CBD, left_LCBD, memories_CBD, past.keys, past.values, *map(torch.stack, others))
        ctx.there, ctx.attention = there, attention
        ctx.save_for_backward(*folded)
        return left_LCBD.clone(), memories_CBD.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_left_LCBD: Tensor, d_memories_CBD: Tensor) -> tuple[Tensor, ...]:
        """The gradients of all inputs from those of both outputs."""
        with torch.inference_mode(), torch.autocast(d_left_LCBD.device.type, enabled=False):
            back = Back(ctx.there, Folded(*ctx.saved_tensors), ctx.attention)
            found = back.gradients(d_left_LCBD, d_memories_CBD)
        return tuple(each.clone() for each in found)


class There(NamedTuple):
    """What the way there leaves for the way back, beside the attention of each step.

    Keys and values are those of the memories before the block, then of its own; what stands below them is stacked, one
    entry for each step.
    """

    embedded_CBD: Tensor
    left_LCBD: Tensor
    memories_CBD: Tensor
    keys_RANW: Tensor
    values_RAWN: Tensor
    query_A1N: Tensor
    value_A1N: Tensor
    middle_BD: Tensor
    hidden_BF: Tensor


class Norm(NamedTuple):
    """What a norm left, and the factor by which it scaled each row."""

    left: Tensor
    factor: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Norm:
        """The norm over the last dimension."""
        left, _, factor = torch.native_layer_norm(x, x.shape[-1:], None, None, EPS)
        return cls(left, factor)

    def unbind(self) -> list[Norm]:
        """One for each entry of the first dimension."""
        return [Norm(*each) for each in zip(self.left.unbind(), self.factor.unbind(), strict=True)]

    def back(self, d_left: Tensor, beside: Tensor) -> Tensor:
        """`beside` + the gradient of what was normalised, where each row of `d_left` has mean 0: see `centred`."""
        along = (d_left * self.left).sum(-1, keepdim=True)
        d_scaled = torch.addcmul(d_left, self.left, along, value=-1 / self.left.shape[-1])
        return torch.addcmul(beside, d_scaled, self.factor)


def centred(weight: Tensor) -> Tensor:
    """A matrix [out, in] that reads what a norm left, each row with mean 0.

    For what a norm leaves (rows of mean 0) it is the same matrix; but the gradients that it passes down have mean 0,
    which is half of what the way back through the norm would do to them.
    """
    return weight - weight.mean(-1, keepdim=True)


class Step(NamedTuple):
    """Gradients of one step: of its query, scores and gathered value, and of what its three sums left."""

    query_A1N: Tensor
    scores_A1S: Tensor
    value_A1N: Tensor
    middle_BD: Tensor
    inner_BF: Tensor
    left_BD: Tensor


class Meeting(NamedTuple):
    """What the L queries of one token and the memories exchange, [R · A, L / R, N or S]; d_... are gradients."""

    attention: Tensor
    d_scores: Tensor
    queries: Tensor
    d_values: Tensor


class Back:
    """The way back through a block."""

    def __init__(self, there: There, weights: Folded, attention: Sequence[Tensor]) -> None:
        self.there, self.weights, self.attention = there, weights, attention
        self.layers, self.tokens = there.left_LCBD.shape[:2]
        self.before = there.keys_RANW.shape[-1] - self.tokens
        self.stream_CKBD = torch.cat([there.embedded_CBD.unsqueeze(0), there.left_LCBD]).transpose(0, 1)
        self.read, self.fed = Norm.of(self.stream_CKBD[:, :-1].flatten(0, 1)), Norm.of(there.middle_BD)
        self.memories, self.queries = Norm.of(there.memories_CBD), there.query_A1N.unbind()
        active_BF = (there.hidden_BF > 0).to(there.hidden_BF)
        parts = (attention, there.value_A1N.unbind(), active_BF.unbind(), self.read.unbind(), self.fed.unbind())
        self.steps = list(zip(*parts, strict=True))
        # Transposed in memory too: products along rows that lie in one piece are up to twice as fast.
        self.outer, self.output = (w.mT.contiguous().unbind() for w in (weights.outer_LFD, weights.output_LDD))
        self.inner, self.query = (centred(w.mT).contiguous().unbind() for w in (weights.inner_LDF, weights.query_LDD))
        self.remember_MD, self.places_SN = centred(weights.remember_DM.mT), weights.places_NS.mT.contiguous()
        self.keys, self.values = (x.mT.contiguous().unbind() for x in (there.keys_RANW, there.values_RAWN))
        self.none_A1S = torch.zeros_like(attention[0])

    def gradients(self, d_left_LCBD: Tensor, d_memories_CBD: Tensor) -> tuple[Tensor, ...]:
        """Of the inputs of `Fused`, in their order, from what comes in from outside the block."""
        R, B, (A, _, N) = self.weights.readers, d_memories_CBD.shape[1], self.queries[0].shape
        shares_K11, memories = self.weights.shares_K[:, None, None], self.memories.unbind()
        d_stream_CKBD = F.pad(d_left_LCBD.transpose(0, 1), (0, 0, 0, 0, 1, 0))
        d_own = d_memories_CBD.new_zeros(2, R * A, self.tokens, N)
        steps, meetings, d_embedded, d_memories, d_pairs = list[Step](), list[Meeting](), [], [], []
        for token in reversed(range(self.tokens)):
            # All that read this memory are done: the gradients of its key and of its value are whole.
            d_pair_BM = d_own[:, :, token].unflatten(1, (R, B, -1)).permute(2, 0, 1, 3, 4).flatten(1)
            d_memory_BD = memories[token].back(d_pair_BM @ self.remember_MD, d_memories_CBD[token])
            *d_lower, d_BD = torch.addcmul(d_stream_CKBD[token], shares_K11, d_memory_BD).unbind()
            for layer in reversed(range(self.layers)):
                step, d_BD = self.step(token, layer, d_BD, d_lower[layer])
                steps.append(step)
            meetings.append(self.meeting(token, steps[: -self.layers - 1 : -1], d_own))
            d_embedded.append(d_BD)
            d_memories.append(d_memory_BD)
            d_pairs.append(d_pair_BM)
        d_past = self.of_past(meetings[::-1])
        d_weights = self.of_weights(steps[::-1], meetings, torch.stack(d_pairs[::-1]), torch.stack(d_memories[::-1]))
        return torch.stack(d_embedded[::-1]), *d_past, *d_weights

    def step(self, token: int, layer: int, d_left_BD: Tensor, d_lower_BD: Tensor) -> tuple[Step, Tensor]:
        """Back through one layer for one token: its gradients, and that of what it read plus `d_lower_BD`."""
        attention_A1S, value_A1N, active_BF, read, fed = self.steps[token * self.layers + layer]
        keys, values = self.keys[layer % len(self.keys)], self.values[layer % len(self.values)]
        end = self.before + token
        seen = slice(max(0, end - self.weights.span), end)
        blank = self.weights.span - (seen.stop - seen.start)

        d_inner_BF = (d_left_BD @ self.outer[layer]).mul_(active_BF)
        d_middle_BD = fed.back(d_inner_BF @ self.inner[layer], d_left_BD)
        d_value_A1N = (d_middle_BD @ self.output[layer]).view(value_A1N.shape)

        # What was before the start gave nothing to the value, so that its attention has gradient 0.
        d_attention = torch.cat([self.none_A1S[:, :, :blank], torch.bmm(d_value_A1N, values[:, :, seen])], 2)
        d_mean = (d_value_A1N * value_A1N).sum(2, keepdim=True)
        d_scores_A1S = d_attention.sub_(d_mean).mul_(attention_A1S)
        d_query_A1N = torch.baddbmm(d_scores_A1S @ self.places_SN, d_scores_A1S[:, :, blank:], keys[:, seen])

        d_read_BD = d_query_A1N.view(d_left_BD.shape) @ self.query[layer]
        step = Step(d_query_A1N, d_scores_A1S, d_value_A1N, d_middle_BD, d_inner_BF, d_left_BD)
        return step, read.back(d_read_BD, d_middle_BD + d_lower_BD)

    def meeting(self, token: int, steps: Sequence[Step], d_own: Tensor) -> Meeting:
        """What one token gives to the keys and values that it met; those of the block itself get it at once.

        d_own: [2, R · A, C, N], the gradients of the keys and of the values of the block.
        """
        here = slice(token * self.layers, (token + 1) * self.layers)
        d_scores, d_values = [step.scores_A1S for step in steps], [step.value_A1N for step in steps]
        met = Meeting(*map(self.by_reader, (self.attention[here], d_scores, self.queries[here], d_values)))
        own = slice(max(0, token - self.weights.span), token)
        places = slice(self.weights.span - (own.stop - own.start), None)
        d_own[0, :, own].add_(met.d_scores[:, :, places].mT @ met.queries)
        d_own[1, :, own].add_(met.attention[:, :, places].mT @ met.d_values)
        return met

    def by_reader(self, of_layers: Sequence[Tensor]) -> Tensor:
        """[A, 1, n] of L layers → [R · A, L / R, n]: in one matrix, those that meet the same keys."""
        return torch.cat(tuple(of_layers), 1 if self.weights.readers == 1 else 0)

    def of_past(self, meetings: Sequence[Meeting]) -> tuple[Tensor, Tensor]:
        """The gradients [R, A, N, W] and [R, A, W, N] of the keys and values before the block."""
        d_scores = torch.cat([self.of_before(token, met.d_scores) for token, met in enumerate(meetings)], 1)
        attention = torch.cat([self.of_before(token, met.attention) for token, met in enumerate(meetings)], 1)
        queries = torch.cat([met.queries for met in meetings], 1)
        d_values = torch.cat([met.d_values for met in meetings], 1)
        size = (self.weights.readers, -1)
        return (queries.mT @ d_scores).unflatten(0, size), (attention.mT @ d_values).unflatten(0, size)

    def of_before(self, token: int, places: Tensor) -> Tensor:
        """[..., S] → [..., W]: of what a token sees, the part of the memories before the block; 0 where it does not."""
        stop = max(0, self.weights.span - token)
        start = max(0, stop - self.before)
        missing = self.before - (stop - start)
        return F.pad(places[..., start:stop], (missing, 0)) if missing else places[..., start:stop]

    def of_weights(
        self, steps: Sequence[Step], meetings: Sequence[Meeting], d_pairs_CBM: Tensor, d_memories_CBD: Tensor
    ) -> Folded:
        """The gradients of all weights, each one product over all tokens of the block."""
        d_places_NS = torch.zeros_like(self.weights.places_NS)
        for met in meetings:
            d_places_NS.addmm_(met.queries.flatten(0, 1).mT, met.d_scores.flatten(0, 1))
        d_query, d_middle, d_inner, d_left = (
            self.by_layer(torch.stack(each))
            for each in zip(*((d.query_A1N, d.middle_BD, d.inner_BF, d.left_BD) for d in steps), strict=True)
        )
        there = (self.read.left, self.there.value_A1N, self.fed.left, self.there.hidden_BF)
        read, value, fed, hidden = map(self.by_layer, there)
        return Folded(
            query_LDD=read.mT @ d_query,
            query_LD=d_query.sum(1),
            output_LDD=value.mT @ d_middle,
            output_LD=d_middle.sum(1),
            inner_LDF=fed.mT @ d_inner,
            inner_LF=d_inner.sum(1),
            outer_LFD=hidden.mT @ d_left,
            outer_LD=d_left.sum(1),
            remember_DM=self.memories.left.flatten(0, 1).mT @ d_pairs_CBM.flatten(0, 1),
            places_NS=d_places_NS,
            shares_K=torch.einsum("ckbd,cbd->k", self.stream_CKBD, d_memories_CBD),
        )

    def by_layer(self, of_steps: Tensor) -> Tensor:
        """[C · L, ...] → [L, C · B, n], with n entries for each token of each sequence."""
        B = self.stream_CKBD.shape[2]
        return of_steps.view(self.tokens, self.layers, B, -1).transpose(0, 1).flatten(1, 2)
