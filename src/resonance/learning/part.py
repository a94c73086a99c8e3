"""What scopes, objectives and heads have in common: tensors that are trained, saved and marked."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from resonance.networks.tensors import named


class Part(nn.Module):
    """A part of a learner.

    Its parameters and buffers, and the state of its own optimizers, are saved and come back bit for bit. Buffers may
    be None at first and change their shape from save to save. What is not registered as one of these is lost at the
    next chunk edge.
    """

    def trained(self) -> dict[str, nn.Parameter]:
        """Parameters that the learner's optimizer steps, by name."""
        return {}

    def optimizers(self) -> dict[str, Optimizer]:
        """Optimizers that this part steps itself, by name."""
        return {}

    def marked(self) -> dict[str, Tensor]:
        """What the learner's outputs depend on, and so belongs into a mark."""
        return dict(self.trained())

    def saved(self) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        tensors = dict(named(self))
        for name, optimizer in self.optimizers().items():
            tensors |= {
                f"{name}/{key}": value
                for key, value in optimizer_tensors(optimizer, dict(self.named_parameters())).items()
            }
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `saved` and, with fewer names, of `marked`."""
        restore(self, tensors)
        for name, optimizer in self.optimizers().items():
            restore_optimizer(optimizer, dict(self.named_parameters()), below(tensors, name))


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries named `prefix/...`, without the prefix."""
    return {name.removeprefix(f"{prefix}/"): t for name, t in tensors.items() if name.startswith(f"{prefix}/")}


@torch.no_grad()
def restore(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors back under the names that `named` gave; names that are not of this module are left alone."""
    parameters = dict(module.named_parameters())
    owners = {f"{path}.{leaf}".lstrip("."): owner for path, owner in module.named_modules() for leaf in owner._buffers}
    for name, tensor in tensors.items():
        if name in parameters:
            parameters[name].copy_(tensor)
        elif name in owners:
            buffers, leaf = owners[name]._buffers, name.rpartition(".")[2]
            like = buffers[leaf] if buffers[leaf] is not None else next(iter(parameters.values()), tensor)
            buffers[leaf] = tensor.to(like.device, copy=True)


def optimizer_tensors(optimizer: Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The state of an optimizer by parameter name: `<parameter>/exp_avg`, ..."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in parameters.items()}
    return {
        f"{names[parameter]}/{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(
    optimizer: Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """The inverse of `optimizer_tensors`."""
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition("/")
        owner = parameters[parameter]
        optimizer.state[owner][key] = tensor.to(owner.device, copy=True)
