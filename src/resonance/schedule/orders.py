"""Which directions fill the four slots of a cycle, for each order that `params` names.

An order has at most 256 words, such as `1>2 1>1 2>1 2>2`, and gives each cycle the index of one. That index depends on
the order's settings, the seed and the cycle only: any slice made alone equals that slice of the whole.

Cycles count from 1, but the functions here take a counter from 0, as a stream of random numbers does: cycle c has
counter c − 1, so that counters start ... stop − 1 are cycles start + 1 ... stop.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import singledispatch
from itertools import accumulate, permutations, product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resonance.params import (
    DIRECTIONS,
    Block,
    Blocked,
    CrossOnly,
    Direction,
    Fixed,
    OneDirection,
    Rotating,
    SameOnly,
    Shuffled,
    Weighted,
)
from resonance.schedule.draws import below, raw

SLOTS = 4
"""Steps in a cycle."""

Indices = NDArray[np.uint8]

_AT_ONCE = 1 << 17
"""Cycles per step: their random words, 1 MB, stay in the processor's cache."""


class Plan(NamedTuple):
    """An order made ready: its words, and the indices into them of cycles start + 1 ... stop as (seed, start, stop).

    period: after how many cycles the indices begin again, whatever the seed; None: never.
    """

    words: tuple[str, ...]
    draw: Callable[[int, int, int], NDArray[np.integer]]
    period: int | None = None


def words(order: Block) -> list[str]:
    """The words that cycles of this order may have, four directions each; at most 256, always in the same sequence."""
    return list(plan(order).words)


def indices(order: Block, seed: int, start: int, stop: int) -> Indices:
    """For each of the cycles start + 1 ... stop, which of `words(order)` it has; uint8 [stop − start]."""
    draw = plan(order).draw
    chosen = np.empty(stop - start, dtype=np.uint8)
    for left in range(start, stop, _AT_ONCE):
        right = min(stop, left + _AT_ONCE)
        chosen[left - start : right - start] = draw(seed, left, right)
    return chosen


def period(order: Block, windows: int) -> int | None:
    """After how many cycles all that the schedule says begins again; None where a word or a window is drawn.

    An order that is drawn once, as `fixed` may be, has a period; blocks do not, as they are permuted by draws.
    """
    return plan(order).period if windows == 1 else None


def window_indices(seed: int, windows: int, start: int, stop: int) -> NDArray[np.uint16]:
    """The window of each slot of cycles start + 1 ... stop, uniform in 0 ... windows − 1; uint16 [stop − start, 4].

    Independent of the order. Column s (0 ... 3) of the cycle with counter n has word 4n + s of a stream of its own.
    """
    drawn = np.empty((stop - start, SLOTS), dtype=np.uint16)
    for left in range(start, stop, _AT_ONCE):
        right = min(stop, left + _AT_ONCE)
        slots = below(windows, raw(seed, "windows", SLOTS * left, SLOTS * right))
        drawn[left - start : right - start] = slots.reshape(-1, SLOTS)
    return drawn


@singledispatch
def plan(order: Block) -> Plan:
    """What the settings of an order stand for; the stream of a drawn order is named by its tag."""
    raise TypeError(f"{type(order).__name__} is not an order")


@plan.register
def shuffled(order: Shuffled) -> Plan:
    """One of the 24 permutations, anew in each cycle."""
    return _uniform(order.tag, _distinct(*DIRECTIONS))


@plan.register
def same_only(order: SameOnly) -> Plan:
    """One of the 6 arrangements of 1>1 and 2>2, each twice."""
    return _uniform(order.tag, _distinct("1>1", "1>1", "2>2", "2>2"))


@plan.register
def cross_only(order: CrossOnly) -> Plan:
    """One of the 6 arrangements of 1>2 and 2>1, each twice."""
    return _uniform(order.tag, _distinct("1>2", "1>2", "2>1", "2>1"))


@plan.register
def fixed(order: Fixed) -> Plan:
    """The word given, or the one of the 24 that word 0 of the stream picks."""
    if order.order is not None:
        return _constant(_word(order.order.split()))
    permuted = _distinct(*DIRECTIONS)

    def draw(seed: int, start: int, stop: int) -> NDArray[np.integer]:
        return np.repeat(below(len(permuted), raw(seed, order.tag, 0, 1)), stop - start)

    return Plan(permuted, draw, period=1)


@plan.register
def one_direction(order: OneDirection) -> Plan:
    """The same direction in all four slots."""
    return _constant(_word([order.direction] * SLOTS))


@plan.register
def rotating(_order: Rotating) -> Plan:
    """Cycle 1 has DIRECTIONS, and each next one begins a direction further around; no seed enters."""
    rotated = tuple(_word(DIRECTIONS[turn:] + DIRECTIONS[:turn]) for turn in range(SLOTS))

    def draw(_seed: int, start: int, stop: int) -> NDArray[np.integer]:
        return np.arange(start, stop) % SLOTS

    return Plan(rotated, draw, period=SLOTS)


@plan.register
def blocked(order: Blocked) -> Plan:
    """Cycles 1 ... length have one direction, as has each next block; every four blocks hold each once.

    The word of the stream with the number of the four, from 0, permutes them.
    """
    alone = tuple(_word([direction] * SLOTS) for direction in DIRECTIONS)
    permuted = np.array(list(permutations(range(SLOTS))), dtype=np.uint8)

    def draw(seed: int, start: int, stop: int) -> NDArray[np.integer]:
        block = np.arange(start, stop) // order.length
        four, place = block // SLOTS, block % SLOTS
        permutation = below(len(permuted), raw(seed, order.tag, int(four[0]), int(four[-1]) + 1))
        direction: Indices = permuted[permutation[four - four[0]], place]
        return direction

    return Plan(alone, draw)


@plan.register
def weighted(order: Weighted) -> Plan:
    """Four draws with replacement at once: a word of four directions has the product of their weights.

    A stream word w picks the first index whose cumulated probability exceeds w / 2^64. The bounds are exact fractions
    of the weights, rounded once: probabilities are right to 2^-64, and the same on every machine.
    """
    weights = {
        direction: Fraction(order.weights[direction]) for direction in DIRECTIONS if order.weights.get(direction)
    }
    total = sum(weights.values())
    choices = list(product(weights, repeat=SLOTS))
    cumulated = accumulate(prod(weights[direction] / total for direction in choice) for choice in choices)
    bounds = np.array([min(round(upper * 2**64), 2**64 - 1) for upper in cumulated][:-1], dtype=np.uint64)

    def draw(seed: int, start: int, stop: int) -> NDArray[np.integer]:
        return np.searchsorted(bounds, raw(seed, order.tag, start, stop), side="right")

    return Plan(tuple(_word(choice) for choice in choices), draw)


def _uniform(purpose: str, among: tuple[str, ...]) -> Plan:
    """Every cycle has one of the words with equal chances, by the word of the stream that its counter names."""

    def draw(seed: int, start: int, stop: int) -> NDArray[np.integer]:
        return below(len(among), raw(seed, purpose, start, stop))

    return Plan(among, draw)


def _constant(word: str) -> Plan:
    """Every cycle has this word; no seed enters."""

    def draw(_seed: int, start: int, stop: int) -> NDArray[np.integer]:
        return np.zeros(stop - start, dtype=np.uint8)

    return Plan((word,), draw, period=1)


def _distinct(*directions: Direction) -> tuple[str, ...]:
    """The different arrangements of four directions, in the sequence in which `permutations` first meets them."""
    return tuple(dict.fromkeys(_word(arranged) for arranged in permutations(directions)))


def _word(directions: tuple[str, ...] | list[str]) -> str:
    """('1>2', '1>1', '2>1', '2>2') → '1>2 1>1 2>1 2>2'."""
    return " ".join(directions)
