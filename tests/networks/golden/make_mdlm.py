"""What the Llama of transformers computes when its attention mask lets every token see every other.

    python tests/networks/golden/make_mdlm.py          writes mdlm.json beside this file

Beside the logits, that file holds the masks and the order of filling with which evaluations are made: they must never
change, or old and new evaluations no longer compare.
"""

from __future__ import annotations

import json
import zlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaModel

from resonance.networks.masked_diffusion import filling_order, masked_sets
from resonance.networks.mdlm import SEED

WIDTH, HEADS, LAYERS, FEEDFORWARD, VOCABULARY = 32, 2, 2, 44, 20
TOKENS = [3, 17, 17, 0, 9, 20, 4, 11, 20, 20, 19, 8, 14, 5, 20, 1, 6, 13, 2, 7, 10, 20, 12, 16]
"""The mask is 20."""


def weights() -> dict[str, Tensor]:
    """Numbers for every tensor from its name and the raw bits of PCG64, which numpy promises never to change."""
    D, F = WIDTH, FEEDFORWARD
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (VOCABULARY + 1, D), "norm.weight": (D,)}
    for layer in range(LAYERS):
        block = f"layers.{layer}."
        shapes |= {f"{block}self_attn.{part}_proj.weight": (D, D) for part in "qkvo"}
        shapes |= {f"{block}mlp.{part}_proj.weight": (F, D) for part in ("gate", "up")}
        shapes |= {f"{block}mlp.down_proj.weight": (D, F)}
        shapes |= {f"{block}{norm}_layernorm.weight": (D,) for norm in ("input", "post_attention")}
    shapes["lm_head.weight"] = (VOCABULARY, D)
    drawn = {}
    for name, shape in shapes.items():
        bits = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
        spread = torch.from_numpy(bits / 2.0**63 - 1).reshape(shape)
        drawn[name] = (1 + 0.5 * spread if len(shape) == 1 else spread * 3 / shape[1] ** 0.5).float()
    return drawn


def both_ways(weights: dict[str, Tensor], heads: int, tokens_BT: Tensor) -> Tensor:
    """Scores [B, T, V] of every place: the body of a Llama with those weights, nothing hidden, and its head."""
    weights = dict(weights)
    head_VD = weights.pop("lm_head.weight")
    layers = len({name.split(".")[1] for name in weights if name.startswith("layers.")})
    config = LlamaConfig(
        vocab_size=len(weights["embed_tokens.weight"]),
        hidden_size=head_VD.shape[1],
        intermediate_size=len(weights["layers.0.mlp.up_proj.weight"]),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        attn_implementation="eager",
    )
    with torch.random.fork_rng(devices=[]):
        body = LlamaModel(config).to(head_VD.dtype).eval()
    body.load_state_dict(weights)
    B, T = tokens_BT.shape
    with torch.no_grad():
        seen = torch.zeros(B, 1, T, T, dtype=head_VD.dtype)
        hidden_BTD: Tensor = body(tokens_BT, attention_mask=seen, use_cache=False).last_hidden_state
    return hidden_BTD @ head_VD.T


def evaluation() -> dict[str, list[list[int]]]:
    """The masked places of the bound and the places that each step fills, for 11 tokens, 3 noise levels, 4 steps."""
    sets = masked_sets(3, 11, torch.Generator().manual_seed(SEED))
    order = filling_order(11, 4, torch.Generator().manual_seed(SEED))
    return {"sets": [row.nonzero()[:, 0].tolist() for row in sets], "order": [places.tolist() for places in order]}


if __name__ == "__main__":
    scores = both_ways(weights(), HEADS, torch.tensor([TOKENS]))[0]
    rows = ",\n".join(f"    {json.dumps([float(f'{value:.7g}') for value in row])}" for row in scores.tolist())
    made_by = json.dumps({"transformers": version("transformers"), "torch": version("torch").partition("+")[0]})
    chosen = "".join(f'  "{name}": {places},\n' for name, places in evaluation().items())
    Path(__file__).with_name("mdlm.json").write_text(
        f'{{\n  "made_by": {made_by},\n  "tokens": {TOKENS},\n{chosen}  "scores": [\n{rows}\n  ]\n}}\n'
    )
