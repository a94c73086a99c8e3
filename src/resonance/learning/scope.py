"""What may change in a learner."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from resonance.errors import UserError
from resonance.learning.part import Part
from resonance.networks.network import Edit, Network
from resonance.params import Member


class Scope(Part):
    """Base class of all scopes. A member is one file under `scopes/` with one subclass, named like its settings."""

    lowest: int | None = None
    """The lowest layer that this scope edits while all weights are frozen: what lies below is computed once."""

    decays: ClassVar[bool] = True
    """False where weight decay would break what is trained instead of shrinking it."""

    def __init__(self, settings: Member, network: Network, generator: torch.Generator) -> None:
        super().__init__()

    def network_parameters(self, network: Network) -> dict[str, nn.Parameter]:
        """The weights of the network that are trained, by name."""
        return {}

    def edit(self, prompt: int) -> Edit | None:
        """The edit of a sequence whose prompt has `prompt` tokens; None: none."""
        return None

    def following(self) -> Edit | None:
        """The edit of single tokens after the prompt, in generation."""
        return None


def existing(layers: tuple[int, ...], network: Network, key: str) -> tuple[int, ...]:
    """The layers that `key` names, if the network has them all, or a UserError."""
    wrong = [layer for layer in layers if not 0 <= layer < network.depth]
    if wrong:
        raise UserError(
            f"{key}: the network has no layer {', '.join(map(str, wrong))}; choose from 0 to {network.depth - 1}."
        )
    return layers
