"""A network that only reads: does its state settle or come back, and does it help?"""

from __future__ import annotations

from collections.abc import Iterator

from resonance.measures.bins import thinned
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

MEASURES: dict[str, Definition] = {
    "state_change": {
        "unit": "share",
        "formula": "||s(c) - s(c - 1)|| / ||s(c - 1)|| of the carried state over one cycle, mean in a bin of cycles; "
        "low, high: least and greatest",
        "source": "cycle log",
    },
    "loss_since_first_pass": {
        "unit": "nat/token",
        "formula": "loss in pass n - loss in pass 1 of the same direction, mean in a bin of cycles; "
        "low, high: least and greatest",
        "source": "cycle log",
    },
    "pass_gain": {
        "unit": "nat/token",
        "formula": "nll of a target of the pair with what is carried at this mark - nll with an empty memory",
        "source": "interventions (passes)",
    },
    "lyapunov_<k>": {
        "unit": "nat/cycle",
        "formula": "mean over cycles c + 1, c + 2, ... of log |R_kk|, J Q = Q' R, J the Jacobian of the map of a whole "
        "cycle, read teacher-forced, from carried state to carried state; low, high: least and greatest cycle",
        "source": "stability",
    },
    "lyapunov_per_token_<k>": {
        "unit": "nat/token",
        "formula": "lyapunov_<k> / tokens read in a cycle",
        "source": "stability",
    },
    "spectral_radius": {
        "unit": "1",
        "formula": "greatest |eigenvalue| of the Jacobian of the map of cycle c + 1 at the carried state",
        "source": "stability",
    },
    "orbit_entered": {
        "unit": "cycle",
        "formula": "least e such that what is carried after cycle e comes again, byte for byte and at the same place "
        "in the order; beyond cycle 262,144 at most 1 / 131,072 more; no row where none came again",
        "source": "metadata of the cycle log",
    },
    "orbit_period": {
        "unit": "cycle",
        "formula": "least p such that what is carried after cycles e and e + p is the same, e = orbit_entered: from "
        "there on every cycle is that of p cycles before; no row where none came again",
        "source": "metadata of the cycle log",
    },
    "orbit_searched": {
        "unit": "cycle",
        "formula": "cycles that were searched: orbit_entered + orbit_period or, where none came again, all; no row "
        "where something is trained or drawn",
        "source": "metadata of the cycle log",
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows of runs that carry a state or may have an orbit. Pass n of a direction is cycle n of the log."""
    yield from stability(run)
    yield from orbit(run)
    yield from gains(run)
    if "state_change" not in run.log or run.log["state_change"].isna().all():
        return
    for line in thinned(run.log, "state_change", by_direction=False):
        yield Row(line.cycle, "state_change", line.mean, line.low, line.high)
    passes = run.log.sort_values("cycle", kind="stable")
    first = passes.groupby(passes["direction"].astype(str))["loss"].first().to_dict()
    for line in thinned(passes, "loss"):
        mean, low, high = (value - first[line.direction] for value in line[2:])
        yield Row(line.cycle, "loss_since_first_pass", mean, low, high, direction=line.direction)


def gains(run: RunData) -> Iterator[Row]:
    """What the memory is worth at every mark; below 0 it helps."""
    found = run.experiment("passes")
    if found.empty:
        return
    for (cycle, direction), rows in found.groupby(["cycle", "direction"], observed=True):
        cost = rows.set_index("quantity")["value"]
        yield Row(int(str(cycle)), "pass_gain", float(cost["carried"] - cost["empty"]), direction=str(direction))


def stability(run: RunData) -> Iterator[Row]:
    """Rows of the marks of a recurrent state; no row for other memories. Null: not resolved."""
    if run.stability.empty:
        return
    columns = run.stability[["cycle", "quantity", "tokens", "value", "low", "high"]]
    for cycle, quantity, tokens, *values in columns.itertuples(index=False, name=None):
        yield Row(cycle, quantity, *values)
        if quantity.startswith("lyapunov_"):
            yield Row(cycle, quantity.replace("_", "_per_token_"), *(value / tokens for value in values))


def orbit(run: RunData) -> Iterator[Row]:
    """What is known at the last cycle; no row where no orbit was looked for."""
    found = run.log_metadata.get("orbit", {})
    names = {"entered": "orbit_entered", "period": "orbit_period", "none_within": "orbit_searched"}
    for key, value in found.items():
        yield Row(run.log_metadata["cycle"], names[key], value)
    if "period" in found:
        yield Row(run.log_metadata["cycle"], "orbit_searched", found["entered"] + found["period"])
