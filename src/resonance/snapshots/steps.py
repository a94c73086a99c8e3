"""States at chunk edges → what the optimizer's own next step on one direction does to all four.

At every edge the learner and its optimizer are as training would find them in the next cycle. One step is taken, losses
are read, and everything is put back. See docs/dynamics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, compress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.networks.tensors import read_sealed
from resonance.params import DIRECTIONS
from resonance.snapshots.curvature import limit, packed, root_of_preconditioner, sharpness
from resonance.snapshots.stability import number
from resonance.storage import write_table
from resonance.training.examples import Examples
from resonance.training.optimizer import set_rate
from resonance.training.run import Run
from resonance.training.state import read_state
from resonance.training.step import Trainer

WORD = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema({"cycle": pa.int64(), "quantity": WORD, "step": WORD, "direction": WORD, "value": pa.float64()})
"""One row per number. cycle: of the state. step: what a step was taken on, a direction, a half of its target
(`1>2:first`, `1>2:second`) or `none` (a gradient of 0: what the optimizer does of its own); null where none was taken.
direction: whose loss it is, or with whose gradient. quantity: `loss_before`, `loss_after` (nat/token of the target),
`half_before`, `half_after` (the same of a half), `loss_after_cycle` (nat/token after a step on each of the four
directions, one after the other; step: their order, with spaces between), `gradient_cosine`, and of the loss of all four
directions `sharpness`, `sharpness_preconditioned`, each with its `_residual`, and `sharpness_limit`."""

HALVES = ("first", "second")
IDLE = "none"


class Finding(NamedTuple):
    """A row without its cycle."""

    quantity: str
    value: float | None
    step: str | None = None
    direction: str | None = None


Losses = dict[str, float]
"""nat/token by direction, and by half of the target of a direction."""

Gradient = tuple[Tensor | None, ...]
"""One per trained parameter; None where the loss does not depend on it."""


def step_states(run: Run, states: Sequence[Path], products: int, out: Path) -> None:
    """Write the table of a run from its states, in ascending order; no row of a run that trains nothing.

    products: products with the Hessian for each sharpness; 0: no sharpness.

    Raises:
        UserError: a state that is damaged, missing or of another run.
    """
    learner = run.learner()
    learner.heads.clear()  # they never change what they read
    trainer, examples = Trainer(learner), Examples(run, learner.device)
    unset = unset_buffers(learner)
    rows = []
    for file in states if trainer.optimizer is not None else ():
        cycle = int(read_sealed(file)[1]["cycle"])
        tensors, _ = read_state(file, run.fingerprint, cycle)
        shown = examples.at(cycle + 1)
        edge = Edge(trainer, cycle, {direction: shown[direction, 0] for direction in DIRECTIONS}, tensors, unset)
        rows += [{"cycle": cycle, **finding._asdict()} for finding in edge.findings(products)]
    write_table(out, pa.Table.from_pylist(rows, SCHEMA), {**run.made_by, "kind": "transfer"})


@dataclass(frozen=True)
class Edge:
    """A trainer after `cycle`, whose state `tensors` is; after every step it is there again.

    batches: what the next cycle shows of the first window, by direction. unset: see `unset_buffers`.
    """

    trainer: Trainer
    cycle: int
    batches: Mapping[str, Batch]
    tensors: Mapping[str, Tensor]
    unset: frozenset[str]

    def findings(self, products: int) -> Iterator[Finding]:
        """Everything that is found here."""
        self.put_back()
        yield from told("before", None, self.losses(DIRECTIONS))
        for order in turns(DIRECTIONS):
            direction = order[0]
            at_once = self.learner.settings.update == "cycle"
            first, *last = self.turn(order[:1] if at_once else order).items()
            yield from told("after", direction, whole(first[1]))
            for step, losses in last:
                yield from told("after_cycle", step, whole(losses))
            for half, gradient in zip(HALVES, self.gradients_of_halves(direction), strict=True):
                found = self.after(partial(self.step_along, gradient), [direction])
                yield from told("after", f"{direction}:{half}", halves(found))
        yield from told("after", IDLE, self.after(partial(self.step_along, nothing(gradient)), DIRECTIONS))
        with precisely(self.learner):
            gradients: dict[str, Gradient] = {direction: self.gradient(direction) for direction in DIRECTIONS}
            yield from cosines(gradients, self.trainer.parameters)
            if products:
                used = [any(g is not None for g in each) for each in zip(*gradients.values(), strict=True)]
                yield from self.sharpness(list(compress(self.trainer.parameters, used)), products)

    @property
    def learner(self) -> Learner:
        """Who takes the steps."""
        return self.trainer.learner

    @property
    def moment(self) -> Moment:
        """The first step of the next cycle."""
        return Moment(self.learner.seed, self.cycle + 1, 0)

    def put_back(self) -> None:
        """Everything as it was after the cycle, byte for byte, also what was not there yet."""
        for optimizer in (self.trainer.optimizer, *own_optimizers(self.learner).values()):
            if optimizer is not None:
                optimizer.state.clear()
        for name, (module, leaf) in buffers(self.learner).items():
            if name in self.unset and name not in self.tensors:
                module._buffers[leaf] = None
        self.trainer.restore(self.tensors)

    def after(self, step: Callable[[], None], directions: Iterable[str]) -> Losses:
        """Losses after a step, from what was carried before it: the weights alone have changed."""
        carried = self.learner.carried
        step()
        self.learner.carried = carried
        found = self.losses(directions)
        self.put_back()
        return found

    @torch.no_grad()
    def losses(self, directions: Iterable[str]) -> Losses:
        """Of directions and of both halves of their targets."""
        found: Losses = {}
        with precisely(self.learner):
            for direction in directions:
                nll_N = self.learner.answer(self.batches[direction]).nll_N.double()
                found[direction] = float(nll_N.mean())
                found |= {f"{direction}:{half}": float(nll_N[half_of(nll_N, half)].mean()) for half in HALVES}
        return found

    def turn(self, order: Sequence[str]) -> dict[str, Losses]:
        """Losses after the first and after the last step of a cycle in this order, by the steps so far.

        What is carried goes on from step to step, but losses are read from what was carried before all of them.
        """
        before, found = self.learner.carried, {}
        for slot, direction in enumerate(order):
            self.step(direction, slot)
            if slot in (0, len(order) - 1):
                own, self.learner.carried = self.learner.carried, before
                found[" ".join(order[: slot + 1])] = self.losses(DIRECTIONS)
                self.learner.carried = own
        self.put_back()
        return found

    def step(self, direction: str, slot: int = 0) -> None:
        """A step of training on one direction: all terms, their weights, clipping, the rate of the next cycle."""
        self.trainer.step([self.batches[direction]], [replace(self.moment, slot=slot)])

    def step_along(self, gradient: Gradient) -> None:
        """The same along a gradient that is given."""
        for parameter, slope in zip(self.trainer.parameters, gradient, strict=True):
            # what autograd gives may be a view of something smaller, and clipping changes it in place
            parameter.grad = None if slope is None else slope.clone(memory_format=torch.contiguous_format)
        self.trainer.update(self.moment.cycle)

    def gradients_of_halves(self, direction: str) -> list[Gradient]:
        """Of the loss of the network alone, over the first and over the second half of the target."""
        nll_N = self.nll(direction)
        losses = [nll_N[half_of(nll_N, half)].mean() for half in HALVES]
        return [
            torch.autograd.grad(loss, self.trainer.parameters, retain_graph=loss is losses[0], allow_unused=True)
            for loss in losses
        ]

    def nll(self, direction: str) -> Tensor:
        """-log p of each target token as training sees it (of a network that fills masks, times its weight): [N]."""
        batch = self.batches[direction]
        output = self.learner.read(batch, draws=self.moment.generator("mask"))
        nll_N = batch.nll(output.logits_BTV)
        return nll_N if output.weight_BN is None else nll_N * output.weight_BN[0]

    def gradient(self, direction: str) -> Gradient:
        """Of the mean loss of a direction; None where it does not depend on a parameter."""
        return torch.autograd.grad(self.nll(direction).mean(), self.trainer.parameters, allow_unused=True)

    def sharpness(self, parameters: list[Parameter], products: int) -> Iterator[Finding]:
        """Of the mean loss of the four directions, and the limit of the rate of the next cycle."""
        optimizer, settings = self.trainer.optimizer, self.trainer.settings
        assert optimizer is not None
        root_P = root_of_preconditioner(optimizer, parameters, settings)
        losses = [partial(lambda direction: self.nll(direction).mean(), direction) for direction in DIRECTIONS]
        names = ("sharpness", "sharpness_preconditioned")
        found = list(zip(names, sharpness(losses, parameters, products, root_P), strict=False))
        for name, eigenvalue in found:
            yield Finding(name, number(eigenvalue.value))
            yield Finding(f"{name}_residual", number(eigenvalue.residual))
        if found:
            set_rate(optimizer, settings, self.moment.cycle)
            yield Finding("sharpness_limit", limit(settings, optimizer.param_groups[0]["lr"]))


def nothing(gradient: Gradient) -> Gradient:
    """0 wherever there is a gradient: momentum and decay alone are left."""
    return tuple(None if slope is None else torch.zeros_like(slope) for slope in gradient)


def turns(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Orders in which each stands at each place once, always behind the same other one."""
    for first in range(len(names)):
        yield [*names[first:], *names[:first]]


def told(when: str, step: str | None, losses: Losses) -> Iterator[Finding]:
    """The rows of losses before or after a step."""
    for name, loss in losses.items():
        yield Finding(f"{'half' if ':' in name else 'loss'}_{when}", number(loss), step, name)


def whole(losses: Losses) -> Losses:
    """Those of whole targets."""
    return {name: loss for name, loss in losses.items() if ":" not in name}


def halves(losses: Losses) -> Losses:
    """Those of halves."""
    return {name: loss for name, loss in losses.items() if ":" in name}


def half_of(nll_N: Tensor, half: str) -> slice:
    """Where a half of the target stands; the second is the longer one."""
    middle = len(nll_N) // 2
    return slice(middle) if half == HALVES[0] else slice(middle, None)


def cosines(gradients: Mapping[str, Gradient], like: Sequence[Tensor]) -> Iterator[Finding]:
    """Between the gradients of every two directions; null where one is 0."""
    rows = {direction: packed(gradient, like).double() for direction, gradient in gradients.items()}
    for one, other in combinations(rows, 2):
        norms = rows[one].norm() * rows[other].norm()
        yield Finding("gradient_cosine", number(rows[one] @ rows[other] / norms), one, other)


@contextmanager
def precisely(learner: Learner) -> Iterator[None]:
    """Not in bfloat16, whose rounding is larger than what a step changes."""
    own, learner.precision = learner.precision, "float32"
    try:
        yield
    finally:
        learner.precision = own


def own_optimizers(learner: Learner) -> dict[str, Optimizer]:
    """Those that its parts step themselves."""
    return {f"{prefix}/{name}": o for prefix, part in learner.parts().items() for name, o in part.optimizers().items()}


def buffers(learner: Learner) -> dict[str, tuple[Module, str]]:
    """Of all parts, also those that are None: by the name under which they are saved, where they are held."""
    return {
        f"{prefix}/{path}.{leaf}" if path else f"{prefix}/{leaf}": (module, leaf)
        for prefix, part in learner.parts().items()
        for path, module in part.named_modules()
        for leaf in module._buffers
    }


def unset_buffers(learner: Learner) -> frozenset[str]:
    """The names of buffers that an untouched learner does not have yet."""
    return frozenset(name for name, (module, leaf) in buffers(learner).items() if module._buffers[leaf] is None)
