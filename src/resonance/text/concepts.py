"""The concept graph of a pair: what the two texts name, found by rules, once, from the tokens alone.

Candidates are runs of content words, as in RAKE (Rose et al. 2010); a concept is one that recurs, or a name. Edges are
relations that the words between two concepts tell, or nearness within a sentence. It is read by personalised PageRank,
as HippoRAG (arXiv 2405.14831) reads its graph; that one is made by a language model, this one by none.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations, groupby, pairwise
from operator import attrgetter
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from resonance.text.tokens import Tokens
from resonance.text.words import Word, Words, borders, words_of

Key = tuple[str, ...]
"""The stems of a phrase."""

Piece = tuple[int, ...]
"""Token ids in a row."""

Reason = tuple[int, int, str, float]
"""For an edge: two concepts, kind, weight."""

LONGEST = 4
"""Words of the longest phrase."""

REACH = 30
"""Two concepts of a sentence are near if they are at most so many words apart."""

NUMBER = 0.5
"""Nearness counts less by this factor for each number: it says how many or when, and stands near whatever it counts."""

DAMPING = 0.85
"""Of PageRank (Brin and Page 1998): the share of steps that follow an edge."""

BE = "(?:is|are|was|were|remains?|becomes?|became) "
OF = "of (?:(?:a|an|the|its|their|his|her|our|this|that|these|those|each|every|all) )?"
KIND = "(?:a |an )?(?:kind|form|type|sort|case|example)s? "
WHICH = "(?:вид|форма|тип|пример|разновидность) "
LIST = re.compile(r"(?:, )?(?:(?:such as|including)|так\w+ (?:, )?как) (?:~ )?")
MORE = re.compile(r"(?:, )?(?:(?:and|or|и|или) )?(?:~ )?")

RELATIONS = {
    "is-a": (
        rf"{BE}(?:an? |one {OF})(?:~ )*",
        rf"(?:, |{BE}){KIND}{OF}(?:~ )?",
        LIST.pattern,
        r"(?:, )?(?:and|or) other (?:~ )*",
        rf"(?:[-—–] )?это (?:{WHICH})?(?:~ )*|— (?:{WHICH})?(?:~ )*",
        rf"(?:является|являются|был|была|было|были) (?:одн\w+ из )?(?:{WHICH})?(?:~ )*",
        r"и други[ехм]\w? (?:~ )*",
    ),
    "part-of": (rf"(?:(?:, |{BE})(?:a )?parts? )?{OF}(?:~ )?", r"['’] s ", r"(?:(?:[,—] )?часть )?из (?:~ )?"),
    "alias": (
        r"(?:, )?(?:also |sometimes )?(?:called|known as|named|termed) (?:(?:an?|the) )?",
        r", (?:that is|i \. e \.|то есть) (?:, )?",
        r"(?:, )?(?:также )?называем\w+ ",
    ),
}
"""What may stand between two concepts when a relation is told; ~ is a content word that belongs to no concept."""

PATTERNS = {kind: re.compile("|".join(patterns)) for kind, patterns in RELATIONS.items()}

YEAR = re.compile("1[0-9]{3}|20[0-9]{2}")
DATED = re.compile(r"(?:\w+ ){0,2}(?:in|of|by|в) ")
"""Before a year, where it is not in parentheses."""

KINDS = (*RELATIONS, "year", "within", "near")
"""Of edges, the strongest first: X is a Y, X is part of Y or Y's, X is called Y; X (1885) or X in 1885; a phrase and a
part of it; two concepts of one sentence."""


class Place(NamedTuple):
    """A concept in a sequence: tokens `start` to `stop` (not included)."""

    start: int
    stop: int
    concept: int


@dataclass(frozen=True)
class Finder:
    """Finds concepts in sequences of tokens.

    pieces: of each concept, the different token ids that say it.
    borders: ids of tokens that end with a letter or digit, and of those that begin with one; a word goes on where they
        meet, and no concept begins or ends inside a word.
    """

    pieces: tuple[tuple[Piece, ...], ...]
    borders: tuple[frozenset[int], frozenset[int]]

    def places(self, ids: Sequence[int]) -> Iterator[Place]:
        """Every concept in a sequence of tokens, in order; of those that overlap, the first one, then the longest."""
        numbers = [int(number) for number in ids]
        start = 0
        while start < len(numbers):
            place = self._longest(numbers, start)
            if place:
                yield place
            start = place.stop if place else start + 1

    def _longest(self, ids: list[int], start: int) -> Place | None:
        for length in self._lengths.get(ids[start], ()):
            stop = start + length
            concept = self._concept_of.get(tuple(ids[start:stop]))
            if concept is not None and not self._goes_on(ids, start) and not self._goes_on(ids, stop):
                return Place(start, stop, concept)
        return None

    def _goes_on(self, ids: list[int], border: int) -> bool:
        """Whether one word stands on both sides of a border between tokens."""
        ending, beginning = self.borders
        return 0 < border < len(ids) and ids[border - 1] in ending and ids[border] in beginning

    @cached_property
    def _concept_of(self) -> dict[Piece, int]:
        return {piece: concept for concept, pieces in enumerate(self.pieces) for piece in pieces}

    @cached_property
    def _lengths(self) -> dict[int, list[int]]:
        """By its first token, how long a piece may be; the longest first."""
        lengths: defaultdict[int, set[int]] = defaultdict(set)
        for piece in self._concept_of:
            lengths[piece[0]].add(len(piece))
        return {first: sorted(found, reverse=True) for first, found in lengths.items()}


@dataclass(frozen=True, eq=False)
class ConceptGraph:
    """The concepts of a pair, numbered in the order in which the texts first name them, text 1 before text 2.

    names: how a concept is most often written, each another.
    texts: how often it occurs in which text, e.g. {'1': 3, '2': 1}.
    graph: nodes are the concepts' numbers; every edge has a `weight` (above 0) and a `kind`, one of KINDS.
    finder: where concepts occur in tokens.
    """

    names: tuple[str, ...]
    texts: tuple[dict[str, int], ...]
    graph: nx.Graph
    finder: Finder

    @property
    def pieces(self) -> tuple[tuple[Piece, ...], ...]:
        """Of each concept, the different token ids under which it occurs in the pair."""
        return self.finder.pieces

    def rank(self, seeds: Mapping[int, float]) -> NDArray[np.float64]:
        """Personalised PageRank, [concepts], with sum 1: where a reader mostly is who starts at `seeds`.

        seeds: the share of each concept among those that are started from, and returned to at 15% of the steps, up to a
            factor; all alike where none is given. The ranks are rounded to 12 digits, so that ties are ties on every
            machine.
        Raises ValueError for a seed that is no concept or has a weight below 0.
        """
        for concept, weight in seeds.items():
            if concept not in self.graph or not 0 <= weight < np.inf:
                raise ValueError(f"seed {concept}: {weight} is not a weight of one of {len(self.names)} concepts")
        start = dict(seeds) if any(seeds.values()) else None
        ranks = nx.pagerank(self.graph, DAMPING, start, max_iter=1000, tol=1e-13)
        return np.array([ranks[concept] for concept in range(len(self.names))], dtype=np.float64).round(12)

    def found(self, ids: Sequence[int]) -> dict[int, int]:
        """How often each concept occurs in a sequence of tokens; those that do not are left out."""
        return dict(sorted(Counter(place.concept for place in self.finder.places(ids)).items()))


@dataclass(frozen=True)
class Named:
    """A concept where a text names it: words `first` to `last` of a sentence."""

    concept: int
    first: int
    last: int
    sentence: int


def concept_graph(tokens: Tokens) -> ConceptGraph:
    """The concepts of texts 1 and 2 and what joins them; none where nothing recurs and nothing has a name.

    Equal tokens give equal concepts, in the same order, with the same weights.
    """
    texts = words_of(tokens)
    ids = {side: tokens.ids(side).tolist() for side in texts}
    pieces, written = _candidates(texts, ids)
    keys = list(pieces)
    # of the candidates, those remain that do not only occur inside of longer ones, in the order of their first places
    every = Finder(tuple(tuple(sorted(pieces[key])) for key in keys), borders(tokens))
    places = {side: list(every.places(ids[side])) for side in texts}
    kept = list(dict.fromkeys(place.concept for side in texts for place in places[side]))
    keys = [keys[candidate] for candidate in kept]
    number = {candidate: concept for concept, candidate in enumerate(kept)}
    named = {side: [_named(texts[side], place, number[place.concept]) for place in places[side]] for side in texts}
    counts = {side: Counter(one.concept for one in named[side]) for side in texts}
    return ConceptGraph(
        names=tuple(_name(written[key]) for key in keys),
        texts=tuple(
            {side: counts[side][concept] for side in texts if concept in counts[side]} for concept in range(len(keys))
        ),
        graph=_graph(keys, texts, named),
        finder=Finder(tuple(every.pieces[candidate] for candidate in kept), every.borders),
    )


def _candidates(
    texts: Mapping[str, Words], ids: Mapping[str, list[int]]
) -> tuple[dict[Key, set[Piece]], dict[Key, Counter[str]]]:
    """For each phrase that may be a concept, its token ids and how it is written."""
    runs = [(side, run) for side in texts for run in _runs(texts[side].words)]
    keys = _keys([run for _, run in runs])
    pieces: defaultdict[Key, set[Piece]] = defaultdict(set)
    written: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    for side, run in runs:
        for words in _phrases(run):
            key = keys.get(_key(words))
            if key is not None:
                start, stop = _tokens(texts[side], words)
                pieces[key].add(tuple(ids[side][start:stop]))
                written[key][_written(texts[side].string, words)] += 1
    return pieces, written


def _runs(words: Sequence[Word]) -> list[list[Word]]:
    """Content words that stand together."""
    return [list(run) for _, run in groupby((word for word in words if word.content), key=attrgetter("run"))]


def _phrases(run: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """All words in a row of a run, up to LONGEST, that are more than one character."""
    for first in range(len(run)):
        for words in (run[first : first + length] for length in range(1, min(LONGEST, len(run) - first) + 1)):
            if words[-1].stop - words[0].start > 1:
                yield words


def _key(words: Sequence[Word]) -> Key:
    return tuple(word.key for word in words)


def _keys(runs: Sequence[Sequence[Word]]) -> dict[Key, Key]:
    """Candidates: phrases that occur twice, and names. A full name that occurs once is a form of its last word."""
    counts = Counter(_key(words) for run in runs for words in _phrases(run))
    keys = {key: key for key, count in counts.items() if count > 1}
    for run in runs:
        for is_name, words in groupby(run, key=attrgetter("name")):
            key = _key(list(words))
            if is_name and key in counts:
                keys.setdefault(key, keys.get(key[-1:], key))
    return keys


def _tokens(text: Words, words: Sequence[Word]) -> tuple[int, int]:
    """The tokens that hold characters of a phrase: (first, stop)."""
    start = bisect_right(text.spans, words[0].start, key=lambda span: span[1])
    return start, bisect_left(text.spans, words[-1].stop, key=lambda span: span[0])


def _written(string: str, words: Sequence[Word]) -> str:
    """A phrase as it stands, on one line; in small letters unless it is a name."""
    phrase = " ".join(string[words[0].start : words[-1].stop].split())
    return phrase if any(word.name for word in words) else phrase.lower()


def _name(written: Counter[str]) -> str:
    """The most frequent way to write it; of several the shortest, then the first in the alphabet."""
    return min(written, key=lambda phrase: (-written[phrase], len(phrase), phrase))


def _named(text: Words, place: Place, concept: int) -> Named:
    """The words of a concept that was found among the tokens."""
    start, stop = text.spans[place.start][0], text.spans[place.stop - 1][1]
    first = bisect_right(text.words, start, key=attrgetter("stop"))
    last = bisect_left(text.words, stop, key=attrgetter("start")) - 1
    return Named(concept, first, last, text.words[first].sentence)


def _graph(keys: Sequence[Key], texts: Mapping[str, Words], named: Mapping[str, Sequence[Named]]) -> nx.Graph:
    """All edges; the weights of several reasons for one are added, and it has the strongest of their kinds."""
    edges: dict[tuple[int, int], tuple[float, str]] = {}
    reasons = chain.from_iterable(
        chain(_near(texts[side], named[side]), _told(texts[side], named[side])) for side in texts
    )
    for one, other, kind, weight in chain(reasons, _within(keys)):
        if one != other:
            ends = min(one, other), max(one, other)
            sum_before, strongest = edges.get(ends, (0.0, kind))
            edges[ends] = sum_before + weight, min(strongest, kind, key=KINDS.index)
    graph = nx.Graph()
    graph.add_nodes_from(range(len(keys)))
    graph.add_edges_from((*ends, {"weight": weight, "kind": kind}) for ends, (weight, kind) in edges.items())
    return graph


def _near(text: Words, named: Sequence[Named]) -> Iterator[Reason]:
    """Two concepts of a sentence: the weight is one over their distance in words, less for numbers."""
    share = [NUMBER if text.words[one.first].number else 1.0 for one in named]
    for place, one in enumerate(named):
        for later in range(place + 1, len(named)):
            other = named[later]
            distance = max(1, other.first - one.last)
            if other.sentence != one.sentence or distance > REACH:
                break
            yield one.concept, other.concept, "near", share[place] * share[later] / distance


def _told(text: Words, named: Sequence[Named]) -> Iterator[Reason]:
    """Relations that the words between two neighbours tell, and the further members of a list: weight 1 for each."""
    listed: Named | None = None
    for one, other in pairwise(named):
        if one.sentence != other.sentence or other.first <= one.last:
            listed = None
            continue
        between = _between(text, one.last, other.first)
        kind = _relation(text, one, other, between)
        if kind:
            listed = one if LIST.fullmatch(between) else None
            yield one.concept, other.concept, kind, 1.0
        elif listed and MORE.fullmatch(between):
            yield listed.concept, other.concept, "is-a", 1.0
        else:
            listed = None


def _relation(text: Words, one: Named, other: Named, between: str) -> str | None:
    """The kind of edge that the words between two neighbours call for, if any."""
    word = text.words[other.last]
    closed = text.string[word.stop : word.stop + 1] == ")"
    dated = YEAR.fullmatch(word.surface) and not text.words[one.last].number
    if dated and (DATED.fullmatch(between) or (closed and between in ("( ", ", "))):
        return "year"
    if closed and between == "( " and not word.number:
        return "alias"
    return next((kind for kind, pattern in PATTERNS.items() if pattern.fullmatch(between)), None)


def _between(text: Words, last: int, first: int) -> str:
    """What stands between two words, a blank after each part: signs and function words as they are, ~ for the rest."""
    parts: list[str] = []
    for place in range(last, first):
        word, following = text.words[place : place + 2]
        parts += [sign for sign in text.string[word.stop : following.start] if not sign.isspace()]
        if place + 1 < first:
            parts.append("~" if following.content else following.surface.lower())
    return "".join(f"{part} " for part in parts)


def _within(keys: Sequence[Key]) -> Iterator[Reason]:
    """Phrases, and the concepts that are shorter phrases inside them."""
    number = {key: concept for concept, key in enumerate(keys)}
    for concept, key in enumerate(keys):
        parts = {key[first:stop] for first, stop in combinations(range(len(key) + 1), 2)}
        yield from ((concept, number[part], "within", 1.0) for part in sorted(parts & number.keys()))
