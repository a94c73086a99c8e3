"""A transformer with test-time memory: in some layers TTT-Linear stands in the place of attention.

The fast weights of those layers are trained while the network reads, and are what is carried from one sequence to the
next. Sources: arXiv 2407.04620 (`ttt.py`, `memory_blocks.py`); concepts that are read back in: `soft_tokens.py`.
"""

from __future__ import annotations

from typing import cast, get_args

import torch
from torch import Generator, Tensor, nn

from resonance import params
from resonance.errors import UserError
from resonance.networks.memory_blocks import EPS, STD, Attention, Block, TTTLinear
from resonance.networks.network import Below, Edit, Network, Output, State
from resonance.networks.soft_tokens import Places, SoftTokens
from resonance.text.concepts import concept_graph
from resonance.text.prompt import separator
from resonance.text.tokens import Tokens

SEPARATORS = sorted({separator(way, marker) for way in params.DIRECTIONS for marker in get_args(params.Marker)})
"""Names of the markers between input and target, after which soft tokens stand."""


class Memory(Network):
    """Attention and TTT-Linear memories under one stream, with a head of its own.

    The state holds, for each layer with attention, `blocks.<layer>.keys` and `.values` [B, H, tokens, F] of the
    sequence so far; for each with a memory `.weights` [B, H, F + 1, F], the fast weights at the start of a block, and
    `.keys` and `.steps` [B, H, J, F] of the J tokens of a block that is not full yet. `between` leaves only weights.

    Soft tokens are seen by nobody but the layers: outputs, edits and hidden states have a place per token, and the
    place of a separator is that of the last soft token after it.
    """

    recurrent = True

    def __init__(self, settings: params.Memory, vocabulary: int, generator: Generator) -> None:
        super().__init__()
        width, heads, layers = settings.width, settings.heads, settings.layers
        if width % (2 * heads):
            raise UserError(
                f"memory: width {width} is not an even multiple of heads {heads} (rotary positions turn pairs of "
                "channels): change one of them."
            )
        if max(settings.memories) >= layers:
            raise UserError(
                f"memory: memories names layer {max(settings.memories)}, but with layers: {layers} they are 0 to "
                f"{layers - 1}: change one of them."
            )
        self.depth, self.width, self.vocabulary = layers, width, vocabulary
        with torch.device("meta"):
            self.emb = nn.Embedding(vocabulary, width)
            self.blocks = nn.ModuleList(
                Block(
                    TTTLinear(width, heads, settings.block, settings.inner_rate)
                    if layer in settings.memories
                    else Attention(width, heads),
                    width,
                    settings.feedforward,
                )
                for layer in range(layers)
            )
            self.norm = nn.RMSNorm(width, eps=EPS)
            self.head = nn.Linear(width, vocabulary, bias=False)
            self.soft = SoftTokens(settings.concepts, width) if settings.concepts else None
        self.to_empty(device=generator.device)
        initialise(self, generator)

    def layers(self) -> list[Block]:
        """The blocks, from the embedding to the head."""
        return [cast(Block, block) for block in self.blocks]

    def meet(self, tokens: Tokens) -> None:
        """See `Network.meet`: find the concepts of the pair, where soft tokens are asked for."""
        if self.soft is not None:
            self.soft.meet(concept_graph(tokens), [tokens.markers[name] for name in SEPARATORS])

    def empty_state(self, batch: int) -> State:
        """The state before the first token of `batch` sequences: the learned fast weights, and no past."""
        return {
            f"blocks.{layer}.{part}": tensor
            for layer, block in enumerate(self.layers())
            for part, tensor in block.mixing.empty(batch).items()
        }

    def between(self, state: State) -> State:
        """See `Network.between`: the fast weights as they are after the last token; no key, no value, a new block."""
        return {
            f"blocks.{layer}.{part}": tensor
            for layer, block in enumerate(self.layers())
            for part, tensor in block.mixing.between(_own(block, layer, state)).items()
        }

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        """See `Network.forward`; T >= 1.

        A pass that is given `below` has no state, neither before nor after: the lower layers' part is not computed.
        """
        if below is not None and state is not None:
            raise ValueError("what lies below is not fixed where a state is carried: give `state` or `below`, not both")
        places = None if self.soft is None else self.soft.places(tokens_BT)
        if below is None:
            start = 0
            x_BSD = self.embedded(tokens_BT, places)
            read_BTD = x_BSD if places is None else places.taken(x_BSD)
        elif 0 <= below.layer < self.depth and ("places" in below.extra) == (places is not None):
            start = below.layer + 1
            x_BSD, read_BTD = _edited(edit, below.layer, below.extra.get("places", below.hidden_BTD), places)
        else:
            raise ValueError(f"`below` at layer {below.layer} was not made by this network of {self.depth} layers")

        carried = self.empty_state(len(tokens_BT)) if state is None else state
        hidden: list[Tensor | None] = [None] * start + [read_BTD]
        after: State = {}
        for layer, block in enumerate(self.layers()[start:], start):
            x_BSD, left = block(x_BSD, _own(block, layer, carried))
            after |= {f"blocks.{layer}.{part}": tensor for part, tensor in left.items()}
            x_BSD, read_BTD = _edited(edit, layer, x_BSD, places)
            hidden.append(read_BTD)
        return Output(tuple(hidden), self.head(self.norm(read_BTD)), after if below is None else None)

    def embedded(self, tokens_BT: Tensor, places: Places | None) -> Tensor:
        """What block 0 reads, soft tokens included [B, S, D]."""
        embedded_BTD: Tensor = self.emb(tokens_BT)
        if places is None or self.soft is None:
            return embedded_BTD
        return places.inserted(embedded_BTD, self.soft(places, self.emb))

    @torch.no_grad()
    def below(self, tokens_BT: Tensor, layer: int) -> Below:
        """See `Network.below`; `extra` holds the hidden states of all places where there are soft tokens."""
        places = None if self.soft is None else self.soft.places(tokens_BT)
        state = self.empty_state(len(tokens_BT))
        x_BSD = self.embedded(tokens_BT, places)
        for number, block in enumerate(self.layers()[: layer + 1]):
            x_BSD, _ = block(x_BSD, _own(block, number, state))
        if places is None:
            return Below(layer, x_BSD)
        return Below(layer, places.taken(x_BSD), {"places": x_BSD})


def _own(block: Block, layer: int, state: State) -> State:
    """The part of a network's state that is one layer's."""
    return {part: state[f"blocks.{layer}.{part}"] for part in block.mixing.parts}


def _edited(edit: Edit | None, layer: int, x_BSD: Tensor, places: Places | None) -> tuple[Tensor, Tensor]:
    """What a layer left after its edit: (of all places [B, S, D], of the tokens [B, T, D])."""
    read_BTD = x_BSD if places is None else places.taken(x_BSD)
    if edit is None:
        return x_BSD, read_BTD
    read_BTD = edit(layer, read_BTD)
    return (read_BTD if places is None else places.put(x_BSD, read_BTD)), read_BTD


@torch.no_grad()
def initialise(network: nn.Module, generator: Generator) -> None:
    """Matrices N(0, STD²), gains 1, offsets 0; the rest of a memory and of the soft tokens as they say themselves."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, 0.0, STD, generator=generator)
        elif isinstance(module, (nn.RMSNorm, nn.LayerNorm)):
            module.reset_parameters()
    for module in network.modules():
        if isinstance(module, TTTLinear):
            module.reset(generator)
        elif isinstance(module, SoftTokens):
            module.reset()
