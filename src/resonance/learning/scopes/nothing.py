"""No weight is trained: the network only reads."""

from resonance.learning.scope import Scope


class Nothing(Scope):
    """See `params.Nothing`."""
