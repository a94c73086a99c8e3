"""A network that diffuses its own output: every visit masks a share of what it said last and fills it in again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import below
from resonance.networks.masked_diffusion import drawn
from resonance.networks.mdlm import Mdlm
from resonance.networks.network import Output


class SelfDiffusion(Objective):
    """See `params.SelfDiffusion`. One text [1, N] per direction and window is kept: what the learner says at present.

    A visit in cycle c masks each of its tokens with probability m(c) = end + (start - end) 2^(-(c - 1) / half), fills
    the masks, and keeps the result. The term is the mean of -log p(true token) over the masked places, which is the
    loss of masked diffusion with the learner's own output, errors included, in the place of the true text.
    """

    def __init__(self, settings: params.SelfDiffusion, materials: Materials) -> None:
        super().__init__(settings, materials)
        if not isinstance(materials.network, Mdlm):
            raise UserError("objective.self-diffusion: only a network that fills masks can do it: set network: mdlm.")
        self.settings = settings
        self.current: dict[str, Tensor] = {}
        self._measured: dict[str, Tensor] = {}

    def rate(self, cycle: int) -> float:
        """m(c), from the absolute cycle alone."""
        settings = self.settings
        return settings.end + (settings.start - settings.end) * 2.0 ** (-(cycle - 1) / settings.half)

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; an extra pass over the learner's own text."""
        network, target_BN = cast(Mdlm, learner.network), batch.target_BT
        name = f"{batch.direction}/{batch.window}"
        own_BN = self.current.get(name, torch.full_like(target_BN, network.mask)).to(target_BN.device)
        draws = moment.generator("self-diffusion")
        chance_BN = torch.rand(own_BN.shape, generator=draws).to(own_BN.device)
        masked_BN = (chance_BN < self.rate(moment.cycle)) | (own_BN == network.mask)
        shown_BT = batch.said(own_BN.masked_fill(masked_BN, network.mask)).tokens_BT
        with learner.autocast():
            log_p_BNV = network.denoised(shown_BT, batch.prompt, learner.scope.edit(batch.prompt))
        with torch.no_grad():
            filled_BN = drawn(log_p_BNV, draws) if self.settings.draw else log_p_BNV.argmax(-1)
            self.current[name] = torch.where(masked_BN, filled_BN, own_BN)
            match = (self.current[name] == target_BN).float().mean()
            self._measured = {"match": match, "rate": match.new_tensor(self.rate(moment.cycle))}
        nll_BN = -log_p_BNV.gather(-1, target_BN[..., None])[..., 0]
        return torch.where(masked_BN, nll_BN, 0).sum() / masked_BN.sum().clamp(min=1)

    def measured(self) -> dict[str, Tensor]:
        """`match`: share of true tokens in what is said now; `rate`: share that was masked."""
        return self._measured

    def marked(self) -> dict[str, Tensor]:
        """What is said at present."""
        return {f"current/{name}": text for name, text in self.current.items()}

    def saved(self) -> dict[str, Tensor]:
        """The same: nothing else changes here."""
        return super().saved() | self.marked()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`; texts come with the mark that has them."""
        self.current = {name: text.clone() for name, text in below(tensors, "current").items()}
