"""Objectives: what is minimised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from resonance.params.block import ManyOf, Member


class Lm(Member):
    """Next-token cross-entropy on the target and its end."""

    tag: Literal["lm"] = "lm"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum")


class SelfDiffusion(Member):
    """The network's own output is masked again at a falling rate and filled anew, every time; for network: mdlm."""

    tag: Literal["self-diffusion"] = "self-diffusion"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum")
    start: float = Field(1.0, gt=0, le=1, description="share that is masked in the first cycle")
    end: float = Field(0.15, gt=0, le=1, description="share towards which it falls")
    half: float = Field(16.0, gt=0, description="cycles in which the distance to the end halves")
    draw: bool = Field(False, description="fill masks by chance, or each with its most probable token")


Objectives = Annotated[tuple[Member, ...], ManyOf(Lm, SelfDiffusion)]
