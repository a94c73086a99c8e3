"""LoReFT: a low-rank edit of hidden states on a frozen network, made of pyreft's own intervention.

h ← h + Rᵀ (W h + b − R h) with R [r, D] of orthonormal rows (Wu et al. 2024, arXiv 2404.03592, eq. 2), at the
first and last tokens of the prompt. The module is called inside this project's forward pass, not through pyvene's
engine, which removes every hook of the network it runs.
"""

from __future__ import annotations

import contextlib
import io
import re
from typing import ClassVar

import torch
from torch import Tensor, nn

from resonance import params
from resonance.errors import UserError
from resonance.learning.scope import Scope, existing
from resonance.networks.network import Edit, Network

with contextlib.redirect_stdout(io.StringIO()):  # pyvene greets
    from pyreft import LoreftIntervention
    from pyvene import TrainableIntervention


class Loreft(Scope):
    """See `params.Loreft`: one edit per layer and group of positions (first, last), or per layer where tied.

    Base class of the other members of the family, which differ in the intervention alone.
    """

    decays = False  # torch keeps signs of R on a diagonal and casts them to int: −1, once it is −0.999, makes R zero
    kind: ClassVar[type[TrainableIntervention]] = LoreftIntervention

    def __init__(self, settings: params.Loreft, network: Network, generator: torch.Generator) -> None:
        super().__init__(settings, network, generator)
        self.settings = settings
        key = f"train.{settings.tag}"
        self.lowest = min(existing(settings.layers, network, f"{key}.layers"))
        if settings.rank > network.width:
            raise UserError(f"{key}.rank: {settings.rank} is more than the network's width {network.width}.")
        self.groups = position_groups(settings.positions)
        self.edits = nn.ModuleDict()
        for layer in settings.layers:
            for group in ["tied"] if settings.tied else list(self.groups):
                self.edits[f"{layer}-{group}"] = intervention(self.kind, network.width, settings.rank, generator)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters of all edits."""
        return dict(self.named_parameters())

    def edit(self, prompt: int) -> Edit:
        """Edit the chosen positions of the prompt (all positions of the sequence with `positions: all`)."""
        places = {name: slice(*group(prompt)) for name, group in self.groups.items()}

        def apply(layer: int, hidden_BTD: Tensor) -> Tensor:
            if layer not in self.settings.layers:
                return hidden_BTD
            for name, place in places.items():
                module = self.edits[f"{layer}-{'tied' if self.settings.tied else name}"]
                chosen_BPD = hidden_BTD[:, place].to(next(module.parameters()))  # their device and precision
                hidden_BTD = hidden_BTD.slice_scatter(module(chosen_BPD).to(hidden_BTD), 1, place.start, place.stop)
            return hidden_BTD

        return apply

    def following(self) -> Edit | None:
        """Tokens after the prompt are edited only where all positions are."""
        return self.edit(1) if self.settings.positions == "all" else None


def position_groups(positions: str) -> dict:
    """`f4+l4` → for each group, from the length of the prompt to its (start, stop); a short prompt is shared."""
    if positions == "all":
        return {"all": lambda prompt: (0, None)}
    groups = {}
    for kind, count in re.findall(r"([fl])(\d+)", positions):
        n = int(count)
        if kind == "f":
            groups["first"] = lambda prompt, n=n: (0, min(n, prompt // 2))
        else:
            groups["last"] = lambda prompt, n=n: (prompt - min(n, prompt // 2), prompt)
    return groups


def intervention(
    kind: type[TrainableIntervention], width: int, rank: int, generator: torch.Generator
) -> TrainableIntervention:
    """A fresh intervention of D = `width` in float32, as pyreft draws it, from a seed that `generator` gives.

    The orthogonal parametrisation of R draws from the global generator, so that one is seeded, and put back after.
    add_bias is read by NoReFT alone: its W2 has none, as in the paper.
    """
    seed = int(torch.randint(2**62, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(embed_dim=width, low_rank_dimension=rank, dtype=torch.float32, add_bias=False)
