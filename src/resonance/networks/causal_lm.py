"""Any causal language model of transformers as a `Network`: its layers are tapped, its weights are untouched.

`output_hidden_states` is not used, because other libraries' hooks can silently empty it; instead the forward method of
every layer is replaced, on the instance, by one that records, edits or skips.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from resonance.networks.network import Below, Edit, Network, Output, State


class CausalLM(Network):
    """A transformers model: `depth` layers of width D over V tokens."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        config = model.config.get_text_config()
        self.depth, self.width = config.num_hidden_layers, config.hidden_size
        self.vocabulary = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
        self._hidden: list[Tensor | None] = []
        self._edit: Edit | None = None
        self._below: Below | None = None
        self._gives_tuple = False
        for index, layer in enumerate(decoder_layers(model, self.depth)):
            layer.forward = partial(self._tapped, index, layer.forward)

    def _tapped(self, index: int, layer: Callable[..., Any], hidden_BTD: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run one layer: record what it left, after the edit; skip it where the pass starts above it."""
        below = self._below
        if below is not None and index < below.layer:
            return (hidden_BTD,) if self._gives_tuple else hidden_BTD
        if not self._hidden:
            self._hidden = [None] * (index + 1) if below else [hidden_BTD]
        if below is not None and index == below.layer:
            result: Any = (below.hidden_BTD,) if self._gives_tuple else below.hidden_BTD
        else:
            result = layer(hidden_BTD, *args, **kwargs)
            self._gives_tuple = isinstance(result, tuple)
        left_BTD = result[0] if self._gives_tuple else result
        if self._edit is not None:
            left_BTD = self._edit(index, left_BTD)
        self._hidden.append(left_BTD)
        return (left_BTD, *result[1:]) if self._gives_tuple else left_BTD

    def _run(self, tokens_BT: Tensor, edit: Edit | None, below: Below | None, **kwargs: Any) -> Output:
        self._hidden, self._edit, self._below = [], edit, below
        try:
            logits_BTV = self.model(input_ids=tokens_BT, **kwargs).logits
            return Output(tuple(self._hidden), logits_BTV)
        finally:
            self._hidden, self._edit, self._below = [], None, None

    def forward(
        self,
        tokens_BT: Tensor,
        state: State | None = None,
        edit: Edit | None = None,
        below: Below | None = None,
    ) -> Output:
        """See `Network.forward`; there is no state."""
        if state is not None:
            raise ValueError("this network has no state to start from")
        return self._run(tokens_BT, edit, below, use_cache=False)

    @torch.no_grad()
    def generate(
        self,
        prompt_BT: Tensor,
        length: int,
        state: State | None = None,
        edit: Edit | None = None,
        following: Edit | None = None,
    ) -> Tensor:
        """See `Network.generate`; keys and values of the past are kept."""
        cache = DynamicCache(config=self.model.config)
        read_BT, written_BT = prompt_BT, []
        for _ in range(length):
            logits_BTV = self._run(read_BT, edit, None, past_key_values=cache, use_cache=True).logits_BTV
            read_BT, edit = logits_BTV[:, -1:].argmax(-1), following
            written_BT.append(read_BT)
        return torch.cat(written_BT, dim=1) if written_BT else prompt_BT[:, :0]


def decoder_layers(model: PreTrainedModel, depth: int) -> nn.ModuleList:
    """The list of `depth` blocks that every causal model of transformers holds somewhere."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise ValueError(f"{type(model).__name__} has no list of {depth} layers")
