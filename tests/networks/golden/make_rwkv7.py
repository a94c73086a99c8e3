"""What the PyPI package `rwkv` computes, for comparison with this project's RWKV-7.

    python tests/networks/golden/make_rwkv7.py                                 writes rwkv7.json beside this file
    python tests/networks/golden/make_rwkv7.py weights.pth tokens.json out.json

The second form writes the logits of given weights, whole sequence and step by step. It is meant to run in a process of
its own: the package is set by environment variables and changes global settings of torch.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

WIDTH, HEAD, LAYERS, VOCABULARY, FEEDFORWARD, RANK = 128, 64, 2, 24, 96, 8
TOKENS = [3, 17, 17, 0, 9, 21, 4, 11, 2, 2, 19, 8, 14, 5, 23, 1, 6, 13, 20, 7, 10, 22, 12, 16, 15, 18, 3, 17, 0]


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of a released file (no v0, v1, v2 in layer 0), with inner sizes of no official rule."""
    D, row = WIDTH, (1, 1, WIDTH)
    found: dict[str, tuple[int, ...]] = {"emb.weight": (VOCABULARY, D)}
    for layer in range(LAYERS):
        block = f"blocks.{layer}."
        for norm in ("ln0", "ln1", "ln2") if layer == 0 else ("ln1", "ln2"):
            found |= {f"{block}{norm}.weight": (D,), f"{block}{norm}.bias": (D,)}
        found |= {f"{block}att.x_{part}": row for part in "rwkvag"}
        for name, rank in {"w": RANK, "a": RANK + 1, "v": RANK + 2, "g": RANK + 3}.items():
            if name != "v" or layer > 0:
                found |= {f"{block}att.{name}1": (D, rank), f"{block}att.{name}2": (rank, D)}
            if name != "g" and (name != "v" or layer > 0):
                found[f"{block}att.{name}0"] = row
        found |= {f"{block}att.k_k": row, f"{block}att.k_a": row, f"{block}att.r_k": (D // HEAD, HEAD)}
        found |= {f"{block}att.{part}.weight": (D, D) for part in ("receptance", "key", "value", "output")}
        found |= {f"{block}att.ln_x.weight": (D,), f"{block}att.ln_x.bias": (D,), f"{block}ffn.x_k": row}
        found |= {f"{block}ffn.key.weight": (FEEDFORWARD, D), f"{block}ffn.value.weight": (D, FEEDFORWARD)}
    return found | {"ln_out.weight": (D,), "ln_out.bias": (D,), "head.weight": (VOCABULARY, D)}


def weights() -> dict[str, Tensor]:
    """Numbers for every tensor from its name and the raw bits of PCG64, which numpy promises never to change."""
    drawn = {}
    around_one = ("k_k", "k_a", "ln0.weight", "ln1.weight", "ln2.weight", "ln_x.weight", "ln_out.weight")
    for name, shape in shapes().items():
        bits = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
        spread = torch.from_numpy(bits / 2.0**63 - 1).reshape(shape)
        if len(shape) == 2 and not name.endswith("r_k"):
            spread = spread * 1.7 / shape[1 if "weight" in name else 0] ** 0.5
        elif name.endswith(around_one):
            spread = 1 + 0.5 * spread
        elif ".x_" in name:
            spread = 0.5 + 0.5 * spread
        drawn[name] = spread.float()
    return drawn


def official_logits(path: Path, tokens: list[int]) -> dict[str, list[list[float]]]:
    """Logits [T, V] by the package, from one pass over the sequence and from one call per token."""
    os.environ |= {"RWKV_V7_ON": "1", "RWKV_JIT_ON": "1", "RWKV_CUDA_ON": "0"}
    from rwkv.model import RWKV

    model = RWKV(model=str(path.with_suffix("")), strategy="cpu fp32")
    sequence, _ = model.forward(tokens, None, full_output=True)
    steps, state = [], None
    for token in tokens:
        logits, state = model.forward([token], state)
        steps.append(logits.tolist())
    return {"sequence": sequence.tolist(), "steps": steps}


def write_golden(path: Path) -> None:
    """The logits of `weights()` for TOKENS, to seven digits."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "weights.pth"
        torch.save(weights(), saved)
        logits = official_logits(saved, TOKENS)["sequence"]
    rows = [[float(f"{value:.7g}") for value in row] for row in logits]
    body = ",\n".join(f"    {json.dumps(row)}" for row in rows)
    made_by = json.dumps({"rwkv": version("rwkv"), "torch": version("torch").partition("+")[0]})
    path.write_text(f'{{\n  "made_by": {made_by},\n  "tokens": {TOKENS},\n  "logits": [\n{body}\n  ]\n}}\n')


if __name__ == "__main__":
    if len(sys.argv) == 1:
        write_golden(Path(__file__).with_name("rwkv7.json"))
    else:
        saved, tokens, out = (Path(argument) for argument in sys.argv[1:])
        out.write_text(json.dumps(official_logits(saved, json.loads(tokens.read_text()))))
