"""Averaged weights without distillation: the learner trains as ever, and what answers is a running mean of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import below
from resonance.networks.network import Output


class Averaging(Objective):
    """See `params.Averaging`. After optimizer step s the mean becomes a θ' + (1 − a) θ, a = min(1 − 1/(s + 1), decay).

    The same mean as the teacher's of `ema`, its start included; here nothing is learned from it. It stands in every
    mark in the place of the parameters, and all that is measured there is measured of it. States hold both.
    """

    steps: Tensor

    def __init__(self, settings: params.Averaging, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.decay = settings.decay
        self.mean: dict[str, Tensor] = {}
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def share(self, step: int) -> float:
        """What stays of the mean in optimizer step s (from 1)."""
        return min(1 - 1 / (step + 1), self.decay)

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """0: nothing is minimised. The mean starts as what the learner is before its first step."""
        if not self.mean:
            self.mean = {name: parameter.detach().clone() for name, parameter in learner.trained().items()}
        return output.logits_BTV.new_zeros(())

    @torch.no_grad()
    def after_step(self, learner: Learner, batch: Batch, moment: Moment) -> None:
        """Move the mean, as θ' + (1 − a)(θ − θ'), which leaves equal numbers equal to the bit."""
        self.steps += 1
        share = self.share(int(self.steps))
        for name, parameter in learner.trained().items():
            self.mean[name] = self.mean[name].to(parameter.device).lerp(parameter, 1 - share)

    def answering(self) -> dict[str, Tensor]:
        """The mean."""
        return self.mean

    def saved(self) -> dict[str, Tensor]:
        """The number of steps and the mean."""
        return super().saved() | {f"mean/{name}": tensor for name, tensor in self.mean.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`; a mark has no mean, being one."""
        super().restore(tensors)
        self.mean = {name: tensor.clone() for name, tensor in below(tensors, "mean").items()}
