"""One example of the study as tensors: there are only four, times the number of windows, and they never change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resonance.networks.network import Output
from resonance.text.prompt import Prompt


@dataclass(frozen=True)
class Batch:
    """`[BOS] INPUT [DIR] TARGET [EOS]` of one direction and window.

    tokens_BT: int64 [1, T]. prompt: number of tokens before the target, the separator included. condition: `clean`
    in training, elsewhere what was done to the input or the target. input: where INPUT stands. end: tokens of [EOS].
    """

    tokens_BT: Tensor
    prompt: int
    direction: str
    window: int
    condition: str = "clean"
    input: slice | None = None
    end: int = 1

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

    def loss(self, output: Output) -> Tensor:
        """Mean over the target of its negative log-likelihood, or of an estimate of the bound on it: nat/token."""
        nll_N = self.nll(output.logits_BTV)
        return (nll_N if output.weight_BN is None else nll_N * output.weight_BN[0]).mean()

    @torch.no_grad()
    def accuracy(self, output: Output) -> Tensor:
        """Share of target tokens that are the most likely one, teacher-forced."""
        return (self.predictions(output.logits_BTV).argmax(-1) == self.target_BT).float().mean()

    def said(self, own_BN: Tensor) -> Batch:
        """The same prompt, with what a learner said [1, N] as the target."""
        return replace(self, tokens_BT=torch.cat([self.tokens_BT[:, : self.prompt], own_BN], dim=1))

    def asked(self, own_BN: Tensor) -> Batch:
        """The same target, with what a learner said [1, N] as the input."""
        assert self.input is not None
        before_BT, after_BT = self.tokens_BT[:, : self.input.start], self.tokens_BT[:, self.input.stop :]
        stop = self.input.start + own_BN.shape[1]
        tokens_BT = torch.cat([before_BT, own_BN, after_BT], dim=1)
        prompt = self.prompt + stop - self.input.stop
        return replace(self, tokens_BT=tokens_BT, prompt=prompt, input=slice(self.input.start, stop))


def batch(prompt: Prompt, direction: str, window: int, device: torch.device, condition: str = "clean") -> Batch:
    """A numpy prompt on a device."""
    tokens_BT = torch.from_numpy(prompt.tokens).to(device)[None]
    return Batch(tokens_BT, prompt.target.start, direction, window, condition, prompt.input, prompt.end)
