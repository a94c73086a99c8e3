"""One slot and one cycle of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from resonance.learning.batch import Batch
from resonance.learning.head import Head
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Objective
from resonance.learning.part import below, optimizer_tensors, restore_optimizer
from resonance.networks.network import Output
from resonance.training.optimizer import clip, new_optimizer, set_rate
from resonance.training.selfcheck import SelfCheck


class Trainer:
    """A learner in training: its optimizer, its heads' optimizer, its self-check."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.settings = learner.settings.optimizer
        self.trained = learner.trained()
        self.parameters = list(self.trained.values())
        self.optimizer = new_optimizer(self.settings, self.parameters)
        self.head_parameters = {
            f"head/{tag}/{name}": p for tag, head in learner.heads.items() for name, p in head.trained().items()
        }
        self.head_optimizer = new_optimizer(self.settings, self.head_parameters.values())
        self.check = SelfCheck()

    @property
    def autonomous(self) -> bool:
        """Whether a cycle depends on its word and on what is carried alone: nothing is trained, nothing is drawn."""
        learner = self.learner
        members = learner.objectives.values()
        fixed = not self.parameters and not learner.heads and learner.network.causal
        return fixed and all(member.autonomous for member in members)

    def cycle(self, cycle: int, batches: list[Batch]) -> tuple[list[str], Tensor]:
        """Run the slots of one cycle.

        Returns the names of what was measured and its values, float64 [slots, names] on the CPU.
        """
        learner = self.learner
        for objective in learner.objectives.values():
            if objective.begins(learner, cycle):
                self._forget()
        before = learner.carried
        rows: list[dict[str, Tensor]] = []
        steps = [batches] if learner.settings.update == "cycle" else [[batch] for batch in batches]
        for slots in steps:
            moments = [Moment(learner.seed, cycle, len(rows) + slot) for slot in range(len(slots))]
            rows += self.step(slots, moments)
        parts: list[Objective | Head] = [*learner.objectives.values(), *learner.heads.values()]
        for part in parts:
            if part.every and cycle % part.every == 0:
                part.event(learner, batches, cycle)
        names = list(rows[0])
        table = torch.stack([torch.stack([row[name] for name in names]) for row in rows]).double().cpu()
        if learner.memory.keeps:
            change = learner.memory.change(learner.carried or {}, before) if before else float("nan")
            names = [*names, "state_change"]
            table = torch.cat([table, torch.full((len(rows), 1), change, dtype=torch.float64)], dim=1)
        return names, table

    def step(self, slots: list[Batch], moments: list[Moment]) -> list[dict[str, Tensor]]:
        """One step of the optimizers on these slots, each with its share; what was measured, by name, per slot."""
        taken = self._backward_of(slots, moments)
        norms = self.update(moments[-1].cycle)
        for objective in self.learner.objectives.values():
            objective.after_step(self.learner, slots[-1], moments[-1])
        return [row | norms for row in taken]

    def _backward_of(self, slots: list[Batch], moments: list[Moment]) -> list[dict[str, Tensor]]:
        """Forward and backward over the slots of one step, each with its share; what was measured, by name."""
        share = 1 / len(slots)
        if not self.learner.together(slots):
            return [self._slot(batch, moment, share) for batch, moment in zip(slots, moments, strict=True)]
        with torch.set_grad_enabled(bool(self.parameters)):
            outputs = self.learner.read_together(slots)
            read = [self._measure(*slot) for slot in zip(slots, outputs, moments, strict=True)]
        with torch.enable_grad():
            self._backward(sum(loss for loss, _ in read), share)
        return [row for _, row in read]

    def _slot(self, batch: Batch, moment: Moment, share: float) -> dict[str, Tensor]:
        """One slot alone, and what is carried on from it."""
        learner = self.learner
        batch = learner.memory.shown(batch, learner.carried)
        with torch.set_grad_enabled(bool(self.parameters)):
            output = learner.read(batch, draws=moment.generator("mask"))
            loss, row = self._measure(batch, output, moment)
            self._backward(loss, share)
        return row | learner.carry_on(batch, output)

    def _measure(self, batch: Batch, output: Output, moment: Moment) -> tuple[Tensor | float, dict[str, Tensor]]:
        """What is minimised in a slot, heads included (they share no graph with the rest), and what was measured."""
        learner = self.learner
        terms = {tag: part.term(learner, batch, output, moment) for tag, part in learner.objectives.items()}
        loss = sum(learner.objectives[tag].weight * term for tag, term in terms.items())
        seen = Output(
            tuple(None if h is None else h.detach() for h in output.hidden),
            output.logits_BTV.detach(),
            weight_BN=output.weight_BN,
        )
        with torch.enable_grad():
            critique = {tag: head.loss(learner, batch, seen, moment) for tag, head in learner.heads.items()}
            loss = loss + sum(critique.values())  # type: ignore[assignment]
        cosine_L, norm_L = self.check.look(batch, seen)
        return loss, {
            "loss": batch.loss(seen),
            "accuracy": batch.accuracy(seen),
            **{f"term.{tag}": term.detach() for tag, term in terms.items()},
            **{f"{tag}.{name}": value for tag in terms for name, value in learner.objectives[tag].measured().items()},
            **{f"head.{tag}": loss.detach() for tag, loss in critique.items()},
            **{f"cosine.{layer}": value for layer, value in enumerate(cosine_L)},
            **{f"norm.{layer}": value for layer, value in enumerate(norm_L)},
        }

    def _backward(self, loss: Tensor | float, share: float) -> None:
        if self.parameters or self.head_parameters:
            with torch.enable_grad():  # heads learn where nothing else does
                (loss * share).backward()  # type: ignore[union-attr]

    def update(self, cycle: int) -> dict[str, Tensor]:
        """One step of both optimizers along the gradients that are there.

        Returns the norms of the gradient and of the change of the trained parameters.
        """
        if self.head_optimizer is not None:
            self._step(self.head_optimizer, list(self.head_parameters.values()), cycle)
        if self.optimizer is None:
            return {}
        before = [parameter.detach().clone() for parameter in self.parameters]
        gradient = self._step(self.optimizer, self.parameters, cycle)
        changes = [torch.sum((new.detach() - old).square()) for new, old in zip(self.parameters, before, strict=True)]
        return {"grad_norm": gradient, "update_norm": torch.stack(changes).sum().sqrt()}

    def _step(self, optimizer: Optimizer, parameters: list[nn.Parameter], cycle: int) -> Tensor:
        set_rate(optimizer, self.settings, cycle)
        norm = clip(parameters, self.settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        return norm

    def _forget(self) -> None:
        """Drop what the optimizer remembers of network and scope, which begin anew; objectives' own parameters stay."""
        for name, parameter in self.trained.items():
            if self.optimizer is not None and not name.startswith("objective/"):
                self.optimizer.state.pop(parameter, None)

    def saved(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, learner included."""
        saved = self.learner.saved()
        for name, optimizer, parameters in self._optimizers():
            saved |= {f"{name}/{key}": tensor for key, tensor in optimizer_tensors(optimizer, parameters).items()}
        return saved | {f"first/{name}": tensor for name, tensor in self.check.first.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `saved`."""
        self.learner.restore(tensors)
        for name, optimizer, parameters in self._optimizers():
            restore_optimizer(optimizer, parameters, below(tensors, name))
        self.check.first = {name: t.to(self.learner.device) for name, t in below(tensors, "first").items()}

    def _optimizers(self) -> Iterator[tuple[str, Optimizer, Mapping[str, nn.Parameter]]]:
        if self.optimizer is not None:
            yield "optimizer", self.optimizer, self.trained
        if self.head_optimizer is not None:
            yield "head_optimizer", self.head_optimizer, self.head_parameters
