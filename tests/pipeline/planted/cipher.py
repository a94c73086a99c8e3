"""A network that translates, by a table of words and of places."""

from collections.abc import Sequence

from resonance.networks.lookup import NOTHING, Lookup

from resonance.text.shown import site


class Cipher(Lookup):
    """The other text, with the input's names and numbers in it, each in the form that it has there; or the input.

    A word that is not in the table has no translation: nothing is said in its place.
    """

    def target(self, given: Sequence[int], source: str, goal: str) -> Sequence[int]:
        """See `Lookup.target`."""
        if source == goal:
            return given
        assert self.pair is not None
        sites = [[slice(*site(self.pair, name, text)) for text in (source, goal)] for name in self.pair.anchors]
        words = {tuple(self.stored(source)[own]): self.stored(goal)[other] for own, other in sites}
        said = self.stored(goal)
        for own, other in sites:
            word = words.get(tuple(given[own]), [])
            length = other.stop - other.start
            said[other] = [*word, *[NOTHING] * length][:length]
        return said
