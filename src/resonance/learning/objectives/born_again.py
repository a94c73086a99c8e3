"""Born-again generations: every so often the learner starts afresh and is taught by what it was."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.divergence import kl
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment, generator
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import below, restore
from resonance.learning.substitute import Teacher
from resonance.members import implementation
from resonance.networks.network import Output
from resonance.networks.tensors import named


class BornAgain(Objective):
    """See `params.BornAgain`. Cycle c belongs to generation (c − 1) // every + 1.

    Before the first cycle of a generation, the first one excepted, the learner becomes the teacher, whatever is trained
    of it begins anew, its optimizer forgets, and nothing is carried on. A mark at the end of a generation therefore
    shows what that generation has become. The term is T² KL(teacher ‖ learner); the first generation has no teacher.
    """

    def __init__(self, settings: params.BornAgain, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.settings = settings
        self.new_network = materials.new_network
        self.teacher = Teacher()
        self._measured: dict[str, Tensor] = {}

    def generation(self, cycle: int) -> int:
        """The number of the generation, from 1."""
        return (cycle - 1) // self.settings.every + 1

    def begins(self, learner: Learner, cycle: int) -> bool:
        """See `Objective.begins`."""
        if cycle == 1 or (cycle - 1) % self.settings.every:
            return False
        self.teacher.take(learner)
        self.start_afresh(learner, self.generation(cycle))
        return True

    def start_afresh(self, learner: Learner, generation: int) -> None:
        """Set network and scope back: to the base where learners start from it, else to a start of this generation."""
        settings, purpose = learner.settings, (learner.seed, "born-again", generation)
        random = settings.init == "random"
        network = self.new_network(generator(*purpose, "network") if random else None)
        scope = implementation("resonance.learning.scopes", settings.train)
        edits = scope(settings.train, network, generator(*purpose, "scope")).to(learner.device)
        fresh = dict(network.named_parameters())
        restore(learner.network, {name: fresh[name] for name in learner.network_parameters})
        learner.scope.restore(named(edits))
        learner.carried = None

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; from the second generation on an extra pass without gradients."""
        term = output.logits_BTV.new_zeros(())
        loss = term.new_tensor(torch.nan)
        if self.teacher.tensors:
            taught = self.teacher.read(learner, batch, moment)
            said_BNV, own_BNV = batch.predictions(taught.logits_BTV), batch.predictions(output.logits_BTV)
            term = kl(said_BNV, own_BNV, self.settings.temperature, output.weight_BN)
            loss = batch.loss(taught)
        elif output.logits_BTV.requires_grad and len(learner.objectives) == 1:
            raise UserError(
                "objective.born-again: the first generation has no teacher, so nothing is left to learn from: add "
                "lm: 1.0 beside it."
            )
        self._measured = {"generation": term.new_tensor(self.generation(moment.cycle)), "teacher": loss}
        return term

    def measured(self) -> dict[str, Tensor]:
        """`generation`, from 1; `teacher`: the loss of the teacher, not a number in the first generation."""
        return self._measured

    def saved(self) -> dict[str, Tensor]:
        """The teacher: the rest follows from the cycle."""
        return super().saved() | {f"teacher/{name}": tensor for name, tensor in self.teacher.tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`."""
        super().restore(tensors)
        self.teacher.put(below(tensors, "teacher"))
