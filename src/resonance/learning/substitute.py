"""A pass of the learner with other tensors in the place of its own, which is what a former learner would say.

Whatever is trained, weights or edits, is exchanged for one pass and then stands there again; what is not trained is not
copied. The state that is carried, the tokens before a sequence and the masks are those of the learner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.networks.network import Output
from resonance.networks.tensors import named


class _Whole(nn.Module):
    """Network and scope of a learner under one namespace: `network.<name>`, `scope.<name>`."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.network, self.scope = learner.network, learner.scope

    def forward(self, run: Callable[[], Output]) -> Output:
        """Run what calls either of them."""
        return run()


def substituted(learner: Learner, tensors: Mapping[str, Tensor], run: Callable[[], Output]) -> Output:
    """`run()` with these tensors in the place of those of the same names; gradients reach those that ask for them."""
    output: Output = functional_call(_Whole(learner), dict(tensors), (run,))
    return output


def trained(learner: Learner) -> dict[str, nn.Parameter]:
    """What is trained of network and scope, under the names of `substituted`."""
    weights = {f"network.{name}": parameter for name, parameter in learner.network_parameters.items()}
    return weights | {f"scope.{name}": parameter for name, parameter in learner.scope.trained().items()}


class Teacher:
    """A learner as it was, or is on average: copies of what is trained of it, and of the buffers of its scope."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def take(self, learner: Learner) -> None:
        """Be the learner as it is now."""
        tensors = trained(learner) | {f"scope.{name}": tensor for name, tensor in named(learner.scope).items()}
        self.tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def put(self, tensors: Mapping[str, Tensor]) -> None:
        """Be what was saved; devices are those of the learner from the next `read` on."""
        self.tensors = {name: tensor.clone() for name, tensor in tensors.items()}

    @torch.no_grad()
    def read(self, learner: Learner, batch: Batch, moment: Moment) -> Output:
        """What the learner would have said in its place at this step."""
        own = named(_Whole(learner))
        self.tensors = {name: tensor.to(own[name].device) for name, tensor in self.tensors.items()}
        return substituted(learner, self.tensors, lambda: learner.read(batch, draws=moment.generator("mask")))
