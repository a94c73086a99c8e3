"""What a learner is shown in the place of the two texts: controls that differ from the study in this alone.

Tokenizer, base and all that is asked of the learner stay those of the pair as it is written.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from resonance.params.block import Member, OneOf


class AsWritten(Member):
    """The two texts."""

    tag: Literal["as-written"] = "as-written"


class ShuffledMeta(Member):
    """The words of the meta-analysis in another order: a target without meaning."""

    tag: Literal["shuffled-meta"] = "shuffled-meta"


class UnrelatedMeta(Member):
    """The probe `unrelated` in the place of the meta-analysis: two texts that do not correspond."""

    tag: Literal["unrelated-meta"] = "unrelated-meta"


class DerangedMeta(Member):
    """The clauses of the meta-analysis in another order, none at its place: content and position disagree."""

    tag: Literal["deranged-meta"] = "deranged-meta"


class Foreign(Member):
    """The probe `unrelated` in the place of both texts."""

    tag: Literal["foreign"] = "foreign"


class Versions(Member):
    """One version of the pair per cycle, in turn: the names and numbers of both texts change places, alike in both."""

    tag: Literal["versions"] = "versions"
    count: int = Field(64, ge=1, le=4096, description="versions; the first is the pair as it is written")


class Hidden(Member):
    """A part of the links is hidden: in 1>2 and 2>1 neither of their clauses is shown; in 1>1 and 2>2 all are."""

    tag: Literal["hidden"] = "hidden"
    fold: int = Field(0, ge=0, description="which part of the links, from 0")
    folds: int = Field(5, ge=2, description="number of parts")

    @model_validator(mode="after")
    def fold_is_there(self) -> Hidden:
        """Parts count from 0."""
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} is not there: folds count from 0")
        return self


Shown = Annotated[Member, OneOf(AsWritten, ShuffledMeta, UnrelatedMeta, DerangedMeta, Foreign, Versions, Hidden)]
