"""Scopes: what may change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from resonance.params.block import Member, OneOf, Whole


class All(Member):
    """Every weight."""

    tag: Literal["all"] = "all"


class Nothing(Member):
    """No weight: the network only reads, and carries from cycle to cycle what its memory names."""

    tag: Literal["nothing"] = "nothing"
    memory: Literal["auto", "state", "context", "text", "none"] = Field(
        "auto",
        description="state: the recurrent state; context: the tokens read last stand before each sequence; text: what "
        "was said is the next input; auto: the state of a network that has one, otherwise none",
    )
    target: Literal["forced", "free"] = Field(
        "forced", description="read the target as it stands, or what the network says in its place"
    )
    window: int = Field(1024, ge=1, description="tokens that the memory `context` keeps")

    @model_validator(mode="after")
    def text_is_free(self) -> Nothing:
        """The memory of texts holds what the network said."""
        if self.memory == "text" and self.target == "forced":
            raise ValueError("memory: text holds what the network says: set target: free")
        return self


class Layers(Member):
    """Only the weights of some layers."""

    tag: Literal["layers"] = "layers"
    layers: tuple[Whole, ...] = Field(min_length=1, description="layer numbers, from 0")


class Loreft(Member):
    """A low-rank edit of the hidden states, weights frozen (ReFT, arXiv 2404.03592)."""

    tag: Literal["loreft"] = "loreft"
    layers: tuple[Whole, ...] = Field((2, 3), min_length=1, description="layers whose output is edited, from 0")
    rank: int = Field(4, ge=1, description="dimensions that each edit may change")
    positions: str = Field(
        "f4+l4",
        pattern=r"^(all|f[1-9]\d*|l[1-9]\d*|f[1-9]\d*\+l[1-9]\d*)$",
        description="first and last prompt tokens: f4+l4, or all",
    )
    tied: bool = Field(False, description="one edit for first and last positions, or one each")


class Noreft(Loreft):
    """LoReFT without orthogonality: h + W2' (W1 h + b - W2 h)."""

    tag: Literal["noreft"] = "noreft"  # type: ignore[assignment]


class Direft(Loreft):
    """LoReFT with neither orthogonality nor difference: h + W2' (W1 h + b)."""

    tag: Literal["direft"] = "direft"  # type: ignore[assignment]


class Consreft(Loreft):
    """LoReFT with a constant in the place of the learned source: h + R' (b - R h)."""

    tag: Literal["consreft"] = "consreft"  # type: ignore[assignment]


class Lora(Member):
    """An additive update of low rank of chosen linear maps, weights frozen (LoRA, arXiv 2106.09685)."""

    tag: Literal["lora"] = "lora"
    layers: tuple[Whole, ...] = Field((), description="layers whose maps are updated, from 0; empty: all")
    maps: tuple[str, ...] = Field(
        (), description="maps by their own name or that of what holds them (q_proj, mlp); empty: all"
    )
    rank: int = Field(4, ge=1, description="r, the rank of each update")
    alpha: float = Field(4.0, gt=0, description="the update is alpha / rank times the product of its factors")


class Quantised(Member):
    """Every weight; linear maps compute with two or three bits of theirs, the output matrix excepted (BitDistiller)."""

    tag: Literal["quantised"] = "quantised"
    format: Literal["int2", "int3", "nf3"] = Field("int2", description="levels of a weight: even ones, or NormalFloat")
    group: int = Field(128, ge=2, description="neighbouring weights of a row that share a scale")


Scope = Annotated[Member, OneOf(All, Nothing, Layers, Loreft, Noreft, Direft, Consreft, Lora, Quantised)]
