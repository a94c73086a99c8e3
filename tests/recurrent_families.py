"""Small models of the recurrent families of transformers."""

from __future__ import annotations

import torch
from transformers import (
    AutoModelForCausalLM,
    FalconMambaConfig,
    Mamba2Config,
    MambaConfig,
    PretrainedConfig,
    PreTrainedModel,
    RwkvConfig,
    xLSTMConfig,
)

DEPTH = 3
VOCABULARY = 300

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": DEPTH,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}

RECURRENT: dict[str, PretrainedConfig] = {
    "mamba": MambaConfig(**SIZES, state_size=8, time_step_rank=4),
    "falcon-mamba": FalconMambaConfig(**SIZES, state_size=8, time_step_rank=4),
    "mamba2": Mamba2Config(**SIZES, state_size=8, num_heads=8, head_dim=8, n_groups=2, chunk_size=8),
    "rwkv": RwkvConfig(**SIZES, attention_hidden_size=32, rescale_every=2),
    "xlstm": xLSTMConfig(**{**SIZES, "hidden_size": 128}, num_heads=4, chunk_size=8),
}
"""xLSTM's config rounds sizes of heads to multiples of 64 where its layers do not, hence its width."""


def small(family: str) -> PreTrainedModel:
    """A model with weights large enough that its predictions depend on all it has read."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(RECURRENT[family]).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not parameter.any():  # xLSTM begins with feedforward blocks that do nothing
                    parameter.normal_(0.0, 0.1)
                elif parameter.ndim > 1 and "A_log" not in name:
                    parameter.mul_(2)
    return model
