"""Where what a learner carries recurs, byte for byte and at the same place in the order, the rest of its run is known.

Where nothing is trained and the order is periodic, a cycle maps (what is carried, place in the order) to what is
carried next and to what is measured; nothing else enters. So the first recurrence closes an orbit for ever. One more
period is computed and kept, which also shows that the machine repeats itself, and the cycles after it are looked up.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resonance.errors import UserError
from resonance.learning.part import below
from resonance.networks.network import State
from resonance.params import DIRECTIONS
from resonance.training.log import Repeated

logger = logging.getLogger(__name__)
T = TypeVar("T")

MOST_BYTES = 1 << 26
"""A period whose states and rows take more is reported but not kept: it would stand in every later state file."""
REMEMBERED = 1 << 18
"""Up to this cycle the state after each is remembered, then after half as many per doubling."""


class Orbit:
    """One period, computed once more after the state of cycle `entered` came again.

    states: what is carried after cycles entered + period, entered + period + 1, ... words, rows: the directions of the
    cycles after these, and what was measured in them, float64 [slots, len(names)] each.
    """

    def __init__(self, entered: int, period: int, names: list[str], state: State) -> None:
        self.entered, self.period, self.names = entered, period, names
        self.states = [state]
        self.words: list[tuple[str, ...]] = []
        self.rows: list[NDArray[np.float64]] = []

    @property
    def fits(self) -> bool:
        """Whether the period is short enough to be kept."""
        state = sum(tensor.nbytes for tensor in self.states[0].values())
        return self.period * (state + 8 * len(self.names) * len(DIRECTIONS)) <= MOST_BYTES

    def follow(self, cycle: int, state: State, word: tuple[str, ...], values: NDArray[np.float64]) -> None:
        """Meet the next cycle; at the end of the period the state must be that of its beginning.

        Raises:
            UserError: where it is not.
        """
        since = cycle - self.entered - self.period
        if since == self.period and spelled(state) != spelled(self.states[0]):
            raise UserError(
                f"the state of cycle {self.entered} came again after {self.period} cycles, but not after as many more: "
                "this device does not compute the same thing twice; set compute.device: cpu."
            )
        if since <= self.period and self.fits:
            self.words.append(word)
            self.rows.append(values)
            if since < self.period:
                self.states.append(copied(state))

    @property
    def repeated(self) -> Repeated | None:
        """What is measured in all later cycles, once the period is complete."""
        if len(self.rows) < self.period:
            return None
        return Repeated(self.entered + 2 * self.period, self.names, self.words, np.stack(self.rows))

    def state(self, cycle: int) -> State:
        """What is carried after any cycle from entered + period on, once the period is complete."""
        return self.states[(cycle - self.entered) % self.period]

    def saved(self) -> dict[str, Tensor]:
        """Everything by name."""
        saved = {
            "found": torch.tensor([self.entered, self.period]),
            "names": _bytes(json.dumps(self.names).encode()),
        }
        for place, state in enumerate(self.states):
            saved |= {f"states/{place}/{name}": tensor for name, tensor in state.items()}
        if self.rows:
            saved["rows"] = torch.from_numpy(np.stack(self.rows))
            saved["words"] = _bytes(json.dumps(self.words).encode())
        return saved

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Orbit:
        """The inverse of `saved`."""
        entered, period = tensors["found"].tolist()
        orbit = cls(entered, period, json.loads(tensors["names"].numpy().tobytes()), {})
        if "rows" in tensors:
            orbit.rows = list(tensors["rows"].numpy())
            orbit.words = [tuple(word) for word in json.loads(tensors["words"].numpy().tobytes())]
        orbit.states = [{} for _ in range(min(len(orbit.rows) + 1, period))]
        for name, tensor in below(tensors, "states").items():
            place, _, leaf = name.partition("/")
            orbit.states[int(place)][leaf] = tensor
        return orbit


class Search:
    """Looks at the state after every cycle until one comes again, and then at one more period.

    places: after how many cycles the order begins again; None: nothing is looked for. tensors: what a search of the
    same run saved; without, the run is at its beginning, where nothing is carried.
    """

    def __init__(self, places: int | None, tensors: Mapping[str, Tensor] | None = None) -> None:
        self.places = places
        self.orbit: Orbit | None = None
        self.seen = {digest({}, 0): 0} if places else {}
        own = below(tensors or {}, "orbit")
        if "found" in own:
            self.orbit, self.seen = Orbit.restored(own), {}
        elif own:
            digests = own["seen"].numpy()
            self.seen = {row.tobytes(): cycle for row, cycle in zip(digests, own["cycles"].tolist(), strict=True)}

    def look(
        self, cycle: int, carried: State | None, word: tuple[str, ...], names: list[str], values: NDArray[np.float64]
    ) -> None:
        """Meet the next cycle: what is carried after it, its directions, what was measured in it [slots, names]."""
        if self.orbit is not None:
            self.orbit.follow(cycle, carried or {}, word, values)
        elif self.places:
            found = digest(carried or {}, cycle % self.places)
            if found in self.seen:
                self.orbit = Orbit(self.seen[found], cycle - self.seen[found], names, copied(carried or {}))
                self.seen = {}
                logger.info("the state of cycle %d has come again at cycle %d: an orbit", self.orbit.entered, cycle)
                if not self.orbit.fits:
                    logger.info("its period takes more room than %d bytes: every cycle is computed", MOST_BYTES)
            elif cycle % max(1, (1 << (cycle - 1).bit_length()) // REMEMBERED) == 0:
                self.seen[found] = cycle

    @property
    def repeated(self) -> Repeated | None:
        """What is measured in all cycles to come, where that is known."""
        return self.orbit.repeated if self.orbit else None

    def unknown(self, cycles: Iterable[T]) -> Iterator[T]:
        """The same cycles, as long as they must be computed; where they need not, not one is taken."""
        if not self.repeated:
            for cycle in cycles:
                yield cycle
                if self.repeated:
                    return

    def said(self, cycle: int) -> dict[str, dict[str, int]]:
        """What the files of a chunk that ends at `cycle` say: where the orbit was entered, and its period in cycles."""
        if not self.places:
            return {}
        if self.orbit is None:
            return {"orbit": {"none_within": cycle}}
        return {"orbit": {"entered": self.orbit.entered, "period": self.orbit.period}}

    def saved(self) -> dict[str, Tensor]:
        """Everything, by names that begin with `orbit/`."""
        if not self.places:
            return {}
        saved = self.orbit.saved() if self.orbit else self._remembered()
        return {f"orbit/{name}": tensor for name, tensor in saved.items()}

    def _remembered(self) -> dict[str, Tensor]:
        seen = _bytes(b"".join(self.seen)).view(len(self.seen), -1)
        return {"seen": seen, "cycles": torch.tensor(list(self.seen.values()))}


def spelled(state: State) -> bytes:
    """Names, types, shapes and bytes of all tensors: equal for equal states only."""
    tensors = [state[name].detach().to("cpu") for name in sorted(state)]
    head = json.dumps([[name, str(state[name].dtype), list(state[name].shape)] for name in sorted(state)])
    return b"\n".join([head.encode(), *(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() for tensor in tensors)])


def digest(state: State, place: int) -> bytes:
    """128 bits that stand for a state at a place in the order."""
    return hashlib.sha256(b"%d\n" % place + spelled(state)).digest()[:16]


def copied(state: State) -> State:
    """The same state on the CPU, as it is now."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
