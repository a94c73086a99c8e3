"""Orders: how a cycle is arranged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from resonance.params.block import DIRECTIONS, Direction, Member, OneOf


class Arranged(Member):
    """What every order has."""

    seed: int | None = Field(None, ge=0, lt=2**63, description="seed of its draws; empty: that of the run")

    def seed_of(self, run: int) -> int:
        """The seed of the draws in a run with this seed."""
        return run if self.seed is None else self.seed


class Shuffled(Arranged):
    """One of the 24 permutations per cycle, uniformly."""

    tag: Literal["shuffled"] = "shuffled"


class Fixed(Arranged):
    """The same order in every cycle: the one given, or one drawn by the seed."""

    tag: Literal["fixed"] = "fixed"
    order: str | None = Field(None, description="four directions, e.g. '1>2 2>1 1>1 2>2'; empty: drawn by the seed")

    @model_validator(mode="after")
    def each_direction_once(self) -> Fixed:
        """A given order holds each direction once."""
        if self.order is not None and sorted(self.order.split()) != sorted(DIRECTIONS):
            raise ValueError(f"order {self.order!r} must hold each of {' '.join(DIRECTIONS)} once")
        return self


class Rotating(Arranged):
    """The four directions, shifted by one place per cycle."""

    tag: Literal["rotating"] = "rotating"


class Blocked(Arranged):
    """One direction alone for `length` cycles, then the next."""

    tag: Literal["blocked"] = "blocked"
    length: int = Field(ge=1, description="cycles per block")


class Weighted(Arranged):
    """Four independent draws per cycle, with replacement."""

    tag: Literal["weighted"] = "weighted"
    weights: dict[Direction, Annotated[float, Field(ge=0)]] = Field(description="chances, up to a common factor")

    @model_validator(mode="after")
    def some_weight(self) -> Weighted:
        """Something must be drawn."""
        if not sum(self.weights.values()) > 0:
            raise ValueError("at least one weight must be above 0")
        return self


class SameOnly(Arranged):
    """Control: only 1>1 and 2>2, twice each per cycle, in shuffled order."""

    tag: Literal["same-only"] = "same-only"


class CrossOnly(Arranged):
    """Control: only 1>2 and 2>1, twice each per cycle, in shuffled order."""

    tag: Literal["cross-only"] = "cross-only"


class OneDirection(Arranged):
    """Control: one direction four times per cycle."""

    tag: Literal["one-direction"] = "one-direction"
    direction: Direction = Field("1>2", description="the only one that is shown")


Order = Annotated[Arranged, OneOf(Shuffled, Fixed, Rotating, Blocked, Weighted, SameOnly, CrossOnly, OneDirection)]
