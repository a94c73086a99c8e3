"""Only the weights of some layers are trained."""

import torch
from torch import nn

from resonance import params
from resonance.learning.scope import Scope
from resonance.networks.network import Network


class Layers(Scope):
    """See `params.Layers`. A parameter belongs to layer 2 if its name holds `.2.` (`model.layers.2.mlp...`)."""

    def __init__(self, settings: params.Layers, network: Network, generator: torch.Generator) -> None:
        super().__init__(settings, network, generator)
        self.layers = settings.layers

    def network_parameters(self, network: Network) -> dict[str, nn.Parameter]:
        """Those of the chosen layers."""
        return {
            name: parameter
            for name, parameter in network.named_parameters()
            if any(f".{layer}." in name for layer in self.layers)
        }
