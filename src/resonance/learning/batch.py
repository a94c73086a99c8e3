"""One example of the study as tensors: there are only four, times the number of windows, and they never change."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resonance.text.prompt import Prompt


@dataclass(frozen=True)
class Batch:
    """`[BOS] INPUT [DIR] TARGET [EOS]` of one direction and window.

    tokens_BT: int64 [1, T]. prompt: number of tokens before the target, the separator included. condition: `clean`
    in training, elsewhere what was done to the input or the target.
    """

    tokens_BT: Tensor
    prompt: int
    direction: str
    window: int
    condition: str = "clean"

    @property
    def target_BT(self) -> Tensor:
        """The tokens on which the loss is: the target text and its end."""
        return self.tokens_BT[:, self.prompt :]

    def predictions(self, logits_BTV: Tensor) -> Tensor:
        """The scores of each target token, read one position before it: [B, target, V]."""
        return logits_BTV[:, self.prompt - 1 : -1]

    def nll(self, logits_BTV: Tensor) -> Tensor:
        """Negative log-likelihood of each target token in nats: [target]."""
        scores_NV = self.predictions(logits_BTV).flatten(0, 1).float()
        return cross_entropy(scores_NV, self.target_BT.flatten(), reduction="none")


def batch(prompt: Prompt, direction: str, window: int, device: torch.device, condition: str = "clean") -> Batch:
    """A numpy prompt on a device."""
    tokens_BT = torch.from_numpy(prompt.tokens).to(device)[None]
    return Batch(tokens_BT, prompt.target.start, direction, window, condition)
