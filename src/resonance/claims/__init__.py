"""The claims: one file each, with what is declared of it before anybody looks, and the whole of its test.

A claim is a module of this package with `CLAIM` and `judge(evidence)`; it is found by its name.
"""

from __future__ import annotations

NAMES = (
    "recites",
    "copies",
    "chokes",
    "structure",
    "context",
    "critic",
    "calibration",
    "correspondence",
    "translation",
    "identity",
    "interference",
    "topology",
    "depth",
    "permutations",
)
"""All claims, in the order in which they are reported."""
