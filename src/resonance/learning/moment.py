"""Stateless randomness: every generator is derived from the seed, a purpose and the place in the run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch


def generator(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for `purpose`; the same arguments give the same numbers, on any machine, in any order."""
    digest = hashlib.sha256("/".join(map(str, (seed, *purpose))).encode()).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@dataclass(frozen=True)
class Moment:
    """One step of a run: cycle (from 1) and slot in it (from 0)."""

    seed: int
    cycle: int
    slot: int

    def generator(self, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
        """The generator of this step for `purpose`."""
        return generator(self.seed, purpose, self.cycle, self.slot, device=device)
