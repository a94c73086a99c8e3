"""Marks → does a carried state forget where it started, or amplify it?

What is looked at is the map of a whole cycle, s → F_c(s): the four slots of cycle c are read one after another from the
carried state s, teacher-forced, with the weights of the mark. See docs/stability.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.memory import Recurrent
from resonance.learning.moment import generator
from resonance.networks.network import State
from resonance.schedule.orders import SLOTS, indices, window_indices, words
from resonance.snapshots.lyapunov import leading, log_growth, orthonormal
from resonance.snapshots.tangents import Map, method_for
from resonance.training.run import Run

SCHEMA = pa.schema(
    {
        "cycle": pa.int64(),
        "quantity": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "cycles": pa.int32(),
        "tokens": pa.float64(),
        "lost": pa.int32(),
        "products": pa.int32(),
        "residual": pa.float64(),
        "method": pa.string(),
    }
)
"""quantity: lyapunov_1, lyapunov_2, ... (nat/cycle) and spectral_radius; its value is null where it is not known well
enough. low, high: least and greatest cycle. cycles: averaged over so many; tokens: read per cycle. lost: slots in which
the growth was too small to be told from rounding. products, residual: of `lyapunov.Leading`. method: of `tangents`."""


class WithState(Protocol):
    """What every recurrent network has beside `Network`."""

    def empty_state(self, batch: int) -> State:
        """The state before the first token."""


def upcoming(run: Run, device: torch.device, cycle: int, count: int) -> list[Batch]:
    """What `count` cycles after `cycle` read, slot by slot, by the run's own schedule."""
    order, seed, windows = run.settings.order, run.settings.schedule_seed, run.tokens.windows
    span = cycle, cycle + count
    named = words(order)
    directions = " ".join(named[index] for index in indices(order, seed, *span)).split()
    drawn = window_indices(seed, windows, *span).ravel() if windows > 1 else np.zeros(len(directions), int)
    batches = run.batches(device)
    return [batches[key] for key in zip(directions, drawn.tolist(), strict=True)]


@torch.no_grad()
def stability(run: Run, learner: Learner, cycle: int, settings: params.Evaluation) -> list[dict[str, Any]]:
    """The rows of a learner at a mark, which it stays at; none where no state is carried."""
    if not settings.exponents or not isinstance(learner.memory, Recurrent):
        return []
    slots = upcoming(run, learner.device, cycle, settings.exponent_cycles)
    states = trajectory(learner, slots)
    maps = [slot_map(learner, *slot) for slot in zip(slots, states[:-1], strict=True)]
    s = packed(states[0])
    Q = orthonormal(len(s), settings.exponents, generator(0, "stability"))
    method = method_for(maps[1], packed(states[1]), Q[:, 0])  # an empty state may be a point like no other
    tokens_C = np.array([slot.tokens_BT.shape[1] for slot in slots]).reshape(-1, SLOTS).sum(1)
    found = leading(maps[:SLOTS], s, Q, method)
    rows = [
        {
            "quantity": "spectral_radius",
            "value": number(found.radius) if found.found else None,
            "cycles": 1,
            "tokens": float(tokens_C[0]),
            "products": found.products,
            "residual": number(found.residual),
        }
    ]
    log_CSK = log_growth(maps, s, found.Q, method).unflatten(0, (-1, SLOTS))
    for index, log_CS in enumerate(log_CSK.unbind(2), 1):
        log_C = log_CS.sum(1)
        rows.append(
            {
                "quantity": f"lyapunov_{index}",
                "value": number(log_C.mean()),
                "low": number(log_C.min()),
                "high": number(log_C.max()),
                "cycles": len(log_C),
                "tokens": float(tokens_C.mean()),
                "lost": int(log_CS.isnan().sum()),
            }
        )
    return [{"cycle": cycle, **row, "method": method} for row in rows]


def trajectory(learner: Learner, slots: list[Batch]) -> list[State]:
    """The state before each slot and after the last one, from what is carried, or from the empty state."""
    network = learner.network
    state = learner.carried or network.between(cast(WithState, network).empty_state(1))
    states = [state]
    for slot in slots:
        states.append(read(learner, slot, states[-1]))
    return states


def read(learner: Learner, slot: Batch, state: State) -> State:
    """The state that is carried on from a slot. Not under autocast: a derivative in bfloat16 would be rounding."""
    output = learner.network(slot.tokens_BT, state=state, edit=learner.scope.edit(slot.prompt))
    after: State = learner.network.between(output.state)
    return after


def slot_map(learner: Learner, slot: Batch, state: State) -> Map:
    """The map of a slot as one of vectors; whole numbers in the state are those of `state`."""
    return lambda vector: packed(read(learner, slot, unpacked(vector, state)))


def packed(state: Mapping[str, Tensor]) -> Tensor:
    """All floating-point numbers of a state [n]."""
    return torch.cat([tensor.flatten() for tensor in state.values() if tensor.is_floating_point()])


def unpacked(vector: Tensor, like: State) -> State:
    """The inverse of `packed`; whole numbers are taken from `like`."""
    moving = {name: tensor for name, tensor in like.items() if tensor.is_floating_point()}
    parts = vector.split([tensor.numel() for tensor in moving.values()])
    moved = {name: part.view_as(like[name]).to(like[name]) for name, part in zip(moving, parts, strict=True)}
    return {**like, **moved}


def number(value: float | Tensor) -> float | None:
    """A finite number, or null."""
    value = float(value)
    return value if np.isfinite(value) else None
