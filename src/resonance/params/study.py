"""The study: learners, texts, cycles, machines; and a run, which is what a job is told of it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, field_validator, model_validator

from resonance.params.block import Block, Marker, Member, Whole
from resonance.params.heads import Heads
from resonance.params.networks import Network
from resonance.params.objectives import Lm, Objectives
from resonance.params.optimizers import Adamw, Optimizer
from resonance.params.orders import Arranged, Order
from resonance.params.scopes import All, Nothing, Scope
from resonance.params.shown import AsWritten, Shown

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Learner(Block):
    """A network, what of it may change, what it minimises, and its heads."""

    network: Network = Field(description="what computes")
    train: Scope = Field(All(), description="what may change")
    objective: Objectives = Field((Lm(),), description="what is minimised: a weighted sum of terms")
    heads: Heads = Field((), description="what reads the hidden states, without changing them")
    optimizer: Optimizer = Field(Adamw(), description="how each step is taken")
    shown: Shown = Field(AsWritten(), description="what it is shown in the place of the two texts, as a control")
    marker: Marker = Field("relation", description="what the separator tells: same/other, which target, or nothing")
    init: Literal["base", "random"] = Field("base", description="start from the network's base, or from fresh weights")
    update: Literal["direction", "cycle"] = Field("direction", description="one optimizer step per slot, or per cycle")
    carry: bool = Field(
        False, description="carry a recurrent state over slots and cycles (always so with train: nothing)"
    )
    schedules: tuple[Name, ...] = Field((), description="the schedules that it is run on; empty: all")
    seeds: tuple[Seed, ...] = Field((), description="the seeds that it is run with; empty: all")

    @model_validator(mode="after")
    def parts_fit(self) -> Learner:
        """What a training job would find out only after the base is made."""
        depth = getattr(self.network, "layers", None)
        if depth is not None and (beyond := [layer for layer in getattr(self.train, "layers", ()) if layer >= depth]):
            raise ValueError(f"train.{self.train.tag}.layers: the network has layers 0 to {depth - 1}, not {beyond[0]}")
        if not isinstance(self.train, Nothing) and not any(getattr(term, "weight", 0) for term in self.objective):
            raise ValueError("objective: name a term with a weight above 0, or set train: nothing")
        return self


class Chunks(Block):
    """Where a run is cut into jobs: first, 2 × first, 4 × first, ... up to longest, then equal steps."""

    first: int = Field(64, ge=1, description="cycles of the first chunk")
    longest: int = Field(10_000_000, ge=1, description="most cycles in one job")
    autosave: float = Field(60.0, gt=0, description="seconds between saves inside a chunk, against kills")


class Snapshots(Block):
    """At which cycles the learner is kept: 0 and log-spaced ones."""

    per_doubling: int = Field(1, ge=1, le=64, description="snapshots per doubling of the cycle")


class Text(Block):
    """How texts become tokens."""

    vocabulary: int = Field(2048, ge=300, le=65_536, description="entries of the tokenizer that is trained per pair")
    context: int = Field(
        1024, ge=32, description="longest sequence [BOS] INPUT [DIR] TARGET [EOS]; longer texts are windowed"
    )
    packages: tuple[str, ...] = Field(
        min_length=1, description="installed packages whose docstrings are the corpus of the bases"
    )
    corpus_bytes: int = Field(5_000_000, ge=10_000, description="upper limit of the corpus")


class Base(Block):
    """The training, on prose, of the networks that learners start from."""

    tokens: int = Field(500_000, ge=0, description="tokens that every base sees")
    batch: int = Field(8, ge=1, description="sequences per step")
    length: int = Field(256, ge=8, description="tokens per sequence")
    lr: float = Field(2e-3, gt=0, description="highest learning rate, after a short rise")
    seed: int = Field(0, ge=0, description="of the fresh weights and the order of the prose")
    per_seed: bool = Field(False, description="train a base per seed of the study")


Experiment = Literal["tempered", "matching", "anchors", "passes", "stitching", "edits", "induction", "patching"]
EXPERIMENTS: tuple[Experiment, ...] = get_args(Experiment)


class Evaluation(Block):
    """What is asked of the learner at every mark."""

    kept: int = Field(16, ge=1, description="first input tokens that counterfactual inputs leave as they are")
    edits: int = Field(32, ge=1, description="input tokens replaced in the edited input")
    prefixes: tuple[Whole, ...] = Field((0, 8, 32), description="target tokens given before verbatim recall is asked")
    generate: int = Field(64, ge=0, description="tokens of free greedy output kept for the reader of the report")
    experiments: tuple[Experiment, ...] = Field(
        EXPERIMENTS, description="what is changed by hand at every mark, to see what follows"
    )
    transfer: bool = Field(True, description="at chunk edges: what a step on one direction does to the others")
    sharpness: int = Field(12, ge=0, description="iterations for the sharpness of the loss at chunk edges; 0: none")
    exponents: int = Field(2, ge=0, description="Lyapunov exponents of a carried state, the largest first; 0: none")
    exponent_cycles: int = Field(4, ge=1, description="cycles over which their growth is averaged")


class Measures(Block):
    """What is computed from what was recorded."""

    left_out: tuple[str, ...] = Field((), description="families of measures (docs/measures.md) that are left out")


class Compute(Block):
    """On what the jobs run. Part of what a result is: reductions depend on it."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU where there is one")
    threads: int = Field(1, ge=1, description="CPU threads per job, the same on every machine")
    precision: Literal["float32", "bf16"] = Field("float32", description="of the arithmetic; weights stay float32")
    compile: bool = Field(
        False, description="let torch.compile make training faster, where a network allows it; needs a C++ compiler"
    )


class Params(Block):
    """The whole of params.yaml."""

    pairs: tuple[Name, ...] = Field(min_length=1, description="folders under data/pairs/")
    schedules: dict[Name, Order] = Field(min_length=1, description="orders of the cycles, by name")
    seeds: tuple[Seed, ...] = Field(min_length=1, description="each sets the schedule and every new weight of its runs")
    cycles: int = Field(ge=1, lt=10**12, description="length of every run")
    chunks: Chunks = Field(description="where a run is cut into jobs")
    snapshots: Snapshots = Field(description="at which cycles a learner is kept and looked at")
    text: Text = Field(description="how texts become tokens, and the prose that bases read")
    base: Base = Field(description="what a network has read before it meets the pair")
    learners: dict[Name, Learner] = Field(min_length=1, description="what is trained, by name")
    evaluation: Evaluation = Field(description="what is asked of a learner at every mark")
    measures: Measures = Field(Measures(), description="what is computed from what was recorded")
    claims: dict[str, dict[str, Name]] = Field(
        {}, description="per claim, which learner or schedule plays which role, where it has another name than usual"
    )
    compute: Compute = Field(description="on what the jobs run")

    @field_validator("pairs", "seeds")
    @classmethod
    def each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """A run that stands twice would count twice in every table."""
        if twice := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"{twice[0]} stands there twice")
        return values

    @model_validator(mode="after")
    def schedules_are_there(self) -> Params:
        """A learner that is run on some schedules only names ones that the study has, and seeds likewise."""
        for name, learner in self.learners.items():
            for key, known in (("schedules", tuple(self.schedules)), ("seeds", self.seeds)):
                if strange := [value for value in getattr(learner, key) if value not in known]:
                    allowed = ", ".join(map(str, known))
                    raise ValueError(f"learners.{name}.{key}: {strange[0]} is not in `{key}`; allowed: {allowed}")
        return self

    @model_validator(mode="after")
    def not_too_many_jobs(self) -> Params:
        """A plan of more jobs than this takes Snakemake minutes; most often a nought is missing."""
        if self.cycles > MOST_CHUNKS * self.chunks.longest:
            raise ValueError(
                f"cut into chunks of {self.chunks.longest}, {self.cycles} cycles are more than "
                f"{MOST_CHUNKS} jobs per run; make chunks.longest longer"
            )
        return self


MOST_CHUNKS = 10_000


class Run(Block):
    """One learner × one schedule × one seed, as a job is told of it; pair and texts come as files."""

    learner: Learner
    order: Order
    seed: int = Field(ge=0)
    per_doubling: int = Field(1, ge=1, description="snapshots per doubling of the cycle")
    autosave: float = Field(60.0, gt=0)
    compute: Compute = Compute()

    @property
    def schedule_seed(self) -> int:
        """The seed of the order of the cycles."""
        return self.order.seed_of(self.seed)

    def identity(self) -> dict[str, Any]:
        """What the numbers of the run depend on: not when it is saved or looked at, nor on what machine."""
        told = self.model_dump(mode="json", exclude={"per_doubling", "autosave"})
        del told["compute"]["device"]
        return told


def network(text: str) -> Member:
    """The settings of a network from canonical JSON."""
    adapter: TypeAdapter[Member] = TypeAdapter(Network)
    return adapter.validate_json(text)


def order(text: str) -> Arranged:
    """The settings of an order from canonical JSON."""
    adapter: TypeAdapter[Arranged] = TypeAdapter(Order)
    return adapter.validate_json(text)


def canonical(value: Any) -> str:
    """One line of JSON, keys sorted: the form in which settings are hashed, stored and passed to a job."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
