"""What low-rank edits of hidden states make of a frozen network, away from where they are made.

The hidden states of a learner are compared with those of its network without edits, in the layers above the lowest
edit. What moves there, at places that no edit touches, is the network's answer to the edits. Its part at right angles
to the space of all edits, the joint span of their R, is what they cannot have put there themselves.

item: 0 at places without an edit (behind the first edit, where no place sees a later one), 1 at places with one.
layer: l, from 0 at the embedding. other: number of a random draw. quantities, of H' with and H without edits:

    drift           ‖H' − H‖ / ‖H − mean of H‖, places as rows
    outside         share of ‖H' − H‖² at right angles to the joint span
    drift_random, outside_random    the same of random edits

A random edit takes the coordinates that the learner's own has in its space, at each place of each layer, and reads them
in a random space of as many dimensions: it has the same rank, and at each place the same length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import generator
from resonance.learning.scopes.loreft import Loreft
from resonance.networks.network import Edit
from resonance.snapshots.experiments.scene import Finding, Scene

DRAWS = 8
"""Random sets of edits."""
NO_DRIFT = 1e-6
"""Relative drift below which float32 vectors are the same, and have nothing to be cut into shares."""

Bases = Mapping[str, Tensor]
"""By the name of an edit: orthonormal columns that span its space [D, r], float64 on the CPU."""
Hidden = list[Tensor]
"""Hidden states behind each layer [T, D], the embedding first."""
Moves = Mapping[int, Tensor]
"""By layer, how far an edit moves what stands at each place [T, D], 0 where there is none."""


@torch.no_grad()
def findings(scene: Scene) -> Iterator[Finding]:
    """Four directions, first window; only of the LoReFT family, and of learners that carry nothing on."""
    learner, scope = scene.learner, scene.learner.scope
    if not isinstance(scope, Loreft) or learner.memory.keeps:
        return
    own = {name: span(module) for name, module in scope.edits.items()}
    drawn = [random_like(own, scene, number) for number in range(DRAWS)]
    for asked in (each for each in scene.examples if each.window == 0):
        frozen = hidden(learner, asked, None)
        edited, moves = followed(learner, scope, asked)
        places = places_of(learner, scope, asked)
        yield from compared(asked, scope, places, frozen, edited, joint(own), "")
        for number, bases in enumerate(drawn):
            other = hidden(learner, asked, adding(turned(scope, asked, moves, own, bases)))
            yield from compared(asked, scope, places, frozen, other, joint(bases), "_random", number)


def compared(
    asked: Batch,
    scope: Loreft,
    places: Sequence[Tensor],
    frozen: Hidden,
    other: Hidden,
    joint_DK: Tensor,
    suffix: str,
    number: int | None = None,
) -> Iterator[Finding]:
    """How far hidden states are from those of the frozen network, in the layers above the lowest edit."""
    assert scope.lowest is not None
    for layer in range(scope.lowest + 2, len(frozen)):
        for item, chosen_T in enumerate(places):
            before_ND = frozen[layer][chosen_T]
            drift_ND = other[layer][chosen_T] - before_ND
            outside_ND = drift_ND - drift_ND @ joint_DK @ joint_DK.T
            spread, length = (before_ND - before_ND.mean(0)).norm(), drift_ND.norm()
            if spread > 0:
                yield Finding("drift" + suffix, float(length / spread), asked.direction, layer, item, number)
            if length > NO_DRIFT * spread:
                share = (outside_ND.norm() / length) ** 2
                yield Finding("outside" + suffix, float(share), asked.direction, layer, item, number)


def places_of(learner: Learner, scope: Loreft, asked: Batch) -> tuple[Tensor, Tensor]:
    """(places that the edits can reach through other places alone, places with an edit), bool [T]."""
    touched_T = torch.zeros(asked.tokens_BT.shape[1], dtype=torch.bool)
    for place in slices(scope, asked).values():
        touched_T[place] = True
    behind_T = touched_T.cumsum(0) > 0 if learner.network.causal else torch.ones_like(touched_T)
    return behind_T & ~touched_T, touched_T


def slices(scope: Loreft, asked: Batch) -> dict[str, slice]:
    """Where each group of edits acts."""
    return {group: slice(*bounds(asked.prompt)) for group, bounds in scope.groups.items()}


def hidden(learner: Learner, asked: Batch, edit: Edit | None) -> Hidden:
    """The hidden states of a sequence, the embedding first: float64 [T, D], on the CPU."""
    with learner.autocast():
        output = learner.network(asked.tokens_BT, edit=edit)
    return [state[0].double().cpu() for state in output.hidden if state is not None]


def followed(learner: Learner, scope: Loreft, asked: Batch) -> tuple[Hidden, Moves]:
    """The hidden states with the learner's own edits, and how far each edit itself moves what stands there."""
    calls: dict[int, list[Tensor]] = {layer: [] for layer in scope.settings.layers}
    edit = scope.edit(asked.prompt)

    def recorded(layer: int, hidden_BTD: Tensor) -> Tensor:
        edited_BTD = edit(layer, hidden_BTD)
        if layer in calls:
            calls[layer].append((edited_BTD.double() - hidden_BTD.double())[0].cpu())
        return edited_BTD

    found = hidden(learner, asked, recorded)
    # A network that reads one place at a time asks for each of them, and takes of every answer that place alone.
    return found, {
        layer: each[0] if len(each) == 1 else torch.stack([moves_TD[t] for t, moves_TD in enumerate(each)])
        for layer, each in calls.items()
    }


def turned(scope: Loreft, asked: Batch, moves: Moves, own: Bases, other: Bases) -> Moves:
    """The same coordinates in other spaces."""
    found = {layer: torch.zeros_like(moves_TD) for layer, moves_TD in moves.items()}
    for layer, moves_TD in moves.items():
        for group, place in slices(scope, asked).items():
            name = f"{layer}-{'tied' if scope.settings.tied else group}"
            found[layer][place] = moves_TD[place] @ own[name] @ other[name].T
    return found


def adding(moves: Moves) -> Edit:
    """The edit that moves what a layer leaves by these vectors."""
    return lambda layer, hidden_BTD: hidden_BTD + moves[layer].to(hidden_BTD) if layer in moves else hidden_BTD


def span(module: nn.Module) -> Tensor:
    """The space of an edit's moves: that of the rows of R, which is W2 where it is not orthogonal."""
    parts = dict(module.named_modules())
    weight_DR = parts["rotate_layer"].weight if "rotate_layer" in parts else parts["proj_layer"].weight.T
    return orthonormal(weight_DR.detach().double().cpu())


def joint(bases: Bases) -> Tensor:
    """The space of all edits together, [D, K]."""
    return orthonormal(torch.cat(list(bases.values()), dim=1))


def orthonormal(vectors_DN: Tensor) -> Tensor:
    """Orthonormal columns that span the same."""
    U_DK, s_K, _ = torch.linalg.svd(vectors_DN, full_matrices=False)
    return U_DK[:, s_K > 1e-6 * s_K.max()]


def random_like(bases: Bases, scene: Scene, number: int) -> Bases:
    """Random spaces of as many dimensions, the same in all directions."""
    draws = generator(scene.learner.seed, "edits", scene.cycle, number)
    noise = {
        name: torch.randn(basis_DR.shape, generator=draws, dtype=torch.float64) for name, basis_DR in bases.items()
    }
    return {name: torch.linalg.qr(noise_DR).Q for name, noise_DR in noise.items()}
