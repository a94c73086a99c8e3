"""Through which layer a clause of the input reaches the clause of the target that says the same: activation patching.

The input is corrupted: its tokens behind the first `kept` ones come in another order. Then the hidden states that the
clean input has at the places of one clause, behind one layer, are put back, and the layers above do the rest (Vig et
al. 2020, arXiv 2004.12265; Meng et al. 2022, arXiv 2202.05262). What comes back of the target was carried by these
states. The other way round, one clause corrupted in a clean input, is not asked: what the target says, other clauses
and the target's own beginning say too, so a path that is there need not show.

Real tokens in another order rather than noise or blanks, so that the network stays among states that it knows (Zhang
and Nanda 2024, arXiv 2309.16042; a blank input costs the default transformer 4 nat on tokens that it knows by heart),
and rather than another text, so that words that are merely present say nothing.

item: clause of the input; other: clause of the target; layer: 0 the embedding, l what layer l left, up to the last but
one (what the last layer leaves in the input nobody reads). Summed log p (nat) of the tokens of clause `other`, behind
the true target before it:

    clean, corrupted   with all put back, and with nothing (no item, no layer)
    patched            the clean states of clause `item` put back behind `layer`
    moved              as many states put back, half the corrupted input further on: the price of any patch

Hidden states alone are put back: not the first values that later layers of RWKV-7 read, nor soft tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resonance import params
from resonance.learning.batch import Batch, batch
from resonance.learning.learner import Learner
from resonance.networks.network import Edit
from resonance.snapshots.conditions import SEED
from resonance.snapshots.experiments.predictions import ROWS
from resonance.snapshots.experiments.scene import Finding, Scene
from resonance.text.counterfactual import shuffled
from resonance.text.prompt import prompt
from resonance.text.tokens import Ids, Tokens

CROSS: tuple[params.Direction, ...] = ("1>2", "2>1")

CLAUSES = 10
"""Clauses of an input that are put back, one at a time; of more, so many that lie evenly."""


class Patch(NamedTuple):
    """Clean states that are put back. layers: 0 the embedding, l what layer l left. places: in the sequence."""

    layers: tuple[int, ...]
    places: Ids


@dataclass(frozen=True)
class Trace:
    """Two sequences that differ in their input alone, and the hidden states [1, T, D] of the clean one, by layer."""

    learner: Learner
    clean: Batch
    corrupted: Batch
    hidden: tuple[Tensor | None, ...]

    @classmethod
    @torch.no_grad()
    def of(cls, learner: Learner, clean: Batch, corrupted: Batch) -> Trace:
        """Read the clean sequence."""
        return cls(learner, clean, corrupted, learner.read(clean, whole=True).hidden)

    @torch.no_grad()
    def log_p(self, patches: Sequence[Patch]) -> Iterator[Tensor]:
        """log p of each target token with each of these put back, float64 [N], on the CPU."""
        for start in range(0, len(patches), ROWS):
            together = patches[start : start + ROWS]
            asked = [self.embedded(patch) for patch in together]
            for each, output in zip(asked, self.learner.read_together(asked, self.edit(together)), strict=True):
                yield -each.nll(output.logits_BTV).double().cpu()

    def embedded(self, patch: Patch) -> Batch:
        """The corrupted sequence; with the clean tokens at the places of a patch of the embedding."""
        if 0 not in patch.layers:
            return self.corrupted
        tokens_BT = self.corrupted.tokens_BT.clone()
        tokens_BT[:, patch.places] = self.clean.tokens_BT[:, patch.places]
        return replace(self.corrupted, tokens_BT=tokens_BT)

    def edit(self, patches: Sequence[Patch]) -> Edit:
        """The learner's own edit, then the clean states at the places of each row's patch."""
        own = self.learner.scope.edit(self.corrupted.prompt)
        length = self.corrupted.tokens_BT.shape[1]
        back_LBT1 = torch.zeros(len(self.hidden), len(patches), length, 1, dtype=torch.bool)
        for row, patch in enumerate(patches):
            for layer in patch.layers:
                back_LBT1[layer, row, patch.places] = True
        asked = back_LBT1.flatten(1).any(1).tolist()
        back_LBT1 = back_LBT1.to(self.corrupted.tokens_BT.device)

        def apply(number: int, hidden_BTD: Tensor) -> Tensor:
            if own is not None:
                hidden_BTD = own(number, hidden_BTD)
            if not asked[number + 1]:
                return hidden_BTD
            clean_BTD = self.hidden[number + 1]
            assert clean_BTD is not None
            return torch.where(back_LBT1[number + 1], clean_BTD.to(hidden_BTD), hidden_BTD)

        return apply


def findings(scene: Scene) -> Iterator[Finding]:
    """Both directions between the texts.

    Nothing of pairs without links and with windows, of learners that carry something from sequence to sequence (the
    clean input may be in it), and of networks that are not causal (they give a bound).
    """
    learner, tokens = scene.learner, scene.tokens
    if not tokens.links or tokens.windows > 1 or learner.memory.keeps or not learner.network.causal:
        return
    for direction in CROSS:
        yield from traced(trace(scene, direction), tokens, direction, scene.settings.kept)


def trace(scene: Scene, direction: params.Direction) -> Trace:
    """The clean and the corrupted sequence of a direction."""
    learner, tokens = scene.learner, scene.tokens

    def asked(condition: str, read: Ids) -> Batch:
        made = prompt(tokens, direction, learner.settings.marker, 0, read)
        return batch(made, direction, 0, learner.device, condition)

    read = tokens.ids(direction[0])
    corrupted = asked("input:shuffled", shuffled(read, scene.settings.kept, SEED))
    return Trace.of(learner, asked("clean", read), corrupted)


def traced(of: Trace, tokens: Tokens, direction: params.Direction, kept: int) -> Iterator[Finding]:
    """All findings of a direction."""
    span = of.clean.input
    assert span is not None
    every = np.arange(span.start, span.stop)
    kinds: list[tuple[str, int | None, int | None]] = [("clean", None, None), ("corrupted", None, None)]
    patches = [Patch((0,), every), Patch((), every)]
    for item in chosen(tokens, direction, kept):
        own = np.flatnonzero(tokens.segments(direction[0]) == item)
        for layer in range(of.learner.network.depth):
            for quantity, places in (("patched", own), ("moved", moved(own, kept, len(every)))):
                kinds.append((quantity, layer, item))
                patches.append(Patch((layer,), every[places]))
    segments = tokens.segments(direction[-1])
    for (quantity, behind, clause), log_p_N in zip(kinds, of.log_p(patches), strict=True):
        for other, value in enumerate(by_clause(log_p_N.numpy()[: len(segments)], segments)):
            yield Finding(quantity, value, direction, behind, clause, other)


def chosen(tokens: Tokens, direction: params.Direction, kept: int, most: int = CLAUSES) -> list[int]:
    """Linked clauses of the input of which all is corrupted; of more than `most`, so many that lie evenly."""
    segments = tokens.segments(direction[0])
    side = 0 if direction[0] == "1" else 1
    linked = sorted({link[side] for link in tokens.links} - set(segments[:kept].tolist()))
    return [linked[place] for place in np.linspace(0, len(linked) - 1, min(most, len(linked))).round().astype(int)]


def moved(places: Ids, kept: int, length: int) -> Ids:
    """As many places, half of the corrupted input further on; behind its end it goes on from its beginning."""
    room = length - kept
    return np.sort(kept + (places - kept + room // 2) % room)


def by_clause(log_p_N: NDArray[np.float64], segments: Ids) -> list[float]:
    """The sum over the tokens of each clause; tokens of none are left out."""
    inside = segments >= 0
    sums: list[float] = np.bincount(segments[inside], log_p_N[inside]).tolist()
    return sums
