"""GLA, gated linear attention: a recurrent network with a matrix-valued state, under the names of fla's weights.

Source: arXiv 2312.06635. Blocks in `gla_blocks.py`, their state in `gated_linear_attention.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from torch import Generator, Tensor, nn

from resonance import params
from resonance.errors import UserError
from resonance.networks.gated_linear_attention import fla_kernel
from resonance.networks.gla_blocks import Block, Sizes, Trunk
from resonance.networks.network import Below, Edit, Network, Output, State

STD = 0.02
"""Standard deviation of fresh matrices, as fla draws them."""

NORM_EPS = 1e-6
"""fla's default for a model; its 7B configuration has 1e-5."""


class GLA(Network):
    """Gated linear attention with its own chunked form.

    The state holds, for each layer, `model.layers.<layer>.attn.matrix` [B, H, K, V].

    generator: the only source of random numbers; None leaves the weights on the meta device, to be loaded.
    """

    recurrent = True

    def __init__(
        self, settings: params.GLA, vocabulary: int, generator: Generator | None, norm_eps: float = NORM_EPS
    ) -> None:
        super().__init__()
        self.depth, self.width, self.vocabulary = settings.layers, settings.width, vocabulary
        self.sizes = Sizes(
            width=settings.width,
            heads=settings.heads,
            key=_expanded(settings, "expand_k"),
            value=_expanded(settings, "expand_v"),
            gate_rank=settings.gate_rank,
            gate_normalizer=settings.gate_normalizer,
            feedforward=settings.feedforward,
            norm_eps=norm_eps,
            chunk=settings.chunk,
            kernel=fla_kernel() if settings.kernel == "fla" else None,
        )
        with torch.device("meta"):
            self.model = Trunk(vocabulary, self.depth, self.sizes)
            self.lm_head = nn.Linear(self.width, vocabulary, bias=False)
        if generator is not None:
            self.to_empty(device=generator.device)
            self.initialise(generator)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Matrices N(0, STD²), norms 1, the bias of the gate 0: the rule of the published code."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, STD, generator=generator)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)

    def layers(self) -> list[Block]:
        """The blocks, from the embedding to the head."""
        return [cast(Block, block) for block in self.model.layers]

    def compilable(self) -> list[Block]:
        """The blocks, but not around fla's kernel, which is compiled in its own way."""
        return self.layers() if self.sizes.kernel is None else []

    @classmethod
    def from_official(
        cls,
        state_dict: Mapping[str, Tensor],
        num_heads: int,
        *,
        norm_eps: float = NORM_EPS,
        gate_normalizer: float = 16.0,
        tied: bool = False,
        chunk: Literal[8, 16, 32, 64] = 16,
        kernel: Literal["torch", "fla"] = "torch",
    ) -> GLA:
        """The network of a published file, in float32; all sizes but the number of heads are those of its tensors.

        num_heads, norm_eps, tied: `num_heads`, `norm_eps` and `tie_word_embeddings` of the config that comes with the
            file. Where the head is the embedding, the file may leave `lm_head.weight` out.
        gate_normalizer: `gate_logit_normalizer` of the layer, which no config changes.

        Raises UserError, with its name, for a tensor that is missing, has another shape, or is not part of GLA.
        """
        vocabulary, width = _shape(state_dict, "model.embeddings.weight")
        depth = 1 + max((int(found[1]) for name in state_dict if (found := _LAYER.match(name))), default=0)
        attn = "model.layers.0.attn."
        key, value = (_shape(state_dict, f"{attn}{part}_proj.weight")[0] for part in ("q", "v"))
        (head_value,) = _shape(state_dict, f"{attn}g_norm_swish_gate.weight", 1)
        if num_heads * head_value != value:
            expected = f"[{value} / num_heads], and num_heads is given as {num_heads}"
            raise _misshapen(f"{attn}g_norm_swish_gate.weight", [head_value], expected)
        if key % num_heads:
            raise _misshapen(f"{attn}q_proj.weight", [key, width], f"rows for num_heads = {num_heads}")
        settings = params.GLA(
            width=width,
            layers=depth,
            heads=num_heads,
            expand_k=key / width,
            expand_v=value / width,
            gate_rank=_shape(state_dict, f"{attn}gk_proj.0.weight")[0],
            gate_normalizer=gate_normalizer,
            feedforward=_shape(state_dict, "model.layers.0.mlp.gate_proj.weight")[0],
            chunk=chunk,
            kernel=kernel,
        )
        network = cls(settings, vocabulary, None, norm_eps)
        if tied:
            state_dict = {"lm_head.weight": state_dict["model.embeddings.weight"], **state_dict}
        own = network.state_dict()
        for name, tensor in own.items():
            if _shape(state_dict, name, tensor.ndim) != tensor.shape:
                raise _misshapen(name, state_dict[name].shape, str(list(tensor.shape)))
        for name in state_dict:
            if name not in own:
                raise UserError(f"{name!r} is not a tensor of GLA: the file holds another network or variant.")
        float32 = {name: tensor.detach().to(torch.float32, copy=True) for name, tensor in state_dict.items()}
        network.load_state_dict(float32, assign=True)
        if tied:
            if not torch.equal(network.lm_head.weight, network.model.embeddings.weight):
                raise UserError("'lm_head.weight' differs from 'model.embeddings.weight': load it without tied=True.")
            network.lm_head.weight = network.model.embeddings.weight
        return network

    def empty_state(self, batch: int) -> State:
        """The state before the first token of `batch` sequences: zeros, in float32 at least."""
        weight, sizes = self.model.embeddings.weight, self.sizes
        shape = (batch, sizes.heads, sizes.key // sizes.heads, sizes.value // sizes.heads)
        dtype = torch.promote_types(weight.dtype, torch.float32)
        return {_matrix(layer): weight.new_zeros(shape, dtype=dtype) for layer in range(self.depth)}

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        """See `Network.forward`; T >= 1.

        A pass that is given `below` has no state, neither before nor after: the lower layers' part is not computed.
        """
        if below is not None and state is not None:
            raise ValueError("what lies below is not fixed where a state is carried: give `state` or `below`, not both")
        edit = edit or _unedited
        if below is None:
            start, hidden_BTD = 0, self.model.embeddings(tokens_BT)
        elif 0 <= below.layer < self.depth:
            start, hidden_BTD = below.layer + 1, edit(below.layer, below.hidden_BTD)
        else:
            raise ValueError(f"`below` at layer {below.layer} was not made by this network of {self.depth} layers")

        carried = self.empty_state(len(tokens_BT)) if state is None else state
        hidden: list[Tensor | None] = [None] * start + [hidden_BTD]
        after: State = {}
        for layer, block in enumerate(self.layers()[start:], start):
            hidden_BTD, after[_matrix(layer)] = block(hidden_BTD, carried[_matrix(layer)])
            hidden_BTD = edit(layer, hidden_BTD)
            hidden.append(hidden_BTD)
        logits_BTV = self.lm_head(self.model.norm(hidden_BTD))
        return Output(tuple(hidden), logits_BTV, after if below is None else None)

    @torch.no_grad()
    def below(self, tokens_BT: Tensor, layer: int) -> Below:
        """See `Network.below`; the layers above are not computed."""
        state = self.empty_state(len(tokens_BT))
        hidden_BTD = self.model.embeddings(tokens_BT)
        for lower, block in enumerate(self.layers()[: layer + 1]):
            hidden_BTD, _ = block(hidden_BTD, state[_matrix(lower)])
        return Below(layer, hidden_BTD)


_LAYER = re.compile(r"model\.layers\.(\d+)\.")


def _matrix(layer: int) -> str:
    """Under which name the state holds what a layer remembers."""
    return f"model.layers.{layer}.attn.matrix"


def _unedited(_layer: int, hidden_BTD: Tensor) -> Tensor:
    return hidden_BTD


def _expanded(settings: params.GLA, share: Literal["expand_k", "expand_v"]) -> int:
    """The width of queries and keys, or of values, over all heads."""
    exact = settings.width * getattr(settings, share)
    size = round(exact / settings.heads) * settings.heads
    if size == 0 or abs(exact - size) > 1e-6:
        raise UserError(
            f"gla: width {settings.width} × {share} {getattr(settings, share)} is {exact:g}, not a multiple of "
            f"heads {settings.heads}: change one of them."
        )
    return size


def _shape(state_dict: Mapping[str, Tensor], name: str, dimensions: int = 2) -> torch.Size:
    """The shape of a published tensor, or a UserError where it is missing or has another number of dimensions."""
    if name not in state_dict:
        tied = ", or tied=True where its config ties the embeddings" if name == "lm_head.weight" else ""
        raise UserError(f"{name!r} is missing: this is not a whole GLA file; download it again or take another{tied}.")
    shape = state_dict[name].shape
    if len(shape) != dimensions:
        raise _misshapen(name, shape, f"{dimensions} dimensions")
    return shape


def _misshapen(name: str, found: Sequence[int], expected: str) -> UserError:
    return UserError(
        f"{name!r} has the shape {list(found)}, not {expected}: it is no unchanged GLA file, or of another config."
    )
