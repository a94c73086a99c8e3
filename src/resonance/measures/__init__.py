"""Tidy tables from what was recorded of a run: one family of measures per file.

A family is a module of this package with `MEASURES` (what each measure is) and `measure(run)` (its rows). It is found
by its name, so that a job loads the one that it needs and nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from resonance.errors import UserError

if TYPE_CHECKING:
    from resonance.measures.table import Family

KINDS = (
    "logs",
    "evaluations",
    "snapshots",
    "stability",
    "critiques",
    "generations",
    "interventions",
    "transfer",
)
"""What is recorded of a run, and what measures are made of."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "loss": ("logs", "evaluations"),
    "changes": ("logs",),
    "memorisation": ("evaluations", "generations"),
    "confidence": ("evaluations",),
    "probes": ("evaluations",),
    "reversal": ("logs", "evaluations"),
    "similarity": ("snapshots",),
    "neighbours": ("snapshots",),
    "geometry": ("snapshots",),
    "topology": ("snapshots",),
    "correspondence": ("snapshots",),
    "reader": ("logs", "stability", "interventions"),
    "critics": ("critiques",),
    "selective": ("critiques",),
    "decoding": ("generations",),
    "tempered": ("interventions", "evaluations"),
    "matching": ("interventions", "snapshots"),
    "anchors": ("interventions",),
    "stitching": ("interventions",),
    "edits": ("interventions",),
    "patching": ("interventions", "snapshots"),
    "induction": ("interventions",),
    "transfer": ("transfer",),
    "recency": ("transfer",),
}
"""All families, in the order in which the report shows them, and the kinds of files that each reads."""

BETWEEN = ("between",)
"""Families that look at several runs at once: a job of their own makes them, not that of a run."""


def load_family(name: str) -> Family:
    """The module of a family; an unknown name is a UserError. Those between runs have no `measure` of one run."""
    if name not in (*FAMILIES, *BETWEEN):
        raise UserError(f"{name!r} is not a family of measures; allowed: {', '.join((*FAMILIES, *BETWEEN))}.")
    return cast("Family", import_module(f"{__name__}.{name}"))
