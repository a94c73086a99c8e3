"""Small models of several families of transformers, as they would lie on the hub."""

from __future__ import annotations

import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    OpenAIGPTConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

DEPTH = 3
WIDTH = 32
VOCABULARY = 300

ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 4,
    **ENDS,
}
GPT = {"vocab_size": VOCABULARY, "n_embd": WIDTH, "n_layer": DEPTH, "n_head": 4, "n_positions": 512, **ENDS}

FAMILIES: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**LLAMA),
    "qwen2": Qwen2Config(**LLAMA, num_key_value_heads=2),
    "qwen3": Qwen3Config(**LLAMA, num_key_value_heads=2, head_dim=8),
    "gpt-neox": GPTNeoXConfig(**LLAMA),
    "gpt2": GPT2Config(**GPT),
    "mamba": MambaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=DEPTH, state_size=8, time_step_rank=4, **ENDS
    ),
    "bloom": BloomConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, n_layer=DEPTH, n_head=4, **ENDS),
    "openai-gpt": OpenAIGPTConfig(**GPT),
}
"""Among them: bare hidden states and tuples and lists of them, tied and untied heads, learned, rotary and no positions,
attention with all and with fewer keys, a recurrent state, dropout, and one (openai-gpt) that remembers nothing."""

NORMS = {
    "llama": "model.norm",
    "qwen2": "model.norm",
    "qwen3": "model.norm",
    "gpt-neox": "gpt_neox.final_layer_norm",
    "gpt2": "transformer.ln_f",
    "mamba": "backbone.norm_f",
    "bloom": "transformer.ln_f",
}
"""Where what the last layer left is normalised before the head; openai-gpt does not."""


def small(family: str) -> PreTrainedModel:
    """A model with weights large enough that its predictions depend on all it has read."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(FAMILIES[family]).eval()
    larger = 3 if family == "mamba" else 8
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "A_log" not in name:
                parameter.mul_(larger)
    return model
