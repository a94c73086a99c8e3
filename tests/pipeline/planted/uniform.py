"""A network that knows nothing and learns nothing."""

from collections.abc import Sequence

from resonance.networks.lookup import NOTHING, Lookup


class Uniform(Lookup):
    """Every token is as likely as any other, everywhere."""

    def said(self, sequence: list[int]) -> list[int]:
        """See `Lookup.said`."""
        return [NOTHING] * len(sequence)

    def target(self, given: Sequence[int], source: str, goal: str) -> Sequence[int]:
        """See `Lookup.target`."""
        return []
