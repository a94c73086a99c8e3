"""Numbers to compare this project's GLA with: a network written out once more, and the reference rule of fla.

    python tests/networks/golden/make_gla.py    writes gla.json beside this file; needs fla-core (no Triton, no GPU)

The network here is numpy in float64, token by token and head by head. The rule is one file of fla-core,
`ops/gla/naive.py`, read alone because importing the package needs Triton.
"""

from __future__ import annotations

import importlib.util
import json
import runpy
import zlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

WIDTH, HEADS, KEY, VALUE, LAYERS, VOCABULARY, FEEDFORWARD, RANK = 48, 3, 24, 36, 2, 24, 40, 5
TOKENS = [3, 17, 17, 0, 9, 21, 4, 11, 2, 2, 19, 8, 14, 5, 23, 1, 6, 13, 20, 7, 10, 22, 12, 16, 15, 18, 3, 17, 0]
EPS, TAU = 1e-6, 16


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file, with inner sizes of no default."""
    D = WIDTH
    found: dict[str, tuple[int, ...]] = {"model.embeddings.weight": (VOCABULARY, D)}
    for layer in range(LAYERS):
        block = f"model.layers.{layer}."
        found |= {f"{block}attn_norm.weight": (D,), f"{block}mlp_norm.weight": (D,)}
        found |= {f"{block}attn.{part}_proj.weight": (KEY, D) for part in "qk"}
        found |= {f"{block}attn.{part}_proj.weight": (VALUE, D) for part in "vg"}
        found |= {f"{block}attn.gk_proj.0.weight": (RANK, D), f"{block}attn.gk_proj.1.weight": (KEY, RANK)}
        found |= {f"{block}attn.gk_proj.1.bias": (KEY,), f"{block}attn.g_norm_swish_gate.weight": (VALUE // HEADS,)}
        found |= {f"{block}attn.o_proj.weight": (D, VALUE)}
        found |= {f"{block}mlp.{part}_proj.weight": (FEEDFORWARD, D) for part in ("gate", "up")}
        found |= {f"{block}mlp.down_proj.weight": (D, FEEDFORWARD)}
    return found | {"model.norm.weight": (D,), "lm_head.weight": (VOCABULARY, D)}


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers in [-1, 1), float64, from a name and the raw bits of PCG64, which numpy promises never to change."""
    bits = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
    return torch.from_numpy(bits / 2.0**63 - 1).reshape(shape)


def weights() -> dict[str, Tensor]:
    """float32 numbers for every tensor: norms about 1, gate biases up to ±3, matrices that keep sizes about 1."""
    found = {}
    for name, shape in shapes().items():
        spread = drawn(name, shape)
        if name.endswith("bias"):
            spread = 3 * spread
        elif len(shape) == 1:
            spread = 1 + 0.5 * spread
        else:
            spread = spread * 1.7 / shape[1] ** 0.5
        found[name] = spread.float()
    return found


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def rms(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + EPS)


def attention(x: np.ndarray, p: Mapping[str, np.ndarray], heads: int, mistake: str = "") -> np.ndarray:
    """One layer's attention over x [T, D], by the book or with one of the usual mistakes made on purpose."""
    T, K, V = len(x), len(p["q_proj.weight"]) // heads, len(p["v_proj.weight"]) // heads
    bias = 0 if mistake == "no bias in the gate" else p["gk_proj.1.bias"]
    out = np.zeros((T, heads, V))
    state = np.zeros((heads, K, V))
    for t in range(T):
        q, k, v = (p[f"{part}_proj.weight"] @ x[t] for part in "qkv")
        a = sigmoid(p["gk_proj.1.weight"] @ (p["gk_proj.0.weight"] @ x[t]) + bias)
        a = a if mistake == "no temperature" else a ** (1 / TAU)
        if mistake == "gate in place of its complement":
            k = k * (1 - a)
        for h in range(heads):
            rows, columns = slice(h * K, (h + 1) * K), slice(h * V, (h + 1) * V)
            if mistake == "heads interleaved":
                rows, columns = slice(h, None, heads), slice(h, None, heads)
            forget, write = np.diag(a[rows]), np.outer(k[rows], v[columns])
            if mistake == "one gate per head":
                forget = np.eye(K) * a[rows].mean()
            if mistake == "writes before it forgets":
                state[h] = forget @ (state[h] + write)
            elif mistake == "reads before it writes":
                out[t, h] = (q[rows] / np.sqrt(K)) @ (forget @ state[h])
                state[h] = forget @ state[h] + write
                continue
            else:
                state[h] = forget @ state[h] + write
            out[t, h] = (q[rows] / np.sqrt(K)) @ state[h]
    gate = (x @ p["g_proj.weight"].T).reshape(T, heads, V)
    gate = sigmoid(gate) if mistake == "sigmoid in place of swish" else gate * sigmoid(gate)
    gate = np.ones_like(gate) if mistake == "no output gate" else gate
    if mistake == "LayerNorm":
        out = out - out.mean(-1, keepdims=True)
    weight = p["g_norm_swish_gate.weight"]
    if mistake == "norm over all heads":
        y = rms(out.reshape(T, -1)).reshape(out.shape) * weight * gate
    elif mistake == "norm after the gate":
        y = rms(out * gate) * weight
    else:
        y = rms(out) * weight * gate
    return y.reshape(T, -1) @ p["o_proj.weight"].T


def logits(named: Mapping[str, Tensor], tokens: list[int], heads: int) -> np.ndarray:
    """What a network of these weights says of every next token, [T, V]."""
    p = {name: tensor.double().numpy() for name, tensor in named.items()}
    x = p["model.embeddings.weight"][tokens]
    for layer in range(sum(name.endswith("attn_norm.weight") for name in p)):
        block = f"model.layers.{layer}."
        own = {name.removeprefix(f"{block}attn."): value for name, value in p.items() if name.startswith(block)}
        x = x + attention(rms(x) * p[f"{block}attn_norm.weight"], own, heads)
        n = rms(x) * p[f"{block}mlp_norm.weight"]
        gate, up = n @ p[f"{block}mlp.gate_proj.weight"].T, n @ p[f"{block}mlp.up_proj.weight"].T
        x = x + (gate * sigmoid(gate) * up) @ p[f"{block}mlp.down_proj.weight"].T
    return (rms(x) * p["model.norm.weight"]) @ p["lm_head.weight"].T


def rule_inputs(B: int = 1, T: int = 11, H: int = 2, K: int = 4, V: int = 3) -> dict[str, Tensor]:
    """q, k, v, the logarithm of the gate and a state for the rule alone, float32; gates from almost 1 to e^-20."""
    made = {name: drawn(name, (B, T, H, K)) for name in ("q", "k", "gate")}
    made |= {"v": drawn("v", (B, T, H, V)), "state": drawn("state", (B, H, K, V))}
    made["gate"] = -20 * made["gate"].abs() ** 6
    return {name: made[name].float().requires_grad_() for name in ("q", "k", "v", "gate", "state")}


def fla_rule() -> Callable[..., tuple[Tensor, Tensor]]:
    """`naive_recurrent_gla` from its file, without importing the package."""
    package = importlib.util.find_spec("fla")
    assert package is not None, "pip install --no-deps fla-core"
    path = Path(next(iter(package.submodule_search_locations or ()))) / "ops/gla/naive.py"
    return runpy.run_path(str(path))["naive_recurrent_gla"]  # type: ignore[no-any-return]


def by_rule(rule: Callable[..., tuple[Tensor, Tensor]], inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Output and state of a rule (q, k, v, log gate, state), and the gradients of one weighted sum of both."""
    o, state = rule(*inputs.values())
    loss = (o * drawn("weights of o", tuple(o.shape))).sum() + (state * drawn("weights of s", tuple(state.shape))).sum()
    gradients = torch.autograd.grad(loss, list(inputs.values()))
    return {"o": o, "after": state} | {f"d {name}": found for name, found in zip(inputs, gradients, strict=True)}


def by_fla(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As above, by fla's reference."""
    rule = fla_rule()
    return by_rule(lambda q, k, v, g, state: rule(q, k, v, g, initial_state=state, output_final_state=True), inputs)


def rounded(values: Any) -> Any:
    """Nested lists with seven digits."""
    return [rounded(value) for value in values] if isinstance(values, list) else float(f"{values:.7g}")


def write_golden(path: Path) -> None:
    """Logits of `weights()` for TOKENS, and what fla's rule makes of `rule_inputs()`, to seven digits."""
    golden = {
        "made_by": {name: version(name).partition("+")[0] for name in ("fla-core", "numpy", "torch")},
        "tokens": TOKENS,
        "rule": {name: rounded(tensor.tolist()) for name, tensor in by_fla(rule_inputs()).items()},
        "logits": rounded(logits(weights(), TOKENS, HEADS).tolist()),
    }
    body = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in golden.items())
    path.write_text(f"{{\n{body}\n}}\n")


if __name__ == "__main__":
    write_golden(Path(__file__).with_name("gla.json"))
