"""Objectives: what is minimised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from resonance.params.block import ManyOf, Member
from resonance.params.networks import Network


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


class Ema(Member):
    """Self-distillation: agreement with a running mean of the learner's own weights (mean teacher)."""

    tag: Literal["ema"] = "ema"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum, once it has grown")
    decay: float = Field(0.999, ge=0, lt=1, description="share of the teacher that stays in every step")
    temperature: float = Field(1.0, gt=0, description="both distributions are softened by it; the term by its square")
    ramp: int = Field(0, ge=0, description="cycles over which the weight grows, as exp(-5 (1 - c / ramp)^2)")


class PsKd(Member):
    """Progressive self-distillation: targets mixed with the learner's own predictions of the last visit."""

    tag: Literal["ps-kd"] = "ps-kd"
    weight: float = Field(1.0, ge=0, description="factor of this term, which takes the place of lm")
    alpha: float = Field(0.8, ge=0, le=1, description="share of the own predictions at the horizon and after it")
    horizon: int = Field(100, ge=1, description="cycles over which that share grows linearly from 0")


class BornAgain(Member):
    """Born-again generations: every so often the learner starts afresh and is taught by what it was."""

    tag: Literal["born-again"] = "born-again"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum, from the second generation on")
    every: int = Field(64, ge=1, description="cycles of a generation")
    temperature: float = Field(1.0, gt=0, description="both distributions are softened by it; the term by its square")


class Mutual(Member):
    """Deep mutual learning: peers with weights of their own, trained beside the learner, teach each other."""

    tag: Literal["mutual"] = "mutual"
    weight: float = Field(1.0, ge=0, description="factor of the mean divergence from the peers")
    peers: int = Field(1, ge=0, le=4, description="peers with the learner's own kind of network and fresh weights")
    others: tuple[Network, ...] = Field((), description="peers of other kinds; they share the vocabulary")
    lr: float = Field(1e-3, gt=0, description="learning rate of the peers' AdamW")


class One(Member):
    """Online distillation by a gated ensemble of branches on one trunk (ONE)."""

    tag: Literal["one"] = "one"
    weight: float = Field(1.0, ge=0, description="factor of this term, which takes the place of lm")
    branches: int = Field(3, ge=2, le=8, description="branches, the learner's own upper layers among them")
    trunk: int = Field(2, ge=1, description="layers that all branches share, from the lowest")
    temperature: float = Field(3.0, gt=0, description="softens ensemble and branches")
    ramp: int = Field(80, ge=0, description="cycles over which the weight of the distillation grows")


class Knn(Member):
    """A teacher that looks up its nearest neighbours among all target tokens of the pair (kNN-LM)."""

    tag: Literal["knn"] = "knn"
    weight: float = Field(0.5, ge=0, description="factor of the divergence from the neighbours' tokens")
    every: int = Field(8, ge=1, description="cycles between two rebuilds of the datastore")
    neighbours: int = Field(32, ge=1, description="k")
    temperature: float | None = Field(
        None, gt=0, description="of the distances; empty: so that some 6 neighbours count at each rebuild"
    )


class Simctg(Member):
    """Contrastive term of SimCTG: states of different tokens of a sequence shall not be alike."""

    tag: Literal["simctg"] = "simctg"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum")
    margin: float = Field(0.5, ge=-1, le=1, description="cosines above 1 - margin cost")


class Simcse(Member):
    """Contrastive term of SimCSE: two noisy views of a segment are each other's match among all segments."""

    tag: Literal["simcse"] = "simcse"
    weight: float = Field(0.1, ge=0, description="factor of this term in the sum")
    temperature: float = Field(0.05, gt=0, description="of the cosines")
    layer: int = Field(-1, description="whose states are pooled, from 0; -1: the last")
    dropout: float = Field(0.1, gt=0, lt=1, description="share of the features that layer 0 leaves which a view loses")


class Infonce(Member):
    """Contrastive term between aligned segments of both texts, with the learner's own words as hard negatives."""

    tag: Literal["infonce"] = "infonce"
    weight: float = Field(0.1, ge=0, description="factor of this term in the sum")
    temperature: float = Field(0.1, gt=0, description="of the cosines")
    layer: int = Field(-1, description="whose states are pooled, from 0; -1: the last")
    own: int = Field(
        0, ge=0, description="cycles after which the learner's own words, hard negatives, are heard anew; 0: none"
    )


class Sdtt(Member):
    """Self-distillation through time: two steps of the teacher's sampler in one; for network: mdlm."""

    tag: Literal["sdtt"] = "sdtt"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum")
    steps: int = Field(64, ge=2, description="steps of the teacher's sampler in the first round")
    least: int = Field(4, ge=2, description="steps below which the number is not halved any more")
    every: int = Field(64, ge=1, description="cycles of a round; after it the learner becomes the teacher")
    start: int = Field(0, ge=0, description="cycles of masked diffusion before the first round")
    divergence: Literal["kl-bwd", "kl-fwd"] = Field("kl-bwd", description="KL(student, teacher), or the other way")


class Cakld(Member):
    """BitDistiller: confidence-aware divergence of a quantised learner from its own full precision."""

    tag: Literal["cakld"] = "cakld"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum")
    lead: int = Field(0, ge=0, description="cycles in which only the teacher learns, in full precision")
    lr: float = Field(1e-3, gt=0, description="learning rate of the teacher in those cycles")
    clip: bool = Field(True, description="after them, cut off outer weights where the quantised outputs gain by it")


class ObdSd(Member):
    """Online batch diffusion self-distillation on segment representations."""

    tag: Literal["obd-sd"] = "obd-sd"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum")
    diffusion: float = Field(0.3, ge=0, lt=1, description="w, how far affinities spread")
    temperature: float = Field(0.1, gt=0, description="of affinities in target and student")
    spread: float = Field(0.1, gt=0, description="temperature of the affinities that spread")
    layer: int = Field(-1, description="whose states are pooled, from 0; -1: the last")
    every: int = Field(16, ge=1, description="cycles of a round; how segments lie at its start is taught until its end")
    itself: bool = Field(False, description="a segment is among its own neighbours, as published")


class LabelSmoothing(Member):
    """Cross-entropy with smoothed labels: the control of a teacher that knows something (arXiv 1512.00567)."""

    tag: Literal["label-smoothing"] = "label-smoothing"
    weight: float = Field(1.0, ge=0, description="factor of this term, which takes the place of lm")
    epsilon: float = Field(0.1, ge=0, lt=1, description="share of the target that all tokens have alike")


class Averaging(Member):
    """No term: a running mean of the weights answers at every mark, and nothing is learned from it."""

    tag: Literal["averaging"] = "averaging"
    decay: float = Field(0.999, ge=0, lt=1, description="share of the mean that stays in every step")


class InputLm(Member):
    """Next-token cross-entropy on the input text, so that one direction alone teaches both texts."""

    tag: Literal["input-lm"] = "input-lm"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum")


Objectives = Annotated[
    tuple[Member, ...],
    ManyOf(
        Lm,
        SelfDiffusion,
        Ema,
        PsKd,
        BornAgain,
        Mutual,
        One,
        Knn,
        Simctg,
        Simcse,
        Infonce,
        Sdtt,
        Cakld,
        ObdSd,
        LabelSmoothing,
        Averaging,
        InputLm,
    ),
]
