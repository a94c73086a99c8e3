"""What a step on one direction does to the others: interference, and how sharp the loss is where the step is taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from statistics import fmean

import pandas as pd

from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row
from resonance.params import DIRECTIONS

ROUNDING = 1e-6
"""nat/token: no ratio to a change that is not larger. Changes of losses in float32 were within 2.4e-8 of those in
float64 (docs/dynamics.md)."""

IDLE = "none"
HALVES = ("first", "second")

RELATIONS = {"same_target": (False, True), "same_input": (True, False), "reversed": (False, False)}
"""Whether the input and the target of another direction are the same text."""

NET = "dL counted from the loss after the same step with a gradient of 0 (momentum and decay alone): "
SHARED = "mean of transfer<net> over the 4 ordered pairs i, j {}; null where one is; low, high: least and greatest pair"
SOURCE = "transfer: the optimizer's own next step after a chunk edge"


def _defined(unit: str, formula: str) -> Definition:
    return {"unit": unit, "formula": formula, "source": SOURCE}


_STEPS = {
    "transfer": _defined(
        "1",
        "dL_j / |dL_i| of one step on direction i, j the direction and `after:<i>` the condition; above 0: "
        f"interference; null where |dL_i| is at most {ROUNDING:g} nat/token",
    ),
    "transfer_own": _defined("nat/token", "dL_i = loss after - loss before one step on direction i itself"),
    "halves": _defined(
        "1",
        "dL_b / |dL_a| of one step on half a of the target of a direction, b the other half, mean of both ways; low, "
        f"high: the lower and the higher way; null where one |dL_a| is at most {ROUNDING:g} nat/token",
    ),
    "transfer_same_target": _defined("1", SHARED.format("with the same target text and another input")),
    "transfer_same_input": _defined("1", SHARED.format("with the same input text and another target")),
    "transfer_reversed": _defined("1", SHARED.format("of which neither input nor target is the same text")),
}

MEASURES: dict[str, Definition] = {
    "loss": _defined("nat/token", "mean of -log p over target and end mark, teacher-forced, before any step"),
    **{name: {**each, "formula": each["formula"].replace("<net>", "")} for name, each in _STEPS.items()},
    **{
        f"{name}_net": {**each, "formula": NET + each["formula"].replace("<net>", "_net")}
        for name, each in _STEPS.items()
    },
    "cosine": _defined(
        "1", "cosine of the gradients of the losses of direction j and of i, `after:<i>`, over all trained parameters"
    ),
    "sharpness": _defined(
        "nat/token per squared unit of a weight",
        "greatest eigenvalue of the Hessian of the mean loss of the four directions; low, high: one lies between them",
    ),
    "sharpness_preconditioned": _defined(
        "1 / learning rate",
        "the same of P^-1 H, P = (1 - b1^t) (sqrt(v / (1 - b2^t)) + eps) of AdamW after t steps (arXiv 2207.14484)",
    ),
    "sharpness_limit": _defined(
        "of what it limits",
        "(2 + 2 b1) / ((1 - b1) rate) for sharpness_preconditioned with AdamW, (2 + 2 momentum) / rate for sharpness "
        "with SGD: above it full-batch steps on a quadratic run away",
    ),
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows at every chunk edge of a run that trains something."""
    if run.transfer.empty:
        return
    columns = ["quantity", "step", "direction"]
    table = run.transfer.astype(dict.fromkeys(columns, object)).sort_values("cycle", kind="stable")
    for cycle in table["cycle"].unique().tolist():
        rows = table[table["cycle"] == cycle]
        keys = rows[columns].where(rows[columns].notna(), None).itertuples(index=False, name=None)
        yield from Edge(cycle, dict(zip(keys, rows["value"].astype(float), strict=True))).rows()


@dataclass(frozen=True)
class Edge:
    """What was found at one chunk edge: by quantity, step and direction."""

    cycle: int
    found: Mapping[tuple[str, str | None, str | None], float]

    def rows(self) -> Iterator[Row]:
        """All measures."""
        for direction in DIRECTIONS:
            yield Row(self.cycle, "loss", self.found["loss_before", None, direction], direction=direction)
        for net in (False, True):
            yield from self.transfers("_net" if net else "", net)
        for one, other in permutations(DIRECTIONS, 2):
            cosine = self.found.get(("gradient_cosine", one, other), self.found.get(("gradient_cosine", other, one)))
            yield Row(self.cycle, "cosine", cosine, direction=other, condition=f"after:{one}")
        yield from self.sharpness()

    def transfers(self, suffix: str, net: bool) -> Iterator[Row]:
        """Of steps as they are, or net of what momentum and decay do."""
        ratios = {(i, j): self.ratio("loss", i, j, net) for i, j in permutations(DIRECTIONS, 2)}
        for direction in DIRECTIONS:
            own = self.change("loss", direction, direction, net)
            yield Row(self.cycle, f"transfer_own{suffix}", own, direction=direction)
            first, second = (f"{direction}:{half}" for half in HALVES)
            ways = [self.ratio("half", first, second, net), self.ratio("half", second, first, net)]
            yield Row(self.cycle, f"halves{suffix}", *spread(ways), direction=direction)
        for (i, j), ratio in ratios.items():
            yield Row(self.cycle, f"transfer{suffix}", ratio, direction=j, condition=f"after:{i}")
        for name, shared in RELATIONS.items():
            related = [ratio for (i, j), ratio in ratios.items() if (i[0] == j[0], i[-1] == j[-1]) == shared]
            yield Row(self.cycle, f"transfer_{name}{suffix}", *spread(related))

    def change(self, kind: str, step: str, name: str, net: bool) -> float:
        """dL of direction or half `name` by a step, in nat/token."""
        start = (f"{kind}_after", IDLE, name) if net else (f"{kind}_before", None, name)
        return self.found[f"{kind}_after", step, name] - self.found[start]

    def ratio(self, kind: str, step: str, name: str, net: bool) -> float | None:
        """dL of `name` to that of what the step was on; None where the latter is lost in rounding."""
        own = abs(self.change(kind, step, step, net))
        return self.change(kind, step, name, net) / own if own > ROUNDING else None

    def sharpness(self) -> Iterator[Row]:
        """Of runs for which it was found."""
        for name in ("sharpness", "sharpness_preconditioned", "sharpness_limit"):
            if (name, None, None) in self.found:
                value = self.found[name, None, None]
                about = self.found.get((f"{name}_residual", None, None), float("nan"))
                yield Row(self.cycle, name, value, value - about, value + about)


def spread(values: list[float | None]) -> tuple[float | None, float | None, float | None]:
    """Mean, least and greatest; None where one is not defined."""
    known = [value for value in values if value is not None and not pd.isna(value)]
    return (fmean(known), min(known), max(known)) if len(known) == len(values) else (None, None, None)
