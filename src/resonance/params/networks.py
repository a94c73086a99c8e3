"""Networks: what computes."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from resonance.params.block import Member, OneOf, Whole


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
    chunk: Literal[8, 16, 32, 64] = Field(16, description="tokens per parallel block, which is halved again and again")
    kernel: Literal["torch", "fla"] = Field(
        "torch", description="plain torch, or the kernel of the package fla-core: CUDA only, not the same bits each run"
    )


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

    @field_validator("revision")
    @classmethod
    def revision_is_a_commit(cls, value: str | None) -> str | None:
        """A branch or a tag can move, and with it the weights of a study."""
        if value is not None and not re.fullmatch("[0-9a-f]{40}", value):
            raise ValueError("give a commit (40 hex digits, in small letters), not a branch, a tag or a part of one")
        return value


Network = Annotated[Member, OneOf(Transformer, RWKV7, GLA, Feedback, Mdlm, Memory, Hub)]
