"""Self-distillation from a running mean of the learner's own weights (mean teacher)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.divergence import kl, ramp
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import below
from resonance.learning.substitute import Teacher, trained
from resonance.networks.network import Output


class Ema(Objective):
    """See `params.Ema`. In optimizer step s the teacher becomes a θ' + (1 − a) θ, with a = min(1 − 1/(s + 1), decay).

    The mean is taken of whatever is trained, as it is held; at first it is the plain mean of all weights so far. The
    term in cycle c is exp(−5 (1 − c/ramp)²) T² KL(teacher ‖ learner), both in the learner's place: with its carried
    state and its masks.
    """

    steps: Tensor

    def __init__(self, settings: params.Ema, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.settings = settings
        self.teacher = Teacher()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._measured: dict[str, Tensor] = {}

    def share(self, step: int) -> float:
        """What stays of the teacher in optimizer step s (from 1)."""
        return min(1 - 1 / (step + 1), self.settings.decay)

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; an extra pass without gradients."""
        if not self.teacher.tensors:
            self.teacher.take(learner)
        taught = self.teacher.read(learner, batch, moment)
        said_BNV, own_BNV = batch.predictions(taught.logits_BTV), batch.predictions(output.logits_BTV)
        divergence = kl(said_BNV, own_BNV, self.settings.temperature, output.weight_BN)
        self._measured = {"kl": divergence.detach(), "teacher": batch.loss(taught)}
        return ramp(moment.cycle, self.settings.ramp) * divergence

    def measured(self) -> dict[str, Tensor]:
        """`kl`: the divergence before its ramp; `teacher`: the loss of the teacher."""
        return self._measured

    @torch.no_grad()
    def after_step(self, learner: Learner, batch: Batch, moment: Moment) -> None:
        """Move the mean, as θ' + (1 − a)(θ − θ'): where both are equal, as the signs in LoReFT are, no bit changes."""
        self.steps += 1
        share = self.share(int(self.steps))
        for name, parameter in trained(learner).items():
            self.teacher.tensors[name].lerp_(parameter, 1 - share)

    def saved(self) -> dict[str, Tensor]:
        """The number of steps and the teacher."""
        return super().saved() | {f"teacher/{name}": tensor for name, tensor in self.teacher.tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`."""
        super().restore(tensors)
        self.teacher.put(below(tensors, "teacher"))
