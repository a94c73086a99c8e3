"""All weights are trained, and every linear map inside the network computes with rounded ones (BitDistiller).

Source: arXiv 2402.10631; formulas in docs/learning/bitdistiller.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from resonance import params
from resonance.errors import UserError
from resonance.learning.quantisation import Format, clipped, moments, quantised
from resonance.learning.scope import Scope
from resonance.networks.network import Network

MULTIPLIED = re.compile(r"(?<!\.ffn)\.(q_proj|k_proj|qkv_proj|query|key|query_key_value|receptance)$")
"""Maps whose outputs are multiplied with each other: their clipping is not searched, as published."""


class Quantised(Scope):
    """See `params.Quantised`. The network holds its weights in full precision, under their own names, and all that
    trains, marks, saves or restores them deals with these. Whatever computes with them, in any pass, sees them rounded.
    """

    def __init__(self, settings: params.Quantised, network: Network, generator: torch.Generator) -> None:
        super().__init__(settings, network, generator)
        self.settings = settings
        self.maps = linear_maps(network)
        if not self.maps:
            raise UserError(
                f"train.quantised: {type(network).__name__} has no linear map but its output matrix, so there is "
                "nothing to quantise: choose another network."
            )
        for name in self.maps:
            see_rounded(network.get_submodule(name), settings.format, settings.group)
        generate, maps = network.generate, [network.get_submodule(name) for name in self.maps]

        def generate_rounded(*args: Any, **kwargs: Any) -> Tensor:
            with rounded_once(maps):
                return generate(*args, **kwargs)

        network.generate = generate_rounded  # type: ignore[method-assign]

    def network_parameters(self, network: Network) -> dict[str, nn.Parameter]:
        """All of them."""
        return dict(network.named_parameters())

    @torch.no_grad()
    def error(self, network: Network) -> Tensor:
        """‖Q(W) - W‖ / ‖W‖ over all weights that are rounded, a scalar; 0 where all of them are 0."""
        change = norm = torch.zeros((), device=next(network.parameters()).device)
        for name in self.maps:
            module = network.get_submodule(name)
            assert isinstance(module, nn.Linear)
            weight = held(module)
            change = change + (module.weight - weight).float().square().sum()
            norm = norm + weight.float().square().sum()
        return (change / norm.clamp(min=torch.finfo(norm.dtype).tiny)).sqrt()

    @torch.no_grad()
    def clipped(self, network: Network, read: Callable[[], object]) -> dict[str, Tensor]:
        """The clipped weights of a network in full precision, by name; `read()` makes it read what they are tried on.

        Maps that are not called as modules, and those whose outputs are multiplied with each other, are left out.
        """
        found: dict[str, Tensor] = {}

        def look(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            inputs_NI = inputs[0].flatten(0, -2)
            moment_GWW = moments(inputs_NI, self.settings.group)
            found[name] = found[name] + moment_GWW if name in found else moment_GWW

        tried = {name: network.get_submodule(name) for name in self.maps if not MULTIPLIED.search(f".{name}")}
        hooks = [module.register_forward_pre_hook(partial(look, name)) for name, module in tried.items()]
        try:
            read()
        finally:
            for hook in hooks:
                hook.remove()
        return {
            f"{name}.weight": clipped(held(tried[name]), moment_GWW, self.settings.format, self.settings.group)
            for name, moment_GWW in found.items()
        }


def linear_maps(network: Network) -> tuple[str, ...]:
    """The names of all `nn.Linear` in a network but its output matrix, which is outside of the layers."""
    embeddings = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}

    def head(name: str, module: nn.Linear) -> bool:
        outside = not re.search(r"\.\d+\.", name)
        return id(held(module)) in embeddings or (outside and module.out_features == network.vocabulary)

    maps = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    return tuple(name for name, module in maps.items() if not head(name, module))


def held(module: nn.Module) -> Tensor:
    """The weight of a linear map as it is held, in full precision."""
    weight = module._parameters["weight"]
    assert weight is not None
    return weight


def see_rounded(module: nn.Module, format: Format, group: int) -> None:
    """From now on `module.weight` is the rounded form of the parameter of this name, which stays as it was."""
    module.__class__ = rounded(type(module), format, group)  # type: ignore[arg-type]  # every type is hashable


class Rounded(nn.Module):
    """A linear map whose weight is read in rounded form.

    A property of the class stands before the parameters of a module where these are read by name, and nowhere else: so
    the module's own forward pass, and networks that take `.weight` themselves, see what it returns, while parameters
    keep their names, which a parametrisation of torch would change.
    """

    format: ClassVar[Format]
    group: ClassVar[int]
    known: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """Q(W), [O, I]; gradients reach W."""
        return quantised(held(self), self.format, self.group) if self.known is None else self.known


@contextmanager
def rounded_once(maps: Sequence[nn.Module]) -> Iterator[None]:
    """For passes without gradients between which no weight changes, a token each: round all weights once."""
    for module in maps:
        assert isinstance(module, Rounded)
        module.known = module.weight.detach()
    try:
        yield
    finally:
        for module in maps:
            module.known = None  # type: ignore[assignment]


@cache
def rounded(kind: type[nn.Module], format: Format, group: int) -> type[nn.Module]:
    """A linear map of this kind as a `Rounded` one; one class for all that are alike, for torch.compile's sake."""
    return type(f"Rounded{kind.__name__}", (Rounded, kind), {"format": format, "group": group, "__module__": __name__})
