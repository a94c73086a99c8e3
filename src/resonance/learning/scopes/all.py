"""Every weight is trained."""

from torch import nn

from resonance.learning.scope import Scope
from resonance.networks.network import Network


class All(Scope):
    """See `params.All`."""

    def network_parameters(self, network: Network) -> dict[str, nn.Parameter]:
        """All of them."""
        return dict(network.named_parameters())
