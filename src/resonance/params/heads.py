"""Heads: what reads the hidden states."""

from __future__ import annotations

from typing import Annotated

from resonance.params.block import ManyOf, Member

Heads = Annotated[tuple[Member, ...], ManyOf()]
