"""RWKV-7 "Goose": a recurrent network with a matrix-valued state, under the names of the published weights.

Source: arXiv 2503.14456. Blocks in `rwkv7_blocks.py`, their state in `delta_rule.py`, the start in `rwkv7_init.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Generator, Tensor, nn

from resonance import params
from resonance.errors import UserError
from resonance.networks.network import Below, Edit, Network, Output, State
from resonance.networks.rwkv7_blocks import Block, Sizes
from resonance.networks.rwkv7_init import initialise

STATE = ("att.last", "att.matrix", "ffn.last")
"""What a block carries from token to token."""

UNREAD = {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"}
"""In files of the training code, not in released ones; nothing reads them."""


class RWKV7(Network):
    """RWKV-7 with its own chunked time mixing.

    `hidden[0]` of an output is what block 0 reads: the embedding after `ln0`. The state holds, for each layer,
    `blocks.<layer>.att.last` and `.ffn.last` [B, D], the last input of both mixings, and `.att.matrix` [B, H, N, N].

    generator: the only source of random numbers; None leaves the weights on the meta device, to be loaded.
    sizes: inner sizes, by the official rule unless given.
    """

    recurrent = True

    def __init__(
        self, settings: params.RWKV7, vocabulary: int, generator: Generator | None, sizes: Sizes | None = None
    ) -> None:
        super().__init__()
        width, head_size = settings.width, settings.head_size
        if width % head_size:
            raise UserError(f"rwkv7: width {width} is not a multiple of head_size {head_size}: change one of them.")
        self.depth, self.width, self.vocabulary, self.head_size = settings.layers, width, vocabulary, head_size
        sizes = sizes or Sizes.official(width)
        with torch.device("meta"):
            self.emb = nn.Embedding(vocabulary, width)
            self.blocks = nn.ModuleList(
                Block(layer, width, head_size, settings.chunk, sizes) for layer in range(self.depth)
            )
            self.ln_out = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)
        if generator is not None:
            self.to_empty(device=generator.device)
            initialise(self, self.layers(), generator)

    def layers(self) -> list[Block]:
        """The blocks, from the embedding to the head."""
        return [cast(Block, block) for block in self.blocks]

    def compilable(self) -> list[Block]:
        """The blocks."""
        return self.layers()

    @classmethod
    def from_official(cls, state_dict: Mapping[str, Tensor], chunk: int = 32) -> RWKV7:
        """The network of a published file, in float32; all sizes are those of its tensors.

        Raises UserError, with its name, for a tensor that is missing, has another shape, or is not part of RWKV-7.
        """
        vocabulary, width = _shape(state_dict, "emb.weight")
        heads, head_size = _shape(state_dict, "blocks.0.att.r_k")
        if heads * head_size != width:
            raise _misshapen("blocks.0.att.r_k", [heads, head_size], f"heads × head size = {width}")
        depth = 1 + max(int(found[1]) for name in state_dict if (found := re.match(r"blocks\.(\d+)\.", name)))
        sizes = Sizes(
            decay=_shape(state_dict, "blocks.0.att.w1")[1],
            rate=_shape(state_dict, "blocks.0.att.a1")[1],
            value=_shape(state_dict, "blocks.1.att.v1")[1] if depth > 1 else 0,
            gate=_shape(state_dict, "blocks.0.att.g1")[1],
            feedforward=_shape(state_dict, "blocks.0.ffn.key.weight")[0],
        )
        settings = params.RWKV7(width=width, layers=depth, head_size=head_size, chunk=chunk)
        network = cls(settings, vocabulary, None, sizes)
        for name in UNREAD.intersection(state_dict):
            network.get_submodule("blocks.0.att").register_buffer(name[-2:], state_dict[name].to("meta"))

        expected = network.state_dict()
        for name, tensor in expected.items():
            if _shape(state_dict, name, tensor.ndim) != tensor.shape:
                raise _misshapen(name, state_dict[name].shape, str(list(tensor.shape)))
        for name in state_dict:
            if name not in expected:
                raise UserError(f"{name!r} is not a tensor of RWKV-7: the file holds another network or variant.")
        float32 = {name: tensor.detach().to(torch.float32, copy=True) for name, tensor in state_dict.items()}
        network.load_state_dict(float32, assign=True)
        return network

    def empty_state(self, batch: int) -> State:
        """The state before the first token of `batch` sequences: zeros."""
        weight, heads = self.emb.weight, self.width // self.head_size
        state = {}
        for layer in range(self.depth):
            state[f"blocks.{layer}.att.last"] = weight.new_zeros(batch, self.width)
            state[f"blocks.{layer}.att.matrix"] = weight.new_zeros(
                batch, heads, self.head_size, self.head_size, dtype=torch.promote_types(weight.dtype, torch.float32)
            )
            state[f"blocks.{layer}.ffn.last"] = weight.new_zeros(batch, self.width)
        return state

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
            start, first_BTD = 0, None
            hidden_BTD = self.embedded(tokens_BT)
        elif "first_value" in below.extra and 0 <= below.layer < self.depth:
            start, first_BTD = below.layer + 1, below.extra["first_value"]
            hidden_BTD = edit(below.layer, below.hidden_BTD)
        else:
            raise ValueError(f"`below` at layer {below.layer} was not made by this network of {self.depth} layers")

        carried = self.empty_state(len(tokens_BT)) if state is None else state
        hidden: list[Tensor | None] = [None] * start + [hidden_BTD]
        after: State = {}
        for layer, block in enumerate(self.layers()[start:], start):
            hidden_BTD, first_BTD, left = _passed(block, layer, hidden_BTD, first_BTD, carried)
            after |= left
            hidden_BTD = edit(layer, hidden_BTD)
            hidden.append(hidden_BTD)
        return Output(tuple(hidden), self.head(self.ln_out(hidden_BTD)), after if below is None else None)

    def embedded(self, tokens_BT: Tensor) -> Tensor:
        """What block 0 reads [B, T, D]."""
        hidden_BTD: Tensor = self.layers()[0].ln0(self.emb(tokens_BT))
        return hidden_BTD

    @torch.no_grad()
    def below(self, tokens_BT: Tensor, layer: int) -> Below:
        """See `Network.below`; `extra` holds the values of layer 0, which every layer mixes into its own."""
        state = self.empty_state(len(tokens_BT))
        first, *others = self.layers()[: layer + 1]
        hidden_BTD, first_BTD, _ = _passed(first, 0, self.embedded(tokens_BT), None, state)
        for lower, block in enumerate(others, 1):
            hidden_BTD, _, _ = _passed(block, lower, hidden_BTD, first_BTD, state)
        return Below(layer, hidden_BTD, {"first_value": first_BTD})


def _passed(
    block: Block, layer: int, hidden_BTD: Tensor, first_BTD: Tensor | None, state: State
) -> tuple[Tensor, Tensor, State]:
    """One block, with the state of the whole network before it and its own part after it."""
    own = {part: state[f"blocks.{layer}.{part}"] for part in STATE}
    hidden_BTD, first_BTD, own = block(hidden_BTD, first_BTD, own)
    return hidden_BTD, first_BTD, {f"blocks.{layer}.{part}": own[part] for part in STATE}


def _unedited(_layer: int, hidden_BTD: Tensor) -> Tensor:
    return hidden_BTD


def _shape(state_dict: Mapping[str, Tensor], name: str, dimensions: int = 2) -> torch.Size:
    """The shape of an official tensor, or a UserError where it is missing or has another number of dimensions."""
    if name not in state_dict:
        raise UserError(f"{name!r} is missing: this is not a whole RWKV-7 file; download it again or take another.")
    shape = state_dict[name].shape
    if len(shape) != dimensions:
        raise _misshapen(name, shape, f"{dimensions} dimensions")
    return shape


def _misshapen(name: str, found: Sequence[int], expected: str) -> UserError:
    return UserError(f"{name!r} has the shape {list(found)}, not {expected}: the file is not an unchanged RWKV-7 file.")
