"""The Feedback Transformer from the equations of its paper (arXiv 2002.09402), and numbers of its authors' code.

    python tests/networks/golden/make_feedback.py transformer-sequential

writes feedback.json beside this file: what the code of facebookresearch/transformer-sequential (a folder that holds
commit 9650fc9) computes with `weights()`, in float64, in one block. `read` is written from the equations alone, and
shares with this project's network the names of the weights.
"""

from __future__ import annotations

import json
import sys
import zlib
from argparse import Namespace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
VOCABULARY, WIDTH, HEADS, LAYERS, FEEDFORWARD, SPAN = 24, 24, 3, 2, 40, 6
TOKENS = [3, 17, 17, 0, 9, 21, 4, 11, 2, 2, 19, 8, 14, 5, 23, 1, 6, 13]

MISTAKES = (
    "a token sees itself",
    "nothing before the start",
    "memories as they are",
    "memories without the bias of their norm",
    "memories of the last layer",
    "shares without softmax",
    "distances turned round",
    "no distances",
    "scores not scaled",
    "norm after the layer",
    "no bias in the ReLU block",
    "values through the other norm of the layer",
)
"""What is easily got wrong: `read` makes one of these where it is told to."""


def softmax(x: Array) -> Array:
    """Over all entries."""
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def norm(x: Array, gain: Array, bias: Array | float) -> Array:
    """LayerNorm over the last dimension."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain + bias


def read(
    p: dict[str, Array], tokens: list[int], heads: int, memories: Array | None = None, mistake: str = ""
) -> tuple[Array, Array, Array]:
    """Logits [T, V], hidden states [L + 1, T, D] and the last memories [S, D] of one sequence, token by token.

    memories: [S, D], those before the first token; zeros unless given.
    """
    places, depth = p["places"], p["mix"].size - 1
    (span, N), width = places.shape, p["emb.weight"].shape[1]
    shares = p["mix"] if mistake == "shares without softmax" else softmax(p["mix"])
    if mistake == "memories of the last layer":
        shares = np.eye(depth + 1)[depth]
    past = list(np.zeros((span, width)) if memories is None else memories)
    begun, hidden = len(past), []
    for token in tokens:
        stream = [p["emb.weight"][token]]
        for layer in range(depth):
            own, x = f"layers.{layer}.", stream[-1]
            shared = "reader." if "reader.norm.weight" in p else f"{own}reader."
            gain, bias = p[f"{shared}norm.weight"], p[f"{shared}norm.bias"]
            q = p[f"{own}query.weight"] @ (x if mistake == "norm after the layer" else norm(x, gain, bias))
            seen = np.stack([*past, x] if mistake == "a token sees itself" else past)[-span:]
            known = seen
            if mistake != "memories as they are":
                known = norm(seen, gain, 0 if mistake == "memories without the bias of their norm" else bias)
            keys = known @ p[f"{shared}key.weight"].T
            if mistake == "values through the other norm of the layer":
                known = norm(seen, p[f"{own}norm.weight"], p[f"{own}norm.bias"])
            values = known @ p[f"{shared}value.weight"].T
            distance = {"no distances": 0 * places, "distances turned round": places[::-1]}.get(mistake, places)
            gathered = np.zeros(width)
            for head in range(heads):
                part = slice(head * N, (head + 1) * N)
                scores = (keys[:, part] + distance) @ q[part]
                scores = scores if mistake == "scores not scaled" else scores / np.sqrt(N)
                if mistake == "nothing before the start":
                    real = len(past) - begun
                    scores[: max(0, span - real)] = -1e9
                gathered[part] = softmax(scores) @ values[:, part]
            middle = x + p[f"{own}output.weight"] @ gathered
            inner = norm(middle, p[f"{own}norm.weight"], p[f"{own}norm.bias"])
            no_bias = 0 if mistake == "no bias in the ReLU block" else 1
            active = np.maximum(p[f"{own}inner.weight"] @ inner + no_bias * p[f"{own}inner.bias"], 0)
            stream.append(middle + p[f"{own}outer.weight"] @ active + no_bias * p[f"{own}outer.bias"])
        past.append(shares @ np.stack(stream))
        hidden.append(stream)
    left = np.array(hidden).swapaxes(0, 1)
    top = norm(left[-1], p["norm.weight"], p["norm.bias"])
    return top @ p["head.weight"].T + p["head.bias"], left, np.array(past[-span:])


def weights() -> dict[str, Array]:
    """Numbers for every tensor from its name and the raw bits of PCG64, which numpy promises never to change."""
    D, F = WIDTH, FEEDFORWARD
    shapes: dict[str, tuple[int, ...]] = {
        "emb.weight": (VOCABULARY, D),
        "places": (SPAN, D // HEADS),
        "mix": (LAYERS + 1,),
    }
    for own in ("", *(f"layers.{layer}." for layer in range(LAYERS))):
        shapes |= {f"{own}norm.weight": (D,), f"{own}norm.bias": (D,)}
    for layer in range(LAYERS):
        own = f"layers.{layer}."
        shapes |= {f"{own}query.weight": (D, D), f"{own}output.weight": (D, D)}
        shapes |= {f"{own}inner.weight": (F, D), f"{own}inner.bias": (F,)}
        shapes |= {f"{own}outer.weight": (D, F), f"{own}outer.bias": (D,)}
    shapes |= {"reader.norm.weight": (D,), "reader.norm.bias": (D,), "reader.key.weight": (D, D)}
    shapes |= {"reader.value.weight": (D, D), "head.weight": (VOCABULARY, D), "head.bias": (VOCABULARY,)}
    drawn = {}
    for name, shape in shapes.items():
        bits = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
        spread = (bits / 2.0**63 - 1).reshape(shape)
        if len(shape) == 2 and name not in ("emb.weight", "places"):
            spread = spread * 1.7 / shape[1] ** 0.5
        drawn[name] = 1 + 0.5 * spread if name.endswith("norm.weight") else spread
    return drawn


def authors_log_p(folder: Path, p: dict[str, Array]) -> Array:
    """Logarithms of the probabilities [T, V] of the next token for TOKENS, by the authors' code."""
    import torch

    sys.path.insert(0, str(folder))
    from models.feedback import FeedbackTransformer

    torch.set_default_dtype(torch.float64)
    sizes = {
        "hid_sz": WIDTH,
        "nheads": HEADS,
        "head_dim": WIDTH // HEADS,
        "nlayers": LAYERS,
        "inner_hid_sz": FEEDFORWARD,
    }
    lengths = {"attn_lim": SPAN, "mem_sz": len(TOKENS), "vocab_sz": VOCABULARY, "dropout": 0.0, "device": "cpu"}
    form = {"pre_norm": True, "share_proj_kv": True, "feedback": True, "adapt_span": False, "adapt_span_cache": False}
    model = FeedbackTransformer(Namespace(**sizes, **lengths, **form))
    names = {"in_emb": "emb", "out_norm": "norm", "out.out_emb": "head"}
    for own in (f"layers.{layer}." for layer in range(LAYERS)):
        names |= {f"{own}norm1": "reader.norm", f"{own}attn.proj_key": "reader.key"}
        names |= {f"{own}attn.proj_val": "reader.value", f"{own}attn.proj_query": f"{own}query"}
        names |= {f"{own}attn.proj_out": f"{own}output", f"{own}norm2": f"{own}norm"}
        names |= {f"{own}ff.fc1": f"{own}inner", f"{own}ff.fc2": f"{own}outer"}
    with torch.no_grad():
        for theirs, ours in names.items():
            for kind, parameter in model.get_submodule(theirs).named_parameters():
                parameter.copy_(torch.from_numpy(p[f"{ours}.{kind}"]))
        model.get_layer(0).attn.attn.key_pe.copy_(torch.from_numpy(p["places"].T))
        model.single_memory_attn_params.copy_(torch.from_numpy(p["mix"]))
        log_p_BTV, _, _ = model(torch.tensor([TOKENS]), model.init_hid_cache(1))
    return np.asarray(log_p_BTV[0])


def write_golden(folder: Path, path: Path) -> None:
    """TOKENS and the authors' numbers for them, to ten digits."""
    log_p = authors_log_p(folder, weights())
    rows = ",\n".join(f"    {json.dumps([float(f'{value:.10g}') for value in row])}" for row in log_p)
    path.write_text(f'{{\n  "tokens": {TOKENS},\n  "log_p": [\n{rows}\n  ]\n}}\n')


if __name__ == "__main__":
    write_golden(Path(sys.argv[1]), Path(__file__).with_name("feedback.json"))
