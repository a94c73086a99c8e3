"""Heads: what reads the hidden states."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from resonance.params.block import ManyOf, Member


class Critic(Member):
    """An estimate, per token and per segment, of how far the learner's own output is from the original."""

    tag: Literal["critic"] = "critic"
    hidden: int = Field(0, ge=0, description="width of a hidden layer; 0: a linear critic")
    every: int = Field(8, ge=1, description="cycles between two rounds of own outputs to learn from")
    sample: bool = Field(True, description="learn from one sampled output beside the greedy one")
    threshold: float = Field(0.5, ge=0, le=1, description="estimated deviation above which the controller acts")
    attempts: int = Field(2, ge=0, description="actions that the controller may take per segment; 0: no controller")


class Introspection(Member):
    """A second stage that reads the gradients of the network's own answer (introspective learning)."""

    tag: Literal["introspection"] = "introspection"
    candidates: int = Field(10, ge=2, description="K, the most probable tokens that are told apart")
    projected: int = Field(64, ge=1, description="dimensions to which each gradient row is projected")
    noise: float = Field(0.15, gt=0, lt=1, description="share of input tokens replaced, so that there are errors")
    inputs: int = Field(2, ge=1, description="inputs with noise per direction and round, each with faults of its own")
    every: int = Field(8, ge=1, description="cycles between two rounds of own outputs to learn from")
    rerank: bool = Field(True, description="at marks, also say what follows from always choosing the best candidate")


Heads = Annotated[tuple[Member, ...], ManyOf(Critic, Introspection)]
