"""Deep mutual learning: peers with weights and optimizers of their own learn beside the learner, all from all."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.divergence import kl
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment, generator
from resonance.learning.objective import Materials, Objective
from resonance.networks.network import Network, Output


class Mutual(Objective):
    """See `params.Mutual`. Network i of K minimises CE(z_i) + weight · 1/(K − 1) Σ_{j≠i} KL(p_j ‖ p_i), p_j held fixed.

    For the learner this term is the second part, and lm the first. All networks read the same sequence and are stepped
    after it, from what all of them said before the step (simultaneous updates). Peers read from the beginning, without
    what the learner's memory puts before a sequence and without its edits.
    """

    def __init__(self, settings: params.Mutual, materials: Materials) -> None:
        super().__init__(settings, materials)
        kinds: list[params.Member | None] = [*[None] * settings.peers, *settings.others]
        if not kinds:
            raise UserError("objective.mutual: there is nobody to learn with: set peers to 1 or more, or name others.")
        self.peers = nn.ModuleList(
            materials.new_network(generator(materials.seed, "mutual", number), kind)
            for number, kind in enumerate(kinds)
        )
        for peer in self.networks():
            together(peer, materials.network)
        usual = params.Adamw()
        self.clip = usual.clip
        self.steppers = [
            AdamW(peer.parameters(), settings.lr, usual.betas, usual.eps, usual.weight_decay, fused=True)
            for peer in self.peers
        ]
        self._slots = 0
        self._measured: dict[str, Tensor] = {}

    def networks(self) -> list[Network]:
        """The peers."""
        return [cast(Network, peer) for peer in self.peers]

    def optimizers(self) -> dict[str, Optimizer]:
        """One per peer."""
        return {f"adamw-{number}": stepper for number, stepper in enumerate(self.steppers)}

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; a pass of every peer, forward and, for what it minimises itself, backward."""
        own_BNV = batch.predictions(output.logits_BTV)
        with torch.enable_grad():
            with learner.autocast():
                read = [masked_read(peer, batch, moment) for peer in self.networks()]
            said = [batch.predictions(one.logits_BTV) for one in read]
            losses = [batch.loss(one) for one in read]
            for number, loss in enumerate(losses):
                others = [own_BNV, *said[:number], *said[number + 1 :]]
                (loss + self.weight * pull(others, said[number], output.weight_BN)).backward()
        self._slots += 1
        self._measured = {f"peer-{number}": loss.detach() for number, loss in enumerate(losses)}
        return pull(said, own_BNV, output.weight_BN)

    def measured(self) -> dict[str, Tensor]:
        """`peer-<number>`: the loss of each peer."""
        return self._measured

    def after_step(self, learner: Learner, batch: Batch, moment: Moment) -> None:
        """Step every peer on the mean over the slots that the learner's own step was on."""
        for peer, stepper in zip(self.peers, self.steppers, strict=True):
            for parameter in peer.parameters():
                if parameter.grad is not None:
                    parameter.grad /= self._slots
            if self.clip is not None:
                nn.utils.clip_grad_norm_(peer.parameters(), self.clip)
            stepper.step()
            stepper.zero_grad()
        self._slots = 0


def together(peer: Network, own: Network) -> None:
    """A UserError where the predictions of two networks cannot be compared place by place."""
    if peer.vocabulary != own.vocabulary:
        raise UserError(
            f"objective.mutual.others: {type(peer).__name__} has {peer.vocabulary} tokens and the learner's network "
            f"{own.vocabulary}: name networks that share its vocabulary."
        )
    if peer.causal != own.causal:
        raise UserError(
            f"objective.mutual.others: {type(peer).__name__} and {type(own).__name__} cannot teach each other, since "
            "only one of them fills masks: name networks of the learner's sort."
        )


def masked_read(network: Network, batch: Batch, moment: Moment) -> Output:
    """One pass of a further network; one that fills masks is shown those that the learner is shown."""
    if network.causal:
        return network(batch.tokens_BT)
    shown_BT, weight_BN = network.masked(batch.tokens_BT, batch.prompt, moment.generator("mask"))
    return replace(network(shown_BT), weight_BN=weight_BN)


def pull(teachers: list[Tensor], student: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over the teachers of KL(teacher ‖ student); scores are [B, N, V]."""
    return torch.stack([kl(teacher, student, weight=weight) for teacher in teachers]).mean()
