"""The control: a Llama-style decoder (RMSNorm, rotary positions, SwiGLU, untied head) from a transformers config."""

from __future__ import annotations

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from resonance import params
from resonance.errors import UserError
from resonance.networks.causal_lm import CausalLM

STD = 0.02
"""Standard deviation of fresh matrices (GPT-2's and Llama's)."""


class Transformer(CausalLM):
    """A fresh transformer whose weights depend on `generator` alone."""

    def __init__(self, settings: params.Transformer, vocabulary: int, generator: torch.Generator) -> None:
        width, heads = settings.width, settings.heads
        if width % (2 * heads):
            raise UserError(
                f"transformer: width {width} is not an even multiple of heads {heads} (rotary positions turn pairs of "
                "channels): change one of them."
            )
        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=settings.feedforward,
            num_hidden_layers=settings.layers,
            num_attention_heads=heads,
            max_position_embeddings=65_536,
            tie_word_embeddings=False,
            attn_implementation="sdpa",  # type: ignore[call-arg]
        )
        with torch.random.fork_rng(devices=[]):
            super().__init__(LlamaForCausalLM(config))
        initialise(self.model, generator)


@torch.no_grad()
def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Matrices N(0, STD²), gains 1, everything else 0."""
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            parameter.normal_(0.0, STD, generator=generator)
        elif name.endswith("weight"):
            parameter.fill_(1.0)
        else:
            parameter.zero_()
