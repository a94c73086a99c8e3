"""How RWKV-7 starts: the rules of its reference code, drawn from one generator.

The numbers belong to the architecture as published (arXiv 2503.14456 and the training code of RWKV-LM); with others it
learns worse. Only the case of one layer is this project's, because the reference divides by zero there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from resonance.networks.rwkv7_blocks import Block, ChannelMixing, TimeMixing


@torch.no_grad()
def initialise(network: nn.Module, blocks: Sequence[Block], generator: Generator) -> None:
    """Fill every parameter of a network whose layers are `blocks`."""
    for module in network.modules():
        if isinstance(module, (nn.LayerNorm, nn.GroupNorm)):
            module.reset_parameters()
    for layer, block in enumerate(blocks):
        _time_mixing(block.att, layer, len(blocks), generator)
        _channel_mixing(block.ffn, layer, len(blocks), generator)
    nn.init.uniform_(network.get_parameter("emb.weight"), -1e-4, 1e-4, generator=generator)
    _orthogonal(network.get_parameter("head.weight"), 0.5, generator)


def _time_mixing(att: TimeMixing, layer: int, depth: int, generator: Generator) -> None:
    """Mixes and offsets are fixed curves over the width; the low-rank maps and the output start at zero."""
    width = att.k_k.numel()
    below_top = 1 - layer / depth
    for mix, power in {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}.items():
        att.get_parameter(f"x_{mix}").copy_(_mix(width, power * below_top))

    along = torch.linspace(0, 1, width, dtype=torch.float64)
    centred = along - 0.5
    in_head = torch.linspace(-1, 1, att.head_size, dtype=torch.float64).repeat(width // att.head_size)
    zigzag = in_head * in_head.abs()
    height = layer / (depth - 1) if depth > 1 else 0.0
    att.w0.copy_(-5.5 + 6 * along ** (1 + height**0.3) + 2.5 * zigzag)
    att.a0.copy_(-0.19 + 0.3 * zigzag + 0.4 * centred)
    att.k_k.copy_(0.71 - 0.1 * centred)
    att.k_a.fill_(1.02)
    att.r_k.fill_(-0.04)
    for name in ("w", "a", "g"):
        _low_rank(att, name, generator)
    if layer > 0:
        att.v0.copy_(0.73 - 0.4 * centred)
        _low_rank(att, "v", generator)

    nn.init.orthogonal_(att.receptance.weight, generator=generator)
    nn.init.orthogonal_(att.key.weight, 0.1, generator=generator)
    nn.init.orthogonal_(att.value.weight, generator=generator)
    att.output.weight.zero_()
    att.ln_x.weight.fill_(((layer + 1) / depth) ** 0.7)


def _channel_mixing(ffn: ChannelMixing, layer: int, depth: int, generator: Generator) -> None:
    ffn.x_k.copy_(_mix(ffn.x_k.numel(), (1 - layer / depth) ** 4))
    nn.init.orthogonal_(ffn.key.weight, generator=generator)
    ffn.value.weight.zero_()


def _mix(width: int, power: float) -> Tensor:
    """From 1 (only the predecessor) in the first channel down towards 0 in the last."""
    return 1 - (torch.arange(width, dtype=torch.float64) / width) ** power


def _low_rank(att: TimeMixing, name: str, generator: Generator) -> None:
    """A map that is zero at first, but whose second half lets gradients through."""
    att.get_parameter(f"{name}1").zero_()
    _orthogonal(att.get_parameter(f"{name}2"), 0.1, generator)


def _orthogonal(matrix: Tensor, gain: float, generator: Generator) -> None:
    """Orthogonal × gain; a tall matrix is scaled up by sqrt(rows / columns), so that its rows keep their length."""
    rows, columns = matrix.shape
    nn.init.orthogonal_(matrix, gain * max(1.0, rows / columns) ** 0.5, generator=generator)
