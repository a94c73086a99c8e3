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
from transformers import PreTrainedModel

from resonance.errors import UserError
from resonance.networks.network import Below, Edit, Network, Output, State

MEMORIES = ("past_key_values", "cache_params", "state")
"""Under one of these names a model of transformers returns, and takes back, what it remembers of the tokens so far."""


class CausalLM(Network):
    """A transformers model: `depth` layers of width D over V tokens.

    Dropout stays off, in training too: it would draw from the global generator.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model.eval()
        config = model.config.get_text_config()
        self.depth, self.width = config.num_hidden_layers, config.hidden_size
        self.vocabulary = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
        self._hidden: list[Tensor | None] = []
        self._edit: Edit | None = None
        self._below: Below | None = None
        self._beside: tuple[None, ...] | None = None
        for index, layer in enumerate(decoder_layers(model, self.depth)):
            layer.forward = partial(self._tapped, index, layer.forward)

    def _tapped(self, index: int, layer: Callable[..., Any], hidden_BTD: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run one layer: record what it left, after the edit; skip it where the pass starts above it.

        Some layers return their hidden states alone, others in a tuple with what else they made.
        """
        below = self._below
        if not self._hidden:
            self._hidden = [None] * (below.layer + 1) if below else [hidden_BTD]
        if below is not None and index <= below.layer:
            left_BTD, beside = below.hidden_BTD, self._beside
        else:
            result = layer(hidden_BTD, *args, **kwargs)
            left_BTD, beside = (result, None) if isinstance(result, Tensor) else (result[0], tuple(result[1:]))
            self._beside = None if beside is None else (None,) * len(beside)
        if below is None or index >= below.layer:
            if self._edit is not None:
                left_BTD = self._edit(index, left_BTD)
            self._hidden.append(left_BTD)
        return left_BTD if beside is None else (left_BTD, *beside)

    def _run(
        self, tokens_BT: Tensor, edit: Edit | None, below: Below | None = None, **kwargs: Any
    ) -> tuple[Any, tuple[Tensor | None, ...]]:
        """What the model returns, and the hidden states that its layers left."""
        self._hidden, self._edit, self._below = [], edit, below
        try:
            return self.model(input_ids=tokens_BT, **kwargs), tuple(self._hidden)
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
        result, hidden = self._run(tokens_BT, edit, below, use_cache=False)
        return Output(hidden, result.logits)

    @torch.no_grad()
    def generate(
        self,
        prompt_BT: Tensor,
        length: int,
        state: State | None = None,
        edit: Edit | None = None,
        following: Edit | None = None,
    ) -> Tensor:
        """See `Network.generate`; a model that returns no memory of the past reads all of it again for each token."""
        if state is not None:
            raise ValueError("this network has no state to start from")
        whole = joined(edit, following, prompt_BT.shape[1])
        read_BT, written_BT = prompt_BT, [prompt_BT[:, :0]]
        past: dict[str, Any] = {}
        for _ in range(length):
            result, _ = self._run(read_BT, edit, use_cache=True, **past)
            past = {name: result[name] for name in MEMORIES if result.get(name) is not None}
            written_BT.append(result.logits[:, -1:].argmax(-1))
            if past:
                read_BT, edit = written_BT[-1], following
            else:
                read_BT, edit = torch.cat([prompt_BT, *written_BT], dim=1), whole
        return torch.cat(written_BT, dim=1)


def joined(edit: Edit | None, following: Edit | None, prompt: int) -> Edit:
    """`edit` on the first `prompt` tokens of a sequence, `following` on each token after them."""

    def apply(layer: int, hidden_BTD: Tensor) -> Tensor:
        parts = hidden_BTD.split([prompt, *[1] * (hidden_BTD.shape[1] - prompt)], dim=1)
        edits = [edit, *[following] * (len(parts) - 1)]
        return torch.cat([part if e is None else e(layer, part) for e, part in zip(edits, parts, strict=True)], dim=1)

    return apply


def decoder_layers(model: PreTrainedModel, depth: int) -> nn.ModuleList:
    """The one list of `depth` blocks that almost every causal model of transformers holds, or a UserError."""
    for root in (model.get_decoder(), model):  # some have nothing but an output matrix under the name of decoder
        lists = [m for m in root.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
        if lists and set(lists) <= set(lists[0].modules()):
            return lists[0]
    raise UserError(
        f"network.hub: {type(model).__name__} does not hold its {depth} layers in one list, so what they leave cannot "
        "be read: choose another model."
    )
