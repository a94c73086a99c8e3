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
from resonance.networks.recurrent_cache import MEMORIES, Remembered


class CausalLM(Network):
    """A transformers model: `depth` layers of width D over V tokens.

    Dropout stays off, in training too: it would draw from the global generator.
    remembered: how a recurrent model remembers; with it there is a state.
    """

    placed = False
    """True where the parts of the model lie where they were put: a state lies beside them."""

    def __init__(self, model: PreTrainedModel, remembered: Remembered | None = None) -> None:
        super().__init__()
        self.model = model.eval()
        self.remembered, self.recurrent = remembered, remembered is not None
        self.longest = longest(model)
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

    def empty_state(self, batch: int) -> State:
        """The state before the first token of `batch` sequences."""
        if self.remembered is None:
            raise ValueError("this network has no state")
        return self.remembered.empty(batch, None if self.placed else next(self.parameters()).device)

    def forward(
        self,
        tokens_BT: Tensor,
        state: State | None = None,
        edit: Edit | None = None,
        below: Below | None = None,
    ) -> Output:
        """See `Network.forward`. A pass that is given `below` has no state, neither before nor after."""
        if state is not None and self.remembered is None:
            raise ValueError("this network has no state to start from")
        if state is not None and below is not None:
            raise ValueError("what lies below is not fixed where a state is carried: give `state` or `below`, not both")
        self._fits(tokens_BT.shape[1])
        if self.remembered is None or below is not None:
            result, hidden = self._run(tokens_BT, edit, below, use_cache=False)
            return Output(hidden, result.logits)
        held = self.remembered.before(tokens_BT, state, None if self.placed else tokens_BT.device)
        result, hidden = self._run(tokens_BT, edit, use_cache=True, **{self.remembered.name: held})
        after = {  # copies: many a part is a view of all tokens, and would keep them in memory
            name: part.clone(memory_format=torch.contiguous_format)
            for name, part in self.remembered.state(held).items()
        }
        return Output(hidden, result.logits, after)

    def _fits(self, length: int) -> None:
        """A UserError where a sequence is longer than what the model has positions for."""
        if self.longest is not None and length > self.longest:
            raise UserError(
                f"A sequence of {length} tokens: {type(self.model).__name__} has positions for {self.longest}. Set "
                "text.context (with memory: context, the sum of text.context and train.nothing.window) to no more, or "
                "choose another model."
            )

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
        if self.recurrent:
            return super().generate(prompt_BT, length, state, edit, following)
        if state is not None:
            raise ValueError("this network has no state to start from")
        self._fits(prompt_BT.shape[1] + max(length - 1, 0))
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


def longest(model: PreTrainedModel) -> int | None:
    """The most tokens for which the model has positions, where these are rows of a table; None: no table, no limit.

    Some tables have up to two rows more than there are positions. RoBERTa's relatives have fewer positions than rows:
    theirs start after the row of the padding token.
    """
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    words = model.get_input_embeddings()
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding) and m is not words]
    rows = [table.num_embeddings for table in tables] + [len(buffer) for buffer in model.buffers() if buffer.ndim == 2]
    if limit is None or not any(limit <= count <= limit + 2 for count in rows):
        return None
    unused = [
        table.padding_idx + 1 for table in tables if table.num_embeddings == limit and table.padding_idx is not None
    ]
    return int(limit) - max(unused, default=0)
