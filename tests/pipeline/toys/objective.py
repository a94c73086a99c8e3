"""A term that owns a peer: another network with an optimizer of its own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment, generator
from resonance.learning.objective import Materials, Objective
from resonance.networks.network import Output


class ToyObjective(Objective):
    """Agreement with a peer, and of two passes over noisy input.

    Uses all that an objective may: a network of its own with its own optimizer, a buffer that changes its shape
    (`losses`), a marked buffer (`mean`), an event every few cycles, an extra forward pass, and draws of the moment.
    """

    def __init__(self, settings: params.ToyObjective, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.every = settings.every
        self.peer = materials.new_network(generator(materials.seed, "toy peer"))
        self.optimizer = AdamW(self.peer.parameters(), lr=0.01)
        self.register_buffer("losses", torch.zeros(0))
        self.register_buffer("mean", torch.zeros(materials.network.width))
        self.register_buffer("events", torch.zeros(1))

    def optimizers(self) -> dict[str, Optimizer]:
        """That of the peer."""
        return {"peer_optimizer": self.optimizer}

    def marked(self) -> dict[str, Tensor]:
        """The mean representation."""
        return {"mean": self.mean}

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """KL from the peer, and between the pass and one over an input with one token replaced by a drawn one."""
        draws = moment.generator("toy noise")
        noisy_BT = batch.tokens_BT.clone()
        place = int(torch.randint(1, batch.prompt, (1,), generator=draws))
        noisy_BT[0, place] = int(torch.randint(learner.network.vocabulary, (1,), generator=draws))
        again = learner.read(Batch(noisy_BT, batch.prompt, batch.direction, batch.window))
        log_p = batch.predictions(output.logits_BTV).log_softmax(-1)
        with torch.no_grad():
            peer = batch.predictions(self.peer(batch.tokens_BT).logits_BTV).softmax(-1)
            hidden = output.hidden[-1]
            assert hidden is not None
            self.mean = 0.9 * self.mean + 0.1 * hidden[0].mean(0)
        difference = log_p - batch.predictions(again.logits_BTV).log_softmax(-1)
        return -(peer * log_p).sum(-1).mean() + difference.square().mean()

    def after_step(self, learner: Learner, batch: Batch, moment: Moment) -> None:
        """Train the peer by itself; remember its loss, and all losses before."""
        loss = batch.nll(self.peer(batch.tokens_BT).logits_BTV).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.losses = torch.cat([self.losses, loss.detach()[None]])

    @torch.no_grad()
    def event(self, learner: Learner, batches: list[Batch], cycle: int) -> None:
        """Pull the peer half way to the learner."""
        self.events = self.events + 1
        for own, other in zip(self.peer.parameters(), learner.network.parameters(), strict=True):
            own.lerp_(other, 0.5)
