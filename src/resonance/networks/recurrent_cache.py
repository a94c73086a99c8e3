"""What a recurrent model of transformers remembers, as a state: named tensors that nothing changes in place.

A model is recurrent here if all that it returns to go on from are tensors whose sizes do not depend on how many tokens
it has read, and if several tokens that are read from them come out as in one sequence. Both are tried on four tokens.
No list of architectures is kept, only the three forms in which transformers holds such tensors.

Further shape suffixes: E inner width, K kernel of a convolution, A width of RWKV's attention.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DummyLayer, LinearAttentionLayer

from resonance.networks.network import State

MEMORIES = ("past_key_values", "cache_params", "state")
"""Under one of these names a model of transformers returns, and takes back, what it remembers of the tokens so far."""


class Remembered(ABC):
    """A form in which a model remembers; made from what it returned (`found`) under `name` after a few tokens."""

    first: ClassVar[dict[str, float]] = {}
    """What a part of the state holds before the first token, by the last word of its name, where that is not 0."""

    def __init__(self, config: Any, name: str, found: Any) -> None:
        self.config, self.name = config, name
        self.like = self.state(found)

    @staticmethod
    @abstractmethod
    def fits(found: Any) -> bool:
        """Whether `found` has this form and holds nothing else."""

    @staticmethod
    @abstractmethod
    def state(found: Any) -> State:
        """The tensors in it."""

    @abstractmethod
    def holding(self, state: State, length: int) -> Any:
        """A new one that holds `state`, for a model that reads `length` tokens; `state` stays as it is."""

    def before(self, tokens_BT: Tensor, state: State | None, device: torch.device | None) -> Any:
        """What the model is given together with `tokens_BT`, to read them from `state` (None: the empty one).

        device: where all of it lies; None: each tensor where the model left its like.
        """
        batch, length = tokens_BT.shape
        state = self.empty(batch, device) if state is None else state
        return self.holding({name: state[name].to(device or like.device) for name, like in self.like.items()}, length)

    def empty(self, batch: int, device: torch.device | None) -> State:
        """The state before the first token; `device` as above."""
        return {
            name: like.new_full(
                (batch, *like.shape[1:]), self.first.get(name.rpartition(".")[2], 0.0), device=device or like.device
            )
            for name, like in self.like.items()
        }


class Linear(Remembered):
    """transformers' own cache, where all its layers are linear: Mamba, Mamba-2, FalconMamba and others.

    `layers.<l>.conv` [B, E, K] are the last inputs of a convolution, `layers.<l>.ssm` is the state itself.
    """

    @staticmethod
    def fits(found: Any) -> bool:
        """See `Remembered.fits`."""
        kinds = {type(layer) for layer in getattr(found, "layers", ())} if isinstance(found, Cache) else set()
        return LinearAttentionLayer in kinds and kinds <= {LinearAttentionLayer, DummyLayer}

    @staticmethod
    def state(found: Any) -> State:
        """See `Remembered.state`."""
        return {
            f"layers.{index}.{part}{number or ''}": tensor
            for index, layer in enumerate(found.layers)
            if isinstance(layer, LinearAttentionLayer)
            for part, tensors in (("conv", layer.conv_states), ("ssm", layer.recurrent_states))
            for number, tensor in tensors.items()
            if tensor is not None
        }

    def holding(self, state: State, length: int) -> DynamicCache:
        """See `Remembered.holding`; the cache copies what it is given."""
        cache = DynamicCache(config=self.config)
        for index, layer in enumerate(cache.layers):
            if isinstance(layer, LinearAttentionLayer):
                for number in range(layer.number_of_states):
                    conv, ssm = (state.get(f"layers.{index}.{part}{number or ''}") for part in ("conv", "ssm"))
                    if conv is not None:
                        layer.update_conv_state(conv, number)
                    if ssm is not None:
                        layer.update_recurrent_state(ssm, number)
        return cache

    def before(self, tokens_BT: Tensor, state: State | None, device: torch.device | None) -> DynamicCache:
        """See `Remembered.before`; with an empty cache a model goes its usual way."""
        return DynamicCache(config=self.config) if state is None else super().before(tokens_BT, state, device)


class Column:
    """Stands for one of the tensors [B, D, L] that an RWKV-4 reads and writes at `[:, :, layer]`.

    It holds L tensors [B, D], and what is written takes the place of one: none changes that a gradient may need. Where
    the model reads one token it adds the last inputs, as they are, to [B, 1, D], which is right for B = 1 only; for
    these `single` is True, and they are given as [B, 1, D].
    """

    def __init__(self, layers: Sequence[Tensor], single: bool) -> None:
        self.layers, self.single = list(layers), single

    def __getitem__(self, place: tuple[slice, slice, int]) -> Tensor:
        held_BD = self.layers[place[2]]
        return held_BD[:, None] if self.single else held_BD

    def __setitem__(self, place: tuple[slice, slice, int], value_BD: Tensor) -> None:
        self.layers[place[2]] = value_BD


class Rwkv(Remembered):
    """RWKV-4's list of five tensors.

    `layers.<l>.ffn_last` and `.att_last` [B, D] are the last inputs of both mixings; `.numerator` and `.denominator`
    [B, A] are those of the weighted mean of values, both to be multiplied by exp(`.exponent`).
    """

    parts = ("ffn_last", "att_last", "numerator", "denominator", "exponent")
    first: ClassVar[dict[str, float]] = {"exponent": -1e30}

    @staticmethod
    def fits(found: Any) -> bool:
        """See `Remembered.fits`."""
        return isinstance(found, list) and [getattr(part, "ndim", 0) for part in found] == [3] * len(Rwkv.parts)

    @staticmethod
    def state(found: Any) -> State:
        """See `Remembered.state`."""
        layers = [part.layers if isinstance(part, Column) else part.unbind(-1) for part in found]
        return {
            f"layers.{index}.{name}": tensor
            for index, tensors in enumerate(zip(*layers, strict=True))
            for name, tensor in zip(Rwkv.parts, tensors, strict=True)
        }

    def holding(self, state: State, length: int) -> list[Column]:
        """See `Remembered.holding`."""
        layers = range(len(state) // len(self.parts))
        return [
            Column([state[f"layers.{index}.{name}"] for index in layers], length == 1 and name.endswith("last"))
            for name in self.parts
        ]


class Slot:
    """Stands for a tensor of xLSTM's cache where the model writes into it: the new one takes its place."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def copy_(self, tensor: Tensor) -> None:
        """As of a tensor."""
        self.tensor = tensor.to(self.tensor.dtype)


class Slots:
    """Stands for the three tensors of one layer: a block goes through them to read, the model picks one to write."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.slots = [Slot(tensor) for tensor in tensors]

    def __iter__(self) -> Iterator[Tensor]:
        return (slot.tensor for slot in self.slots)

    def __getitem__(self, number: int) -> Slot:
        return self.slots[number]

    def __len__(self) -> int:
        return len(self.slots)


class Xlstm(Remembered):
    """xLSTM's cache: three tensors per layer.

    `layers.<l>.matrix` [B, H, N, M] and `.normalizer` [B, H, N], both to be multiplied by exp(`.exponent`) [B, H, 1].
    """

    parts = ("matrix", "normalizer", "exponent")

    @staticmethod
    def fits(found: Any) -> bool:
        """See `Remembered.fits`; its count of tokens is never read."""
        return isinstance(getattr(found, "rnn_state", None), dict)

    @staticmethod
    def state(found: Any) -> State:
        """See `Remembered.state`."""
        return {
            f"layers.{index}.{name}": tensor
            for index, tensors in found.rnn_state.items()
            for name, tensor in zip(Xlstm.parts, tensors, strict=True)
        }

    def holding(self, state: State, length: int) -> SimpleNamespace:
        """See `Remembered.holding`."""
        layers = range(len(state) // len(self.parts))
        held = {index: Slots([state[f"layers.{index}.{name}"] for name in self.parts]) for index in layers}
        return SimpleNamespace(rnn_state=held, seqlen_offset=0)


FORMS = (Linear, Rwkv, Xlstm)


@torch.no_grad()
def remembered_by(model: PreTrainedModel) -> Remembered | None:
    """How a recurrent model remembers, None for any other; for this it reads four tokens, in one and in two parts."""
    device = next(p.device for p in model.parameters() if p.device.type != "meta")  # meta: what lies on a disk
    middle = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings // 2
    tokens_BT = middle + torch.arange(4, device=device)[None]
    result = model(input_ids=tokens_BT[:, :2], use_cache=True)
    for name in MEMORIES:
        for form in FORMS:
            if form.fits(found := result.get(name)):
                remembered = form(model.config, name, found)
                return remembered if remembered.like and goes_on(model, remembered, tokens_BT) else None
    return None


def goes_on(model: PreTrainedModel, remembered: Remembered, tokens_BT: Tensor) -> bool:
    """Whether two tokens and two more, from the state that the first two left, come out as the four at once do."""

    def read(tokens_BT: Tensor, state: State | None) -> tuple[Tensor, State]:
        held = remembered.before(tokens_BT, state, None)
        logits_BTV = model(input_ids=tokens_BT, use_cache=True, **{remembered.name: held}).logits
        return logits_BTV, remembered.state(held)

    whole_BTV, whole = read(tokens_BT, None)
    _, state = read(tokens_BT[:, :2], None)
    rest_BTV, state = read(tokens_BT[:, 2:], state)
    if {name: like.shape for name, like in remembered.like.items()} != {name: t.shape for name, t in whole.items()}:
        return False
    pairs = [(rest_BTV, whole_BTV[:, 2:]), *((state[name], tensor) for name, tensor in whole.items())]
    share = max(1e-3, 16 * torch.finfo(model.dtype).eps)
    return all(bool((one - other).norm() <= share * other.norm()) for one, other in pairs)
