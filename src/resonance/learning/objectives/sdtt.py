"""Self-distillation through time: two steps of the sampler of what the learner was become one step of what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.divergence import divergence
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import below
from resonance.learning.sampler_targets import sampler_targets
from resonance.learning.substitute import Teacher, substituted
from resonance.networks.masked_diffusion import log_softmax, subs
from resonance.networks.mdlm import Mdlm
from resonance.networks.network import Output

SUB_STEPS = 2
"""Steps of the teacher that the learner does in one."""


class Sdtt(Objective):
    """See `params.Sdtt`. Cycle c > start belongs to round r = (c - start - 1) // every, in which the teacher is the
    learner as it was when the round began, and its sampler would take n = max(least, steps / 2^r) steps.

    The learner sees x_t, which is what it is shown in training anyway. From there the teacher takes two ancestral
    steps of 1/n; the term is the mean, over the tokens masked in x_t, of KL(learner || teacher) or the reverse.
    """

    round: Tensor

    def __init__(self, settings: params.Sdtt, materials: Materials) -> None:
        super().__init__(settings, materials)
        if not isinstance(materials.network, Mdlm):
            raise UserError("objective.sdtt: only a network that fills masks has such a sampler: set network: mdlm.")
        if settings.least > settings.steps:
            raise UserError(
                f"objective.sdtt.least: {settings.least} is more than the {settings.steps} steps of the first round: "
                f"choose from 2 to {settings.steps}."
            )
        self.settings = settings
        self.teacher = Teacher()
        self.register_buffer("round", torch.tensor(-1))
        self._measured: dict[str, Tensor] = {}

    def round_of(self, cycle: int) -> int:
        """The number of the round, from 0; below 0 before the first one."""
        return (cycle - self.settings.start - 1) // self.settings.every

    def steps(self, number: int) -> float:
        """Steps of the teacher's sampler in a round."""
        return max(float(self.settings.least), self.settings.steps * 0.5**number)

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; from `start` on two extra passes without gradients."""
        number = self.round_of(moment.cycle)
        if number < 0:
            self._measured = {"steps": output.logits_BTV.new_zeros(())}
            return batch.loss(output) if "lm" not in learner.objectives else output.logits_BTV.new_zeros(())
        if self.round != number:
            self.teacher.take(learner)
            self.round.fill_(number)
        self._measured = {"steps": output.logits_BTV.new_tensor(self.steps(number))}
        network = cast(Mdlm, learner.network)
        shown_BT, weight_BN = network.masked(batch.tokens_BT, batch.prompt, moment.generator("mask"))
        shown_BN, masked_BN = shown_BT[:, batch.prompt :], weight_BN > 0

        def denoiser(shown_BN: Tensor) -> Tensor:
            said = batch.said(shown_BN)
            taught = substituted(learner, self.teacher.tensors, lambda: learner.read(said))
            return subs(batch.predictions(taught.logits_BTV), shown_BN, network.mask)

        with torch.no_grad():
            t_B = 1 / weight_BN.amax(1).clamp(min=1)  # a masked token weighs 1 / t
            dt, draws = 1 / self.steps(number), moment.generator("sdtt")
            teacher_BNV = sampler_targets(shown_BN, t_B, dt, SUB_STEPS, denoiser, network.mask, draws)
        student_BNV = log_softmax(batch.predictions(output.logits_BTV))
        pair = (student_BNV, teacher_BNV) if self.settings.divergence == "kl-bwd" else (teacher_BNV, student_BNV)
        return torch.where(masked_BN, divergence(*pair), 0).sum() / masked_BN.sum().clamp(min=1)

    def measured(self) -> dict[str, Tensor]:
        """`steps` of the teacher's sampler in this round; 0 before the first one."""
        return self._measured

    def saved(self) -> dict[str, Tensor]:
        """The round and its teacher."""
        return super().saved() | {f"teacher/{name}": tensor for name, tensor in self.teacher.tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`."""
        super().restore(tensors)
        self.teacher.put({name: tensor.to(self.round.device) for name, tensor in below(tensors, "teacher").items()})
