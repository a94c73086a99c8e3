"""Only the weights of some layers are trained."""

import re

import torch
from torch import nn

from resonance import params
from resonance.learning.scope import Scope, existing
from resonance.networks.network import Network


class Layers(Scope):
    """See `params.Layers`. The first number in a parameter's name is its layer (`layers.2.mlp.experts.0.up`: 2)."""

    def __init__(self, settings: params.Layers, network: Network, generator: torch.Generator) -> None:
        super().__init__(settings, network, generator)
        self.layers = existing(settings.layers, network, "train.layers.layers")

    def network_parameters(self, network: Network) -> dict[str, nn.Parameter]:
        """Those of the chosen layers."""
        return {
            name: parameter
            for name, parameter in network.named_parameters()
            if (number := re.search(r"\.(\d+)\.", name)) and int(number[1]) in self.layers
        }
