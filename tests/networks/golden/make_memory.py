"""Golden numbers of the test-time-memory network.

    python tests/networks/golden/make_memory.py ttt.py        writes memory.json beside this file

`ttt.py` is the file of that name in the repository test-time-training/ttt-lm-pytorch, which is not on PyPI; its layer
computes `layer`, with its rotary positions switched off. `logits` are those of this project's network when the file was
made: they show that nothing has moved since.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Mapping
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

WIDTH, HEADS, BLOCK, TOKENS, VOCABULARY = 16, 2, 8, 21, 24
NETWORK = {"width": WIDTH, "heads": HEADS, "layers": 3, "memories": (1,), "feedforward": 24, "block": BLOCK}


def numbers(name: str, shape: tuple[int, ...]) -> Tensor:
    """float64 in [-1, 1) from a name and the raw bits of PCG64, which numpy promises never to change."""
    bits = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
    return torch.from_numpy(bits / 2.0**63 - 1).reshape(shape)


def weights(module: nn.Module) -> dict[str, Tensor]:
    """Fixed weights for every parameter, in which all of them matter: gains around 1, matrices of a usual size."""
    drawn = {}
    for name, parameter in module.named_parameters():
        spread = numbers(name, tuple(parameter.shape))
        if "norm" in name and name.endswith("weight"):
            drawn[name] = 1 + 0.5 * spread
        elif name.endswith("learnable_token_idx"):
            drawn[name] = 0.2 * spread
        else:
            drawn[name] = spread * (1.7 / parameter.shape[-1] ** 0.5 if parameter.ndim > 1 else 1)
    return drawn


def filled(module: nn.Module) -> nn.Module:
    """The module in float64 with `weights`."""
    module = module.double()
    module.load_state_dict(weights(module))
    return module


def read() -> Tensor:
    """What the layer reads: [1, T, D]."""
    return numbers("read", (1, TOKENS, WIDTH))


def tokens() -> Tensor:
    """What the network reads: [1, T]."""
    return (numbers("tokens", (1, TOKENS)) + 1).mul(VOCABULARY / 2).long()


def official_layer(file: Path) -> Tensor:
    """What the layer of the authors' code leaves [T, D]."""
    spec = spec_from_file_location("ttt_official", file)
    assert spec is not None
    assert spec.loader is not None
    code = module_from_spec(spec)
    spec.loader.exec_module(code)
    settings = code.TTTConfig(hidden_size=WIDTH, num_attention_heads=HEADS, mini_batch_size=BLOCK)
    layer = filled(code.TTTLinear(settings, layer_idx=0))
    layer.token_idx = 1 / torch.arange(1, BLOCK + 1, dtype=torch.float64)
    unturned = torch.ones(1, TOKENS, WIDTH // HEADS, dtype=torch.float64)
    layer.rotary_emb.forward = lambda _x, _places: (unturned, 0 * unturned)
    with torch.no_grad():
        left: Tensor = layer(read(), position_ids=torch.arange(TOKENS)[None])
    return left[0]


def own_logits() -> Tensor:
    """What this project's network says [T, V]."""
    from resonance import params
    from resonance.networks.memory import Memory

    network = filled(Memory(params.Memory(**NETWORK), VOCABULARY, torch.Generator()))
    with torch.no_grad():
        logits: Tensor = network(tokens()).logits_BTV[0]
    return logits


def write_golden(file: Path, out: Path) -> None:
    """All numbers to ten digits."""
    made_by = {"ttt.py": sha256(file.read_bytes()).hexdigest(), "torch": torch.__version__.partition("+")[0]}
    tables: Mapping[str, Tensor] = {"layer": official_layer(file), "logits": own_logits()}
    parts = [f'  "made_by": {json.dumps(made_by)}']
    for name, table in tables.items():
        rows = ",\n".join(f"    {json.dumps([float(f'{value:.10g}') for value in row])}" for row in table.tolist())
        parts.append(f'  "{name}": [\n{rows}\n  ]')
    out.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    write_golden(Path(sys.argv[1]), Path(__file__).with_name("memory.json"))
