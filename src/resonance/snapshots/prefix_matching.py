"""How much each head of attention looks behind the last occurrence of a token, where one would see how it went on."""

from __future__ import annotations

import torch
from torch import Tensor

from resonance.networks.causal_lm import CausalLM
from resonance.networks.network import Edit, Network

RECORDED = "attentions"
"""The name under which a model of transformers keeps its attention, where it can."""


def attends(network: Network) -> bool:
    """Whether the weights of every layer's attention can be had: not of networks with a state, some layers of which
    have none, and not of models that do not say how they are recorded."""
    if not isinstance(network, CausalLM) or network.recurrent:
        return False
    return RECORDED in (getattr(type(network.model), "_can_record_outputs", None) or {})


@torch.no_grad()
def prefix_matching(network: CausalLM, tokens_BT: Tensor, half: int, edit: Edit | None = None) -> list[list[float]]:
    """Per layer and head: attention from the second half to the token behind the previous occurrence.

    Mean over rows and places (prefix-matching score of Olsson et al. 2022, arXiv 2209.11895). Attention that is spread
    evenly over what may be seen has about 1.4 / T.

    tokens_BT: rows that end with the same `half` tokens twice. edit: of the hidden states.
    """
    model, length = network.model, tokens_BT.shape[1]
    fused = model.config._attn_implementation
    model.set_attn_implementation("eager")  # fused kernels keep no weights
    try:
        found, _ = network._run(tokens_BT, edit, use_cache=False, output_attentions=True)
    finally:
        model.set_attn_implementation(fused)
    places = torch.arange(length - half, length, device=tokens_BT.device)
    seen = [layer_BHTT.float()[:, :, places.to(layer_BHTT.device)] for layer_BHTT in found.attentions]
    asked_T1 = (places - half + 1)[:, None]
    return [
        each_BHNT.gather(3, asked_T1.to(each_BHNT.device).expand(*each_BHNT.shape[:3], 1)).mean((0, 2, 3)).tolist()
        for each_BHNT in seen
    ]
