"""Online distillation by a gated ensemble: branches on one trunk learn from what they say together (ONE)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.divergence import kl, precise, ramp
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment, generator
from resonance.learning.objective import Materials, Objective
from resonance.learning.substitute import substituted
from resonance.networks.network import Below, Network, Output

STD = 0.02
"""Standard deviation of the fresh gate."""


class One(Objective):
    """See `params.One`. Branch 0 is the learner itself; E − 1 more have upper layers and a head of their own.

    Scores z_i of the branches, gate g = softmax(relu(W LN(h) + b)) of what the trunk leaves at each token, h:

        z_e = Σ g_i z_i          L = Σ CE(z_i) + CE(z_e) + w(c) T² Σ KL(softmax(z_e / T) ‖ softmax(z_i / T))

    with w(c) = exp(−5 (1 − min(c, ramp) / ramp)²) and the ensemble held fixed in the divergence.

    A branch is the learner's network with other tensors in the place of its upper ones, so that all read one trunk and
    train it. They start from fresh weights, each its own: equal ones would have nothing to tell each other.
    """

    def __init__(self, settings: params.One, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.settings, network = settings, materials.network
        names = above(network, settings.trunk)
        self.shared = bool(not network.below(probe(network), settings.trunk - 1).extra)
        """Whether what the trunk leaves is all that the layers above it read."""
        self.learns = any(parameter.requires_grad for parameter in network.parameters())
        self.branches = nn.ModuleList()
        for number in range(1, settings.branches):
            fresh = dict(materials.new_network(generator(materials.seed, "one", number)).named_parameters())
            own = {name.replace(".", "/"): nn.Parameter(fresh[name].detach().clone()) for name in names}
            self.branches.append(nn.ParameterDict(own))
        self.norm = nn.LayerNorm(network.width)
        self.gate = cast(nn.Linear, nn.utils.skip_init(nn.Linear, network.width, settings.branches))
        nn.init.normal_(self.gate.weight, 0.0, STD, generator=generator(materials.seed, "one", "gate"))
        nn.init.zeros_(self.gate.bias)
        self._measured: dict[str, Tensor] = {}

    def trained(self) -> dict[str, nn.Parameter]:
        """Branches and gate, where the learner trains weights; nothing under `train: nothing`."""
        return dict(self.named_parameters()) if self.learns else {}

    def marked(self) -> dict[str, Tensor]:
        """Nothing: what the learner says is what branch 0 says."""
        return {}

    def shares(self, hidden_BTD: Tensor) -> Tensor:
        """How much each branch counts at each token, [B, T, E]."""
        scores_BTE = self.gate(self.norm(hidden_BTD.to(self.gate.weight.dtype)))
        shares_BTE: Tensor = scores_BTE.relu().softmax(-1)
        return shares_BTE

    def read(self, learner: Learner, batch: Batch, output: Output, branch: nn.ParameterDict) -> Tensor:
        """What a further branch says of each token, [B, T, V]."""
        tensors = {f"network.{name.replace('/', '.')}": tensor for name, tensor in branch.items()}
        run = partial(learner.read, batch)
        if self.shared and not learner.memory.keeps:
            trunk_BTD = cast(Tensor, output.hidden[self.settings.trunk])
            run = partial(learner.network, batch.tokens_BT, below=Below(self.settings.trunk - 1, trunk_BTD))
        with learner.autocast():
            return substituted(learner, tensors, run).logits_BTV

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; one more pass per further branch."""
        if learner.scope.edit(batch.prompt) is not None:
            raise UserError(
                f"objective.one: train: {learner.settings.train.tag} edits a frozen network, whose trunk cannot learn: "
                "set train to all, or to layers."
            )
        others = [self.read(learner, batch, output, cast(nn.ParameterDict, branch)) for branch in self.branches]
        logits = [output.logits_BTV, *others]
        said = [precise(batch.predictions(z_BTV)) for z_BTV in logits]
        shares_BNE = self.shares(batch.predictions(cast(Tensor, output.hidden[self.settings.trunk])))
        ensemble_BNV = sum(share * z for share, z in zip(shares_BNE.split(1, -1), said, strict=True))
        losses = [cross_entropy(z[0], batch.target_BT[0]) for z in [*said, ensemble_BNV]]
        pulls = [kl(ensemble_BNV, z, self.settings.temperature) for z in said]
        self._measured = {f"branch-{number}": losses[number].detach() for number in range(1, len(said))}
        self._measured |= {"ensemble": losses[-1].detach(), "share": shares_BNE[..., 0].detach().mean()}
        return torch.stack(losses).sum() + ramp(moment.cycle, self.settings.ramp) * torch.stack(pulls).sum()

    def measured(self) -> dict[str, Tensor]:
        """Losses of the further branches and of the ensemble; `share`: how much branch 0 counts, on average."""
        return self._measured


def probe(network: Network) -> Tensor:
    """Some tokens [1, 4], to find out how a network is wired."""
    return torch.zeros(1, 4, dtype=torch.int64, device=next(network.parameters()).device)


def above(network: Network, trunk: int) -> list[str]:
    """Names of the weights between what the lowest `trunk` layers leave and the scores, found in the graph of a pass.

    Raises UserError where a network has no such trunk.
    """
    tag = type(network).__name__
    if not network.causal:
        raise UserError(f"objective.one: {tag} fills masks, and its places are not gated: set network to a causal one.")
    if trunk >= network.depth:
        raise UserError(
            f"objective.one.trunk is {trunk}, and the network has {network.depth} layers: leave at least one to branch."
        )
    leaves = {name: p.detach().requires_grad_() for name, p in network.named_parameters()}
    with torch.enable_grad():
        output: Output = functional_call(network, leaves, (probe(network),))
        trunk_BTD = cast(Tensor, output.hidden[trunk])
        shared = reached(trunk_BTD, leaves)
        names = [name for name in reached(output.logits_BTV, leaves) if name not in shared]
    if not any(re.search(r"\.\d+\.", name) for name in names):
        raise UserError(
            f"objective.one: in {tag} lower layers read what upper ones made of earlier tokens, so that none can be "
            "shared: choose another network."
        )
    return names


def reached(tensor: Tensor, leaves: dict[str, Tensor]) -> list[str]:
    """Names of the leaves that a tensor was computed from."""
    found: Sequence[Tensor | None] = torch.autograd.grad(
        tensor.sum(), list(leaves.values()), retain_graph=True, allow_unused=True
    )
    return [name for name, gradient in zip(leaves, found, strict=True) if gradient is not None]
