"""Whether a network of cycle c can go on from hidden states of cycle 0, once these are turned into its space.

The states that the untouched learner has behind layer l of a sequence are mapped, and put in the place of those that
the learner of this mark has there; its later layers do the rest. The map is one of

    none           nothing is mapped
    shift          the mean of the one cloud is moved to that of the other
    rotation       the best orthogonal map, with the means of the two clouds
    rotation_null  the same, taught by tokens of which nobody knows any more which belongs to which
    affine         the best affine map: all that a linear map can do

and `own` is the learner itself. Maps are taught by all places of the pair's sequences, and judged on

    pair   the target of a direction, with maps that the other three directions taught
    probe  every probe as the target behind the article, with maps that all four taught

quantities: `<pair|probe>_<map>`: mean −log p of the target (nat/token); `<pair|probe>_<map>_divergence`: mean over the
target of KL(own ‖ stitched) (nat/token). layer: l, from 1. item: number of the probe in the pair's list.
A network that fills masks reads masked sequences, and its numbers are estimates of the bound on which it is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from resonance.learning.batch import Batch, batch
from resonance.learning.learner import Learner
from resonance.learning.moment import generator
from resonance.networks.network import Below, Network
from resonance.params import DIRECTIONS
from resonance.snapshots.conditions import probes
from resonance.snapshots.experiments.maps import Map, affine, rotation, shift
from resonance.snapshots.experiments.scene import Finding, Scene
from resonance.text.prompt import prompt

MASKED = 2
"""Masked forms of a sequence that a network which fills masks reads."""
FOLDS = 4
"""Parts into which token types are cut to choose the affine map for texts of other types."""

Maps = Mapping[str, Map | None]
"""By name; None: nothing is mapped."""


@dataclass(frozen=True)
class Look:
    """A sequence, and what two learners make of it.

    shown_BT: as it is read; B > 1 where there are masked forms of it. weight_BN: as in `Output`.
    then, now: hidden states [B, T, D] of cycle 0 and of the mark, the embedding first.
    """

    asked: Batch
    shown_BT: Tensor
    weight_BN: Tensor | None
    then: tuple[Tensor | None, ...]
    now: tuple[Tensor | None, ...]

    def clouds(self, layer: int) -> tuple[Tensor, Tensor]:
        """The states behind a layer, of cycle 0 and of the mark: float64 [B T, D], on the CPU."""
        then_BTD, now_BTD = self.then[layer], self.now[layer]
        assert then_BTD is not None
        assert now_BTD is not None
        return then_BTD.flatten(0, 1).double().cpu(), now_BTD.flatten(0, 1).double().cpu()


@torch.no_grad()
def findings(scene: Scene) -> Iterator[Finding]:
    """Four directions and the probes, of the first window; nothing at cycle 0, where nothing has moved.

    Nothing of learners that carry something from sequence to sequence, for what they carry is not of cycle 0.
    """
    learner = scene.learner
    if scene.cycle == 0 or learner.memory.keeps:
        return
    looks = [look(scene, example) for example in scene.examples]
    for own in (each for each in looks if each.asked.window == 0):
        taught = [each for each in looks if each.asked.direction != own.asked.direction]
        fold_N = torch.cat(
            [torch.full((each.shown_BT.numel(),), DIRECTIONS.index(each.asked.direction)) for each in taught]
        )
        yield from judged(learner, "pair", own, maps(scene, taught, fold_N, own.asked.direction))
    fold_N = torch.cat([each.shown_BT.flatten() for each in looks]).cpu() % FOLDS
    for_probes = maps(scene, looks, fold_N, "probe")
    for item, asked in probe_targets(scene):
        yield from judged(learner, "probe", look(scene, asked), for_probes, item)


def probe_targets(scene: Scene) -> Iterator[tuple[int, Batch]]:
    """(number, prompt) of every probe that is a text, and not words in another order, as the target of the article."""
    tokens, learner = scene.tokens, scene.learner
    for condition, text in probes(tokens, "1", "2"):
        if condition.startswith("target:") and not text.startswith("shuffled-"):
            made = prompt(tokens, "1>2", learner.settings.marker, 0, target_ids=tokens.ids(text))
            yield tokens.probes.index(text), batch(made, "1>2", 0, learner.device, condition)


def look(scene: Scene, asked: Batch) -> Look:
    """What both learners make of a sequence; masked as in training where the network fills masks."""
    network, shown_BT, weight_BN = scene.learner.network, asked.tokens_BT, None
    if not network.causal:
        draws = generator(scene.learner.seed, "stitching", scene.cycle, asked.direction, asked.window, asked.condition)
        shown_BT, weight_BN = network.masked(shown_BT.expand(MASKED, -1), asked.prompt, draws)
    shown = replace(asked, tokens_BT=shown_BT)
    then, now = (each.read(shown, whole=True).hidden for each in (scene.start, scene.learner))
    return Look(asked, shown_BT, weight_BN, then, now)


def maps(scene: Scene, taught: Sequence[Look], fold_N: Tensor, place: str) -> Sequence[Maps]:
    """The maps that these sequences teach, from layer 1 to the last but one.

    fold_N: places that are held out together to choose the affine map. place: what the maps are for.
    """
    found = []
    for layer in range(1, scene.learner.network.depth):
        clouds = [each.clouds(layer) for each in taught]
        x_ND, y_ND = torch.cat([x for x, _ in clouds]), torch.cat([y for _, y in clouds])
        draws = generator(scene.learner.seed, "stitching", scene.cycle, layer, place)
        mixed_N = torch.randperm(len(y_ND), generator=draws)
        found.append(
            {
                "none": None,
                "shift": shift(x_ND, y_ND),
                "rotation": rotation(x_ND, y_ND),
                "rotation_null": rotation(x_ND, y_ND[mixed_N]),
                "affine": affine(x_ND, y_ND, fold_N),
            }
        )
    return found


def judged(
    learner: Learner, kind: str, seen: Look, of_layers: Sequence[Maps], item: int | None = None
) -> Iterator[Finding]:
    """What every map costs on the target of one sequence, layer by layer."""
    direction = seen.asked.direction
    own_BNV = log_p(learner, seen)
    for layer, named in enumerate(of_layers, 1):
        yield Finding(f"{kind}_own", nll(seen, own_BNV), direction, layer, item)
        then_BTD = seen.then[layer]
        assert then_BTD is not None
        for name, found in named.items():
            log_p_BNV = log_p(learner, seen, layer, then_BTD if found is None else found(then_BTD))
            yield Finding(f"{kind}_{name}", nll(seen, log_p_BNV), direction, layer, item)
            yield Finding(f"{kind}_{name}_divergence", divergence(seen, own_BNV, log_p_BNV), direction, layer, item)


def log_p(learner: Learner, seen: Look, layer: int = 0, instead_BTD: Tensor | None = None) -> Tensor:
    """log p at each target place, [B, N, V], where these are the states behind a layer (None: the learner's own).

    A network that reads more from below than hidden states has the learner's own of that.
    """
    scope = learner.scope.edit(seen.asked.prompt)

    def edit(number: int, hidden_BTD: Tensor) -> Tensor:
        if instead_BTD is not None and number == layer - 1:
            return instead_BTD
        return hidden_BTD if scope is None else scope(number, hidden_BTD)

    below = None
    if instead_BTD is not None and type(learner.network).below is Network.below:
        below = Below(layer - 1, instead_BTD)  # nothing else is read from there, so that it need not be computed
    with learner.autocast():
        logits_BTV = learner.network(seen.shown_BT, edit=edit, below=below).logits_BTV
    return seen.asked.predictions(logits_BTV).float().log_softmax(-1)


def nll(seen: Look, log_p_BNV: Tensor) -> float:
    """Mean −log p of the target (nat/token)."""
    target_BN1 = seen.asked.target_BT.expand(len(log_p_BNV), -1)[..., None]
    return mean(seen, -log_p_BNV.gather(2, target_BN1)[..., 0])


def divergence(seen: Look, own_BNV: Tensor, log_p_BNV: Tensor) -> float:
    """Mean KL(own ‖ stitched) over the target (nat/token)."""
    return mean(seen, (own_BNV.exp() * (own_BNV - log_p_BNV)).sum(-1))


def mean(seen: Look, value_BN: Tensor) -> float:
    """Over the target, weighted as the loss is."""
    return float((value_BN if seen.weight_BN is None else value_BN * seen.weight_BN).double().mean())
