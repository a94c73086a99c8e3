"""All that `params.yaml` may say, and nothing else: one strict, frozen model per block.

A member of an axis (network, scope, objective, head) is a settings class here and an implementation of the same name
in the module named by its tag (`networks/rwkv7.py` holds `RWKV7`); this module imports neither torch nor any of them.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resonance.errors import UserError

Direction = Literal["1>2", "2>1", "1>1", "2>2"]
DIRECTIONS: tuple[Direction, ...] = ("1>2", "2>1", "1>1", "2>2")
Marker = Literal["relation", "target", "none"]
Whole = Annotated[int, Field(ge=0)]


class Block(BaseModel):
    """A block of parameters: unknown keys are errors, values never change after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`cycles: true` would pass as 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("true and false are not allowed here")
        return value


class Member(Block):
    """Settings of a member of an axis; `tag` names it in params.yaml and names the module of its implementation."""

    tag: str
    published: ClassVar[bool] = False
    """True for a network that brings weights and a tokenizer of its own."""


class OneOf:
    """A value that names one member: `rwkv7`, or `{rwkv7: {width: 64}}` with that member's own settings."""

    def __init__(self, *members: type[Member]) -> None:
        self.members = {member.model_fields["tag"].default: member for member in members}

    def tagged(self, value: Any) -> Any:
        """`{rwkv7: {width: 64}}` → `{tag: rwkv7, width: 64}`; settings that are already parsed pass through."""
        if isinstance(value, Block):
            return value.model_dump()
        if isinstance(value, str):
            value = {value: {}}
        if isinstance(value, dict) and "tag" in value:
            return value
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError(f"name exactly one of {', '.join(self.members) or '(nothing yet)'}")
        ((tag, settings),) = value.items()
        if tag not in self.members:
            raise ValueError(f"{tag!r} is not known{nearest(str(tag), self.members)}")
        return {"tag": tag, **self.settings(settings)}

    def settings(self, value: Any) -> dict[str, Any]:
        """A member's own settings; none where only its name is given."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValueError(f"write its settings as {{key: value}}, not {value!r}")
        return value

    def inner(self, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The schema of one member, chosen by its tag."""
        if not self.members:
            return core_schema.any_schema()
        choices = {tag: handler.generate_schema(member) for tag, member in self.members.items()}
        return core_schema.tagged_union_schema(choices, discriminator="tag")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.tagged, self.inner(handler))


class ManyOf(OneOf):
    """Several members by name: `{lm: 1.0, ema: {weight: 0.5}}`; a bare number is the member's weight."""

    def all_tagged(self, value: Any) -> Any:
        """Every member in the form that `inner` reads."""
        if isinstance(value, dict):
            return tuple(self.tagged({tag: settings}) for tag, settings in value.items())
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"write {{name: settings}} with names from {', '.join(self.members) or '(nothing yet)'}")
        members = tuple(self.tagged(member) for member in value)
        if len({member["tag"] for member in members}) < len(members):
            raise ValueError("each may stand there once")
        return members

    def settings(self, value: Any) -> dict[str, Any]:
        """As above, a number being the weight."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"weight": value}
        return super().settings(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        members = core_schema.tuple_variable_schema(self.inner(handler))
        return core_schema.no_info_before_validator_function(self.all_tagged, members)


# ---- networks: what computes -------------------------------------------------------------------------------------


class Transformer(Member):
    """Llama-style decoder from a transformers config, initialised by this project."""

    tag: Literal["transformer"] = "transformer"
    width: int = Field(128, ge=8, description="D, a multiple of heads")
    layers: int = Field(4, ge=1, description="L")
    heads: int = Field(4, ge=1, description="H, of attention")
    feedforward: int = Field(344, ge=8, description="hidden width of the SwiGLU block")


class RWKV7(Member):
    """RWKV-7 "Goose" with the official parameter names."""

    tag: Literal["rwkv7"] = "rwkv7"
    width: int = Field(128, ge=8, description="D, a multiple of head_size")
    layers: int = Field(4, ge=1, description="L")
    head_size: int = Field(64, ge=4, description="rows and columns of the state of one head")
    chunk: int = Field(32, ge=1, le=128, description="tokens per parallel block; above 128 float32 overflows")


class GLA(Member):
    """Gated linear attention with the parameter names of fla's GLAForCausalLM (arXiv 2312.06635)."""

    tag: Literal["gla"] = "gla"
    width: int = Field(128, ge=8, description="D")
    layers: int = Field(4, ge=1, description="L")
    heads: int = Field(4, ge=1, description="H; D x expand_k and D x expand_v are multiples of it")
    expand_k: float = Field(0.5, gt=0, description="width of queries and keys, as a share of D")
    expand_v: float = Field(1.0, gt=0, description="width of values, as a share of D")
    gate_rank: int = Field(16, ge=1, description="inner width of the map that makes the forget gate")
    gate_normalizer: float = Field(16.0, gt=0, description="the logarithm of the gate is divided by this")
    feedforward: int = Field(344, ge=8, description="hidden width of the SwiGLU block")
    chunk: int = Field(16, ge=1, le=64, description="tokens per parallel block")


class Feedback(Member):
    """Feedback Transformer: every layer reads memories made of all layers' past outputs (arXiv 2002.09402)."""

    tag: Literal["feedback"] = "feedback"
    width: int = Field(128, ge=8, description="D, a multiple of heads")
    layers: int = Field(4, ge=1, description="L")
    heads: int = Field(4, ge=1, description="H, of attention")
    feedforward: int = Field(512, ge=8, description="hidden width of the ReLU block")
    span: int = Field(640, ge=1, description="memories, one per past token, that a token attends to")
    block: int = Field(64, ge=1, description="tokens through which gradients flow back (truncated back-propagation)")
    shared: bool = Field(True, description="one projection to keys and values for all layers")


class Mdlm(Member):
    """Masked-diffusion language model: the input is always visible, the target is denoised (arXiv 2406.07524)."""

    tag: Literal["mdlm"] = "mdlm"
    width: int = Field(128, ge=8, description="D, an even multiple of heads")
    layers: int = Field(4, ge=1, description="L")
    heads: int = Field(4, ge=1, description="H, of attention in both directions")
    feedforward: int = Field(344, ge=8, description="hidden width of the SwiGLU block")
    steps: int = Field(16, ge=1, description="steps of the sampler, from all masked to none")
    draws: int = Field(16, ge=1, description="noise levels over which the bound on the likelihood is averaged")


class Memory(Member):
    """Transformer in which some layers are TTT-Linear: a memory that is trained while it reads (arXiv 2407.04620)."""

    tag: Literal["memory"] = "memory"
    width: int = Field(128, ge=8, description="D, an even multiple of heads")
    layers: int = Field(4, ge=1, description="L")
    heads: int = Field(4, ge=1, description="H, of attention and of the memories")
    feedforward: int = Field(344, ge=8, description="hidden width of the SwiGLU block")
    memories: tuple[Whole, ...] = Field((1, 2), min_length=1, description="layers with a memory in place of attention")
    inner_rate: float = Field(1.0, gt=0, description="learning rate of the memories, times a learned share per token")
    block: int = Field(16, ge=1, le=128, description="tokens whose inner gradients are taken at the same weights")
    concepts: int = Field(0, ge=0, description="concepts of the pair that are read back in as soft tokens; 0: none")


class Hub(Member):
    """Any causal language model that transformers loads, from a folder or a pinned revision, safetensors only."""

    published: ClassVar[bool] = True
    tag: Literal["hub"] = "hub"
    path: str = Field(description="a folder, or a repository name on the hub")
    revision: str | None = Field(None, description="commit of the repository; needed unless path is a folder")
    trust_remote_code: bool = Field(False, description="run Python code that comes with the weights")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="precision of the loaded weights")
    device_map: str | None = Field(None, description="'auto' spreads a model that is larger than one GPU")


Network = Annotated[Member, OneOf(Transformer, RWKV7, GLA, Feedback, Mdlm, Memory, Hub)]


# ---- scopes: what may change -------------------------------------------------------------------------------------


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


Scope = Annotated[Member, OneOf(All, Nothing, Layers, Loreft)]


# ---- objectives: what is minimised -------------------------------------------------------------------------------


class Lm(Member):
    """Next-token cross-entropy on the target and its end."""

    tag: Literal["lm"] = "lm"
    weight: float = Field(1.0, ge=0, description="factor of this term in the sum")


Objectives = Annotated[tuple[Member, ...], ManyOf(Lm)]


# ---- heads: what reads the hidden states -------------------------------------------------------------------------

Heads = Annotated[tuple[Member, ...], ManyOf()]


# ---- orders: how a cycle is arranged -----------------------------------------------------------------------------


class Shuffled(Member):
    """One of the 24 permutations per cycle, uniformly."""

    tag: Literal["shuffled"] = "shuffled"


class Fixed(Member):
    """The same order in every cycle: the one given, or one drawn by the seed."""

    tag: Literal["fixed"] = "fixed"
    order: str | None = Field(None, description="four directions, e.g. '1>2 2>1 1>1 2>2'; empty: drawn by the seed")

    @model_validator(mode="after")
    def each_direction_once(self) -> Fixed:
        """A given order holds each direction once."""
        if self.order is not None and sorted(self.order.split()) != sorted(DIRECTIONS):
            raise ValueError(f"order {self.order!r} must hold each of {' '.join(DIRECTIONS)} once")
        return self


class Rotating(Member):
    """The four directions, shifted by one place per cycle."""

    tag: Literal["rotating"] = "rotating"


class Blocked(Member):
    """One direction alone for `length` cycles, then the next."""

    tag: Literal["blocked"] = "blocked"
    length: int = Field(ge=1, description="cycles per block")


class Weighted(Member):
    """Four independent draws per cycle, with replacement."""

    tag: Literal["weighted"] = "weighted"
    weights: dict[Direction, Annotated[float, Field(ge=0)]] = Field(description="chances, up to a common factor")

    @model_validator(mode="after")
    def some_weight(self) -> Weighted:
        """Something must be drawn."""
        if not sum(self.weights.values()) > 0:
            raise ValueError("at least one weight must be above 0")
        return self


class SameOnly(Member):
    """Control: only 1>1 and 2>2, twice each per cycle, in shuffled order."""

    tag: Literal["same-only"] = "same-only"


class CrossOnly(Member):
    """Control: only 1>2 and 2>1, twice each per cycle, in shuffled order."""

    tag: Literal["cross-only"] = "cross-only"


class OneDirection(Member):
    """Control: one direction four times per cycle."""

    tag: Literal["one-direction"] = "one-direction"
    direction: Direction = Field("1>2", description="the only one that is shown")


Order = Annotated[Member, OneOf(Shuffled, Fixed, Rotating, Blocked, Weighted, SameOnly, CrossOnly, OneDirection)]


# ---- optimizers --------------------------------------------------------------------------------------------------


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


# ---- the study ---------------------------------------------------------------------------------------------------


class Learner(Block):
    """A network, what of it may change, what it minimises, and its heads."""

    network: Network = Field(description="what computes")
    train: Scope = Field(All(), description="what may change")
    objective: Objectives = Field((Lm(),), description="what is minimised: a weighted sum of terms")
    heads: Heads = Field((), description="what reads the hidden states, without changing them")
    optimizer: Optimizer = Field(Adamw(), description="how each step is taken")
    marker: Marker = Field("relation", description="what the separator tells: same/other, which target, or nothing")
    init: Literal["base", "random"] = Field("base", description="start from the network's base, or from fresh weights")
    update: Literal["direction", "cycle"] = Field("direction", description="one optimizer step per slot, or per cycle")
    carry: bool = Field(
        False, description="carry a recurrent state over slots and cycles (always so with train: nothing)"
    )

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


class Evaluation(Block):
    """What is asked of the learner at every mark."""

    kept: int = Field(16, ge=1, description="first input tokens that counterfactual inputs leave as they are")
    edits: int = Field(32, ge=1, description="input tokens replaced in the edited input")
    prefixes: tuple[Whole, ...] = Field((0, 8, 32), description="target tokens given before verbatim recall is asked")
    generate: int = Field(64, ge=0, description="tokens of free greedy output kept for the reader of the report")


class Compute(Block):
    """On what the jobs run. Part of what a result is: reductions depend on it."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU where there is one")
    threads: int = Field(1, ge=1, description="CPU threads per job, the same on every machine")
    precision: Literal["float32", "bf16"] = Field("float32", description="of the arithmetic; weights stay float32")


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Params(Block):
    """The whole of params.yaml."""

    pairs: tuple[Name, ...] = Field(min_length=1, description="folders under data/pairs/")
    schedules: dict[Name, Order] = Field(min_length=1, description="orders of the cycles, by name")
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(
        min_length=1, description="each sets the schedule and every new weight of its runs"
    )
    cycles: int = Field(ge=1, lt=10**12, description="length of every run")
    chunks: Chunks = Field(description="where a run is cut into jobs")
    snapshots: Snapshots = Field(description="at which cycles a learner is kept and looked at")
    text: Text = Field(description="how texts become tokens, and the prose that bases read")
    base: Base = Field(description="what a network has read before it meets the pair")
    learners: dict[Name, Learner] = Field(min_length=1, description="what is trained, by name")
    evaluation: Evaluation = Field(description="what is asked of a learner at every mark")
    compute: Compute = Field(description="on what the jobs run")

    @field_validator("pairs", "seeds")
    @classmethod
    def each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """A run that stands twice would count twice in every table."""
        if twice := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"{twice[0]} stands there twice")
        return values

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

    def identity(self) -> dict[str, Any]:
        """What the numbers of the run depend on: not when it is saved or looked at, nor on what machine."""
        told = self.model_dump(mode="json", exclude={"per_doubling", "autosave"})
        del told["compute"]["device"]
        return told


def network(text: str) -> Member:
    """The settings of a network from canonical JSON."""
    adapter: TypeAdapter[Member] = TypeAdapter(Network)
    return adapter.validate_json(text)


def order(text: str) -> Member:
    """The settings of an order from canonical JSON."""
    adapter: TypeAdapter[Member] = TypeAdapter(Order)
    return adapter.validate_json(text)


def canonical(value: Any) -> str:
    """One line of JSON, keys sorted: the form in which settings are hashed, stored and passed to a job."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def nearest(word: str, known: Any) -> str:
    """'; did you mean ...?', or the list of what is allowed where it is short."""
    close = difflib.get_close_matches(word, list(known), n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; allowed: {', '.join(known)}" if 0 < len(known) < 12 else ""


def load(path: str | Path = "params.yaml") -> Params:
    """Read (as YAML 1.2, like DVC) and check the parameters; every fault is one sentence that names its key."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is missing: restore it with `git checkout -- {path}` or copy a file from studies/.")
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not valid YAML: {_fault(error)}; correct it, or `git checkout -- {path}`."
        ) from None
    return parse(values, path.name)


def _fault(error: Exception) -> str:
    """What is wrong with a file that is no YAML, and in which line."""
    mark = getattr(error, "problem_mark", None)
    return f"{error.problem} (line {mark.line + 1})" if mark else " ".join(str(error).split())  # type: ignore[attr-defined]


def parse(values: Any, source: str = "params.yaml") -> Params:
    """The typed parameters of a mapping, or a UserError that names the first wrong keys."""
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        sentences = {_key(fault): _sentence(fault, source) for fault in reversed(error.errors())}
        raise UserError("; ".join([*reversed(sentences.values())][:5])) from None


WORDS = {
    "missing": "is missing (docs/params.md says what may stand there)",
    "model_type": "write {key: value}, or {} for the defaults",
    "tuple_type": "write a list: [first, second]",
    "too_short": "at least one is needed",
}
"""What is said in place of pydantic's own words."""


def _key(fault: Any) -> str:
    """`learners.gpt.optimizer`."""
    return ".".join(str(part) for part in fault["loc"] if not isinstance(part, int) and part != "[key]") or "the file"


def _sentence(fault: Any, source: str) -> str:
    """`params.yaml: learners.gpt.optimzer is not a known key; did you mean 'optimizer'?`"""
    key = _key(fault)
    if fault["type"] == "extra_forbidden":
        return f"{source}: {key} is not a known key{nearest(str(fault['loc'][-1]), _all_keys())}"
    message = WORDS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    found = repr(fault["input"])
    shown = fault["type"] != "missing" and len(found) < 60
    return f"{source}: {key}: {message[:1].lower() + message[1:]}" + shown * f" (found: {found})"


def _all_keys() -> list[str]:
    """Every key of every block."""
    blocks = [*Block.__subclasses__(), *Member.__subclasses__()]
    return sorted({key for block in blocks for key in block.model_fields} - {"tag"})
