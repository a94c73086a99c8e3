"""Progressive self-distillation: targets are mixed with what the learner itself predicted at the last visit."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.divergence import log_softened, soft_cross_entropy
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import below
from resonance.networks.network import Output


class PsKd(Objective):
    """See `params.PsKd`. In cycle c the target of token y is (1 − a) onehot(y) + a P, a = alpha · min(1, c / horizon).

    P is what was predicted there at the last visit of this direction and window, before the step that followed it; at
    the first visit the target is onehot(y). The term is the mean over tokens of −Σ target · log p, lm's being left out.

    Kept: P [N, V] in half precision for each direction and window; its rows are made to sum to 1 again when it is read.
    """

    def __init__(self, settings: params.PsKd, materials: Materials) -> None:
        super().__init__(settings, materials)
        if not materials.network.causal:
            raise UserError(
                "objective.ps-kd: a network that fills masks sees others at every visit, so that its last predictions "
                "are no answer to the present question: set network to a causal one, or take ema."
            )
        self.settings = settings
        self.memory: dict[str, Tensor] = {}
        self._measured: dict[str, Tensor] = {}

    def alpha(self, cycle: int) -> float:
        """Share of the own predictions, from the absolute cycle alone."""
        return self.settings.alpha * min(1.0, cycle / self.settings.horizon)

    def remembered(self, name: str, like: Tensor) -> Tensor:
        """P of the last visit [N, V], in the precision and on the device of `like`."""
        last_NV = self.memory[name].to(like)
        return last_NV / last_NV.sum(-1, keepdim=True)

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`."""
        logits_NV, true_N = batch.predictions(output.logits_BTV)[0], batch.target_BT[0]
        name, alpha = f"{batch.direction}/{batch.window}", self.alpha(moment.cycle)
        p_NV = log_softened(logits_NV.detach()).exp()
        term, truth = batch.loss(output), p_NV.new_ones(())
        if name in self.memory:
            last_NV = self.remembered(name, p_NV)
            term = (1 - alpha) * term + alpha * soft_cross_entropy(last_NV, logits_NV)
            truth = 1 - alpha + alpha * last_NV.gather(1, true_N[:, None]).mean()
        self.memory[name] = p_NV.half()
        self._measured = {"alpha": p_NV.new_tensor(alpha), "truth": truth}
        return term

    def measured(self) -> dict[str, Tensor]:
        """`alpha`: the share of own predictions; `truth`: what the target gives to the true tokens, on average."""
        return self._measured

    def saved(self) -> dict[str, Tensor]:
        """The predictions of the last visits."""
        return super().saved() | {f"memory/{name}": tensor for name, tensor in self.memory.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`."""
        super().restore(tensors)
        self.memory = {name: tensor.clone() for name, tensor in below(tensors, "memory").items()}
