"""What is made anew once in a round of cycles, for each direction and window, and kept until the next round."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from resonance.learning.batch import Batch


class Rounds:
    """Round r (from 0) is the cycles r · every + 1 ... (r + 1) · every, counted from the start of the study.

    A tensor is made at the first visit of its direction and window in a round: no order of the schedule can leave one
    out or make one in vain. `kept` holds (round, tensor) by `<direction>/<window>`.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.kept: dict[str, tuple[int, Tensor]] = {}

    def number(self, cycle: int) -> int:
        """The round of a cycle."""
        return (cycle - 1) // self.every

    def at(self, batch: Batch, cycle: int, make: Callable[[], Tensor]) -> Tensor:
        """What is kept for a visit, on the device of its tokens; it gets no gradient."""
        name, number = f"{batch.direction}/{batch.window}", self.number(cycle)
        if name not in self.kept or self.kept[name][0] != number:
            self.kept[name] = (number, make().detach().clone())
        return self.kept[name][1].to(batch.tokens_BT.device)

    def saved(self) -> dict[str, Tensor]:
        """Everything, by `<direction>/<window>/<round>`."""
        return {f"{name}/{number}": tensor for name, (number, tensor) in self.kept.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `saved`."""
        parts = {name.rpartition("/"): tensor.clone() for name, tensor in tensors.items()}
        self.kept = {name: (int(number), tensor) for (name, _, number), tensor in parts.items()}
