"""What a learner takes along from one sequence to the next, without any weight being changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.networks.network import Network, Output, State, detached, relative_change

if TYPE_CHECKING:
    from resonance.learning.learner import Learner

Measured = dict[str, Tensor]


@dataclass(frozen=True)
class Memory:
    """None: every sequence is read as if it were the first. Base class of the others.

    free: what the learner says itself takes the place of the target, greedily, as long as the target is.
    """

    free: bool = False

    keeps = False
    """True where something is carried; it stands in `Learner.carried`."""

    def shown(self, batch: Batch, carried: State | None) -> Batch:
        """What is read in training in the place of `batch`."""
        return batch

    def lead(self, carried: State | None) -> Tensor | None:
        """Tokens [1, C] that stand before a sequence."""
        return None

    def state(self, carried: State | None) -> State | None:
        """The state from which a sequence is read."""
        return None

    def after(self, learner: Learner, batch: Batch, output: Output) -> tuple[State | None, Measured]:
        """What is carried after `batch` was read, and what was measured on the way."""
        return None, {}

    def change(self, new: State, old: State) -> float:
        """How far what is carried moved, as a share."""
        return relative_change(new, old)


@dataclass(frozen=True)
class Recurrent(Memory):
    """The state of a recurrent network."""

    keeps = True

    def state(self, carried: State | None) -> State | None:
        """See `Memory.state`."""
        return carried

    def after(self, learner: Learner, batch: Batch, output: Output) -> tuple[State | None, Measured]:
        """The state after the target, or after what was said in its place."""
        measured = {}
        if self.free:
            said = batch.said(learner.say(batch, batch.target_BT.shape[1]))
            output, measured = learner.read(said), {"match": match(said, batch)}
        assert output.state is not None
        return detached(learner.network.between(output.state)), measured


@dataclass(frozen=True)
class Context(Memory):
    """The last `window` tokens that were read stand before each sequence, for networks without a state."""

    window: int = 0

    keeps = True

    def lead(self, carried: State | None) -> Tensor | None:
        """See `Memory.lead`."""
        return carried["context"] if carried else None

    def after(self, learner: Learner, batch: Batch, output: Output) -> tuple[State | None, Measured]:
        """The context with the sequence at its end."""
        measured = {}
        if self.free:
            said = batch.said(learner.say(batch, batch.target_BT.shape[1]))
            batch, measured = said, {"match": match(said, batch)}
        before = [] if learner.carried is None else [learner.carried["context"]]
        return {"context": torch.cat([*before, batch.tokens_BT], dim=1)[:, -self.window :]}, measured

    def change(self, new: State, old: State) -> float:
        """The share of places that hold another token."""
        return differing(new, old)


@dataclass(frozen=True)
class Text(Memory):
    """The pair itself: what was said in place of a text is that text from then on, y → f(y)."""

    keeps = True

    def shown(self, batch: Batch, carried: State | None) -> Batch:
        """The same target, asked of the present version of the input."""
        source, _, _ = batch.direction.partition(">")
        own_BN = (carried or {}).get(f"{source}/{batch.window}")
        return batch if own_BN is None else batch.asked(own_BN)

    def after(self, learner: Learner, batch: Batch, output: Output) -> tuple[State | None, Measured]:
        """All texts, with what was said in the place of the target, up to its end."""
        said = batch.said(learner.say(batch, batch.target_BT.shape[1]))
        _, _, goal = batch.direction.partition(">")
        texts = dict(learner.carried or {})
        texts[f"{goal}/{batch.window}"] = until_end(said.target_BT, batch.target_BT[:, -batch.end :])
        return texts, {"match": match(said, batch)}

    def change(self, new: State, old: State) -> float:
        """The share of places that hold another token; a text that was not there before is all new."""
        return differing(new, old)


def match(said: Batch, batch: Batch) -> Tensor:
    """Share of target tokens that were said at their place."""
    return (said.target_BT == batch.target_BT).float().mean()


def until_end(tokens_BN: Tensor, end_BE: Tensor) -> Tensor:
    """The tokens before the first [EOS], or all."""
    length = end_BE.shape[1]
    for place in range(tokens_BN.shape[1] - length + 1):
        if torch.equal(tokens_BN[:, place : place + length], end_BE):
            return tokens_BN[:, :place]
    return tokens_BN


def differing(new: State, old: State) -> float:
    """Share of places at which the tokens of two memories differ; where one is longer, the rest counts as different."""
    places = differ = 0
    for name, new_BT in new.items():
        old_BT = old.get(name, new_BT[:, :0])
        both = min(new_BT.shape[1], old_BT.shape[1])
        longer = max(new_BT.shape[1], old_BT.shape[1])
        places += longer
        differ += longer - both + int((new_BT[:, :both] != old_BT[:, :both]).sum())
    return differ / places if places else 0.0


def new_memory(settings: params.Learner, network: Network) -> Memory:
    """The memory that the settings name, or a UserError where the network has no state to carry."""
    scope = settings.train
    kind, free = ("state" if settings.carry else "none"), False
    if isinstance(scope, params.Nothing):
        free = scope.target == "free"
        kind = scope.memory
        if kind == "auto":
            kind = "state" if network.recurrent else "none"
    if kind == "state" and not network.recurrent:
        key = "carry: true" if settings.carry else "train.nothing.memory: state"
        raise UserError(
            f"{key} needs a network with a state; {settings.network.tag} has none: "
            "use train: {nothing: {memory: context}}, or memory: text."
        )
    match kind:
        case "state":
            return Recurrent(free)
        case "context":
            assert isinstance(scope, params.Nothing)
            return Context(free, scope.window)
        case "text":
            return Text(free)
    return Memory()
