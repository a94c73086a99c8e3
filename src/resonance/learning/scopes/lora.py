"""LoRA: chosen linear maps of a frozen network get an additive update of low rank.

Source: Hu et al. 2021, arXiv 2106.09685; formulas in docs/learning/lora.md.
"""

from __future__ import annotations

import math
import re
from functools import cache

import torch
from torch import Tensor, nn

from resonance import params
from resonance.errors import UserError
from resonance.learning.scope import Scope, existing
from resonance.learning.scopes.quantised import held, linear_maps
from resonance.networks.network import Network


class Lora(Scope):
    """See `params.Lora`: each chosen map computes with W + (alpha / rank) B A, A [r, I] and B [O, r]; W stays.

    At first B is 0, and the network says what it said without.
    """

    def __init__(self, settings: params.Lora, network: Network, generator: torch.Generator) -> None:
        super().__init__(settings, network, generator)
        existing(settings.layers, network, "train.lora.layers")
        self.maps = chosen(network, settings.layers, settings.maps)
        self.updates = nn.ModuleDict()
        for name in self.maps:
            module = network.get_submodule(name)
            assert isinstance(module, nn.Linear)
            if settings.rank > min(module.in_features, module.out_features):
                raise UserError(
                    f"train.lora.rank: {settings.rank} is more than {name} [{module.out_features}, "
                    f"{module.in_features}] can have: choose a smaller rank, or other maps in train.lora.maps."
                )
            update = Update(module.in_features, module.out_features, settings.rank, settings.alpha, generator)
            self.updates[name.replace(".", "/")] = update
            see_updated(module, update)

    def trained(self) -> dict[str, nn.Parameter]:
        """A and B of all maps."""
        return dict(self.named_parameters())


class Update(nn.Module):
    """(alpha / r) B A of one linear map, in float32.

    A is drawn from a normal distribution, as in the paper, with the variance 1 / (3 I) of the published code, whose
    distribution is an even one.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.randn(rank, inputs, generator=generator) / math.sqrt(3 * inputs))
        self.B = nn.Parameter(torch.zeros(outputs, rank))
        self.scale = alpha / rank

    def forward(self) -> Tensor:
        """The update, [O, I]."""
        return self.scale * (self.B @ self.A)


class Updated(nn.Module):
    """A linear map whose weight is read with its update: see `quantised.Rounded` for why it is a property.

    update: of this map, in a tuple, so that its parameters are the scope's and not the network's.
    """

    update: tuple[Update]

    @property
    def weight(self) -> Tensor:
        """W + (alpha / r) B A, [O, I], in the precision of W; gradients reach A and B."""
        frozen = held(self)
        return frozen + self.update[0]().to(frozen)


def see_updated(module: nn.Module, update: Update) -> None:
    """From now on `module.weight` is that of its parameter and the update together."""
    module.__class__ = updated(type(module))  # type: ignore[arg-type]  # every type is hashable
    module.update = (update,)  # type: ignore[assignment]


@cache
def updated(kind: type[nn.Module]) -> type[nn.Module]:
    """A linear map of this kind as an `Updated` one."""
    return type(f"Updated{kind.__name__}", (Updated, kind), {"__module__": __name__})


def chosen(network: Network, layers: tuple[int, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """The linear maps of a network that have one of `names` in their path and lie in one of `layers`; empty: any.

    Raises:
        UserError: a name that no map of these layers has, or a network without linear maps.
    """

    def layer(name: str) -> int | None:
        number = re.search(r"\.(\d+)\.", name)
        return int(number[1]) if number else None

    within = {name: set(name.split(".")) for name in linear_maps(network) if not layers or layer(name) in layers}
    known = sorted({part for name in within for part in name.split(".") if not part.isdecimal()})
    if not within:
        raise UserError(
            f"train.lora: {type(network).__name__} has no linear map but its output matrix, so there is nothing to "
            "update: choose another network."
        )
    if wrong := [name for name in names if name not in known]:
        raise UserError(
            f"train.lora.maps: no linear map of these layers is called {', '.join(wrong)}; choose from "
            f"{', '.join(known)}."
        )
    return tuple(name for name, path in within.items() if not names or path & set(names))
