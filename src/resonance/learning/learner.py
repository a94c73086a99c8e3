"""A learner: a network, what of it may change, what it minimises, its heads, and the state that it carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.head import Head
from resonance.learning.memory import new_memory
from resonance.learning.moment import generator
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import below as under
from resonance.learning.part import restore
from resonance.learning.scope import Scope
from resonance.members import implementation
from resonance.networks.network import Answer, Below, Edit, Network, Output, State

if TYPE_CHECKING:
    from resonance.text.tokens import Tokens


class Learner:
    """Composed from its settings; every fresh parameter depends on `seed` alone.

    vocabulary: V of the tokenizer. base: weights that the network starts from (None: fresh or published ones).
    tokens: the pair that is studied; parts that look into it cannot be built without.
    """

    def __init__(
        self,
        settings: params.Learner,
        vocabulary: int,
        seed: int,
        base: Mapping[str, Tensor] | None,
        device: torch.device | None = None,
        precision: str = "float32",
        tokens: Tokens | None = None,
    ) -> None:
        self.settings, self.seed, self.precision = settings, seed, precision
        self.device = device or torch.device("cpu")

        def met(network: Network) -> Network:
            if tokens is not None:
                network.meet(tokens)
            return network.to(self.device)

        self.network = met(new_network(settings, vocabulary, seed, base))
        self.memory = new_memory(settings, self.network)

        def another(fresh: torch.Generator | None = None, other: params.Member | None = None) -> Network:
            chosen = settings if other is None else settings.model_copy(update={"network": other})
            return met(new_network(chosen, vocabulary, seed, base, fresh))

        materials = Materials(self.network, vocabulary, seed, another, tokens)
        self.network.requires_grad_(False)
        self.scope: Scope = implementation("resonance.learning.scopes", settings.train)(
            settings.train, self.network, generator(seed, "scope")
        ).to(self.device)
        if settings.optimizer.weight_decay and not self.scope.decays:
            raise UserError(
                f"optimizer.{settings.optimizer.tag}.weight_decay is {settings.optimizer.weight_decay}: set it to 0 "
                f"with train: {settings.train.tag}, whose parameters it would break."
            )
        self.network_parameters = self.scope.network_parameters(self.network)
        for parameter in self.network_parameters.values():
            parameter.requires_grad_(True)
        self.objectives: dict[str, Objective] = {
            member.tag: implementation("resonance.learning.objectives", member)(member, materials).to(self.device)
            for member in settings.objective
        }
        self.heads: dict[str, Head] = {
            member.tag: implementation("resonance.learning.heads", member)(member, materials).to(self.device)
            for member in settings.heads
        }
        self.carried: State | None = None
        """What the memory keeps."""
        self._below: dict[tuple[str, int, str], tuple[Tensor, Below]] = {}

    def parts(self) -> dict[str, Scope | Objective | Head]:
        """All parts that are saved, by the prefix of their tensors."""
        return {
            "scope": self.scope,
            **{f"objective/{tag}": objective for tag, objective in self.objectives.items()},
            **{f"head/{tag}": head for tag, head in self.heads.items()},
        }

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """What the learner's own optimizer steps: weights, edits, and what objectives add; not the heads."""
        trained = {f"network/{name}": p for name, p in self.network_parameters.items()}
        for prefix, part in self.parts().items():
            if not isinstance(part, Head):
                trained |= {f"{prefix}/{name}": p for name, p in part.trained().items()}
        return trained

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 where the parameters ask for it."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def read(self, batch: Batch, whole: bool = False, draws: torch.Generator | None = None) -> Output:
        """One forward pass over a sequence, with what the memory puts before it.

        whole: compute all layers, also those that cannot have changed. draws: of a training step; a network that is not
        causal is then shown a masked target.
        """
        tokens_BT, weight_BN = batch.tokens_BT, None
        if draws is not None and not self.network.causal:
            tokens_BT, weight_BN = self.network.masked(tokens_BT, batch.prompt, draws)
        tokens_BT, led = self._led(tokens_BT)
        with self.autocast():
            output = self.network(
                tokens_BT,
                state=self.memory.state(self.carried),
                edit=self.scope.edit(batch.prompt),
                below=None if whole else self._frozen_below(batch),
            )
        if led:
            output = replace(output.part(slice(None), slice(led, None)), state=output.state)
        return output if weight_BN is None else replace(output, weight_BN=weight_BN)

    def together(self, batches: Sequence[Batch]) -> bool:
        """Whether these sequences may be read in one pass: none sees another, nor the places that fill it up."""
        return len(batches) > 1 and self.network.causal and not self.memory.keeps and self.scope.edit(1) is None

    def read_together(self, batches: Sequence[Batch], edit: Edit | None = None) -> list[Output]:
        """One pass over sequences of any lengths, filled up at their ends; no state is returned.

        edit: of the hidden states, the same in every sequence.
        """
        lengths = [batch.tokens_BT.shape[1] for batch in batches]
        tokens_BT = batches[0].tokens_BT.new_zeros(len(batches), max(lengths))
        for row, batch in enumerate(batches):
            tokens_BT[row, : lengths[row]] = batch.tokens_BT[0]
        with self.autocast():
            output = self.network(tokens_BT, edit=edit)
        return [output.part(slice(row, row + 1), slice(length)) for row, length in enumerate(lengths)]

    def answer(self, batch: Batch) -> Answer:
        """What is predicted of the target."""
        tokens_BT, led = self._led(batch.tokens_BT)
        with self.autocast():
            return self.network.answer(
                tokens_BT,
                led + batch.prompt,
                state=self.memory.state(self.carried),
                edit=self.scope.edit(batch.prompt),
                below=self._frozen_below(batch),
            )

    def say(self, batch: Batch, length: int) -> Tensor:
        """The greedy output after the prompt, int64 [1, length]."""
        prompt_BT, _ = self._led(batch.tokens_BT[:, : batch.prompt])
        with self.autocast():
            return self.network.generate(
                prompt_BT,
                length,
                state=self.memory.state(self.carried),
                edit=self.scope.edit(batch.prompt),
                following=self.scope.following(),
            )

    def _led(self, tokens_BT: Tensor) -> tuple[Tensor, int]:
        """The tokens with those that the memory puts before them, and how many these are."""
        lead_BC = self.memory.lead(self.carried)
        if lead_BC is None:
            return tokens_BT, 0
        return torch.cat([lead_BC, tokens_BT], dim=1), lead_BC.shape[1]

    def _frozen_below(self, batch: Batch) -> Below | None:
        """What lies below the lowest edit of a frozen network, computed once per example."""
        if self.scope.lowest is None or self.memory.keeps or not self.network.causal:
            return None
        key = (batch.direction, batch.window, batch.condition)
        known = self._below.get(key)
        if known is None or not torch.equal(known[0], batch.tokens_BT):
            known = self._below[key] = batch.tokens_BT, self.network.below(batch.tokens_BT, self.scope.lowest)
        return known[1]

    @torch.no_grad()
    def carry_on(self, batch: Batch, output: Output) -> dict[str, Tensor]:
        """Keep what the memory keeps of a sequence that was read; what was measured on the way, by name."""
        self.carried, measured = self.memory.after(self, batch, output)
        return measured

    def marked(self) -> dict[str, Tensor]:
        """Everything changed since cycle 0 that answers depend on."""
        answering: dict[str, Tensor] = {}
        for objective in self.objectives.values():
            answering |= objective.answering()
        return {name: answering.get(name, tensor) for name, tensor in self._changed().items()}

    def _changed(self) -> dict[str, Tensor]:
        """The same of what is in training, which need not be what answers."""
        changed: dict[str, Tensor] = {f"network/{name}": p for name, p in self.network_parameters.items()}
        for prefix, part in self.parts().items():
            changed |= {f"{prefix}/{name}": tensor for name, tensor in part.marked().items()}
        return changed | {f"carried/{name}": tensor for name, tensor in (self.carried or {}).items()}

    def saved(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, without the optimizers of the training loop."""
        saved = self._changed()
        for prefix, part in self.parts().items():
            saved |= {f"{prefix}/{name}": tensor for name, tensor in part.saved().items()}
        return saved

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `marked` and of `saved`."""
        restore(self.network, under(tensors, "network"))
        for prefix, part in self.parts().items():
            part.restore(under(tensors, prefix))
        carried = {name: tensor.to(self.device) for name, tensor in under(tensors, "carried").items()}
        self.carried = carried or None


def new_network(
    settings: params.Learner,
    vocabulary: int,
    seed: int,
    base: Mapping[str, Tensor] | None,
    fresh: torch.Generator | None = None,
) -> Network:
    """The learner's network: published, from its base, or fresh (`fresh` asks for that)."""
    build: Callable[..., Network] = implementation("resonance.networks", settings.network)
    if settings.init == "random" and fresh is None:
        fresh = generator(seed, "network")
    if settings.network.published:
        return build(settings.network, vocabulary, fresh)
    network = build(settings.network, vocabulary, fresh or generator(0, "base"))
    if fresh is None:
        if base is None:
            raise ValueError("init: base needs the weights of the base")
        restore(network, base)
    return network
