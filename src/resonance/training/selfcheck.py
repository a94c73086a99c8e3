"""The online self-check: where the pooled representation of every layer stands, at every step, almost for free."""

from __future__ import annotations

import torch
from torch import Tensor

from resonance.learning.batch import Batch
from resonance.networks.network import Output


class SelfCheck:
    """Cosine and ratio of norms between a direction's pooled target states now and at its first visit, per layer."""

    def __init__(self) -> None:
        self.first: dict[str, Tensor] = {}

    @torch.no_grad()
    def look(self, batch: Batch, output: Output) -> tuple[Tensor, Tensor]:
        """(cosine [L + 1], norm ratio [L + 1]); layers that cannot change are 1.

        Where a model is spread over several devices, both lie on that of the tokens.
        """
        known = [layer for layer in output.hidden if layer is not None]
        pooled = [layer[0, batch.prompt :].mean(0, dtype=torch.float32) for layer in known]
        pooled_LD = torch.stack([pooled_D.to(batch.tokens_BT.device) for pooled_D in pooled])
        first_LD = self.first.setdefault(f"{batch.direction}/{batch.window}", pooled_LD)
        frozen = pooled_LD.new_ones(len(output.hidden) - len(known))
        cosine_L = torch.cosine_similarity(pooled_LD, first_LD, dim=1)
        norm_L = pooled_LD.norm(dim=1) / first_LD.norm(dim=1)
        return torch.cat([frozen, cosine_L]), torch.cat([frozen, norm_L])
