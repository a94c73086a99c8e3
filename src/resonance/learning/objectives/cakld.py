"""Distillation of a learner that computes with rounded weights from its own full precision (BitDistiller)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch, batch
from resonance.learning.divergence import divergence, log_softened, mean
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import restore
from resonance.learning.scopes.quantised import Quantised, Rounded
from resonance.networks.network import Network, Output
from resonance.params import DIRECTIONS
from resonance.text.prompt import prompt


class Cakld(Objective):
    """See `params.Cakld`. γ KL(learner ‖ teacher) + (1 − γ) KL(teacher ‖ learner), each the mean over the target.

    The teacher is a network of its own that is never rounded. It starts where the learner starts, and in cycles 1 to
    `lead` it minimises the loss of the network itself; the learner's weights are then, after every step, those of the
    teacher. From there on it is frozen. Before cycle lead + 1 the learner gets its weights, clipped, and its optimizer
    forgets. γ is the mean probability that the frozen teacher has given to the target tokens read so far.
    """

    confidence: Tensor
    tokens_read: Tensor

    def __init__(self, settings: params.Cakld, materials: Materials) -> None:
        super().__init__(settings, materials)
        if not any(isinstance(module, Rounded) for module in materials.network.modules()):
            raise UserError(
                "objective.cakld: the learner computes in full precision and would be its own teacher: set train: "
                "quantised."
            )
        if settings.clip and materials.tokens is None:
            raise ValueError("a clipping is tried on the pair: give the tokens")
        self.settings, self.tokens = settings, materials.tokens
        self.teacher: Network = materials.new_network()
        usual = params.Adamw()
        self.norm = usual.clip
        self.stepper = AdamW(
            self.teacher.parameters(), settings.lr, usual.betas, usual.eps, usual.weight_decay, fused=True
        )
        self.register_buffer("confidence", torch.zeros((), dtype=torch.float64))
        self.register_buffer("tokens_read", torch.zeros((), dtype=torch.int64))
        self._slots = 0
        self._error = torch.tensor(torch.nan)
        self._measured: dict[str, Tensor] = {}

    def optimizers(self) -> dict[str, Optimizer]:
        """That of the teacher; it holds nothing once the teacher is frozen."""
        return {"adamw": self.stepper}

    @property
    def gamma(self) -> Tensor:
        """E p(token) under the teacher, float64, from 0 to 1: near 1 where the teacher is sure of what it teaches."""
        return (self.confidence / self.tokens_read.clamp(min=1)).clamp(max=1)

    def begins(self, learner: Learner, cycle: int) -> bool:
        """See `Objective.begins`; where the distillation begins, the learner becomes the rounded teacher."""
        scope = learner.scope
        assert isinstance(scope, Quantised)
        starts = cycle == self.settings.lead + 1
        if starts:
            self._become_teacher(learner)
            self.stepper.state.clear()
            if self.settings.clip:
                restore(learner.network, scope.clipped(self.teacher, lambda: self._read_all(learner)))
        self._error = scope.error(learner.network)
        return starts and self.settings.lead > 0

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; an extra pass without gradients, or with those of the teacher alone while it learns."""
        scores = output.logits_BTV
        if moment.cycle <= self.settings.lead:
            with torch.enable_grad():
                with learner.autocast():
                    read = self._read(learner, batch, moment)
                loss = batch.loss(read)
                loss.backward()
            self._slots += 1
            unknown = scores.new_tensor(torch.nan)
            self._measured = {"gamma": unknown, "teacher": loss.detach(), "reverse": unknown, "forward": unknown}
            return 0 * batch.loss(output)
        with torch.no_grad(), learner.autocast():
            taught = self._read(learner, batch, moment)
        log_t, log_s = (log_softened(batch.predictions(said.logits_BTV)) for said in (taught, output))
        self._look(log_t, batch.target_BT, output.weight_BN)
        reverse = mean(divergence(log_s, log_t), output.weight_BN)
        forward = mean(divergence(log_t, log_s), output.weight_BN)
        gamma = self.gamma.to(log_s.dtype)
        self._measured = {
            "gamma": gamma,
            "teacher": batch.loss(taught),
            "reverse": reverse.detach(),
            "forward": forward.detach(),
        }
        return gamma * reverse + (1 - gamma) * forward

    def measured(self) -> dict[str, Tensor]:
        """`gamma`; `teacher`: its loss; `reverse`: KL(learner ‖ teacher), `forward`: KL(teacher ‖ learner), neither a
        number before the distillation; `error`: ‖Q(W) − W‖ / ‖W‖ when the cycle began."""
        return self._measured | {"error": self._error}

    def after_step(self, learner: Learner, batch: Batch, moment: Moment) -> None:
        """While the teacher learns: step it on the mean over the slots of the step, and be it."""
        if moment.cycle > self.settings.lead:
            return
        for parameter in self.teacher.parameters():
            if parameter.grad is not None:
                parameter.grad /= self._slots
        if self.norm is not None:
            nn.utils.clip_grad_norm_(self.teacher.parameters(), self.norm)
        self.stepper.step()
        self.stepper.zero_grad()
        self._slots = 0
        self._become_teacher(learner)

    def _become_teacher(self, learner: Learner) -> None:
        weights = dict(self.teacher.named_parameters())
        restore(learner.network, {name: weights[name] for name in learner.network_parameters})

    def _read(self, learner: Learner, batch: Batch, moment: Moment) -> Output:
        """A pass of the teacher from what the learner carries, or over the masks that the learner is shown."""
        if self.teacher.causal:
            output: Output = self.teacher(batch.tokens_BT, state=learner.memory.state(learner.carried))
            return output
        shown_BT, weight_BN = self.teacher.masked(batch.tokens_BT, batch.prompt, moment.generator("mask"))
        return replace(self.teacher(shown_BT), weight_BN=weight_BN)

    def _read_all(self, learner: Learner) -> None:
        """A pass of the teacher over every direction and window."""
        assert self.tokens is not None
        forms = product(DIRECTIONS, range(self.tokens.windows))
        for slot, (direction, window) in enumerate(forms):
            form = prompt(self.tokens, direction, learner.settings.marker, window)
            example = batch(form, direction, window, learner.device)
            self._read(learner, example, Moment(learner.seed, self.settings.lead, slot))

    @torch.no_grad()
    def _look(self, log_p_BNV: Tensor, target_BN: Tensor, weight_BN: Tensor | None) -> None:
        """Count what the teacher gave to the target tokens, where some are masked to those."""
        p_BN = log_p_BNV.gather(-1, target_BN.unsqueeze(-1)).squeeze(-1).exp().double()
        counts_BN = torch.ones_like(p_BN) if weight_BN is None else (weight_BN > 0).double()
        self.confidence += (p_BN * counts_BN).sum()
        self.tokens_read += counts_BN.sum().to(self.tokens_read.dtype)
