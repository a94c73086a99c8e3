"""Optimizers: how a step is taken."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from resonance.params.block import Member, OneOf


class Adamw(Member):
    """AdamW with a constant rate, or a linear warm-up over absolute cycles."""

    tag: Literal["adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0, description="learning rate")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.99), description="decay of the running mean and of the running square of the gradient"
    )
    eps: float = Field(1e-8, gt=0, description="added to the root of the running square")
    weight_decay: float = Field(0.0, ge=0, description="share of each weight, times the rate, taken off per step")
    warmup: int = Field(0, ge=0, description="cycles over which the rate rises linearly from 0")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no clipping")


class Sgd(Member):
    """Plain gradient descent, with momentum where wanted."""

    tag: Literal["sgd"] = "sgd"
    lr: float = Field(0.1, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="share of the last step that is taken again")
    weight_decay: float = Field(0.0, ge=0, description="share of each weight that is added to its gradient")
    warmup: int = Field(0, ge=0, description="cycles over which the rate rises linearly from 0")
    clip: float | None = Field(None, gt=0, description="largest gradient norm; null: no clipping")


Optimizer = Annotated[Adamw | Sgd, OneOf(Adamw, Sgd)]
