"""Whether the output follows a name or number that is swapped in the input, at the place where the target has it.

item: number of the anchor in the pair's list. At the first token where the swapped and the original name differ,
behind the true target tokens before it, log p(swapped) − log p(original) (nat):
`own`: at the anchor's place in the other text, `own_before`: there, before the swap; `sham`, `sham_before`: the swapped
name against the one that stands there, at the place of the next anchor of this kind, which has no part in the swap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from resonance import params
from resonance.learning.batch import batch
from resonance.snapshots.experiments.predictions import predictions
from resonance.snapshots.experiments.scene import Finding, Scene
from resonance.text.prompt import prompt
from resonance.text.shown import kinds, site
from resonance.text.tokens import Ids, Tokens

CROSS: tuple[params.Direction, ...] = ("1>2", "2>1")


class Swap(NamedTuple):
    """One anchor exchanged for another.

    input: the changed text. swapped: the token that came in. original: by place, own or sham, where the target has a
    token that differs from it, and that token.
    """

    item: int
    input: Ids
    swapped: int
    original: dict[str, tuple[int, int]]


def findings(scene: Scene) -> Iterator[Finding]:
    """Both directions between the texts; nothing of pairs with windows, and of networks that are not causal."""
    learner, tokens = scene.learner, scene.tokens
    if tokens.windows > 1 or not learner.network.causal:
        return

    for direction in CROSS:
        chosen = list(swaps(tokens, direction, scene.settings.kept))
        inputs = [tokens.ids(direction[0]), *(swap.input for swap in chosen)]
        made = [prompt(tokens, direction, learner.settings.marker, 0, read) for read in inputs]
        asked = [batch(each, direction, 0, learner.device, "input:anchor") for each in made]
        answers = predictions(learner, asked)
        before_NV = next(answers)
        for swap, after_NV in zip(chosen, answers, strict=True):
            for name, (place, original) in swap.original.items():
                for suffix, log_p_NV in (("", after_NV), ("_before", before_NV)):
                    odds = float(log_p_NV[place, swap.swapped] - log_p_NV[place, original])
                    yield Finding(f"{name}{suffix}", odds, direction, item=swap.item)


def swaps(tokens: Tokens, direction: params.Direction, kept: int) -> Iterator[Swap]:
    """Every anchor that has two others of its kind, exchanged for the one before it in the list of its kind.

    kept: anchors in the first tokens of the target are left out, since a reciter needs the input there.
    """
    source, goal = direction.split(">")
    numbers = {anchor: number for number, anchor in enumerate(tokens.anchors)}
    for names in kinds(tokens):
        for rank, anchor in enumerate(names):
            other, third = names[rank - 1], names[(rank + 1) % len(names)]
            new, *standing = (tokens.ids(goal)[slice(*site(tokens, name, goal))] for name in (other, anchor, third))
            first = int((standing[0] != new).argmax())
            places = [site(tokens, name, goal)[0] + first for name in (anchor, third)]
            if (
                len({anchor, other, third}) < 3
                or min(places) < kept
                or any(new[first] == old[first] for old in standing)
            ):
                continue
            changed = tokens.ids(source).copy()
            changed[slice(*site(tokens, anchor, source))] = tokens.ids(source)[slice(*site(tokens, other, source))]
            originals = [(place, int(old[first])) for place, old in zip(places, standing, strict=True)]
            yield Swap(numbers[anchor], changed, int(new[first]), dict(zip(("own", "sham"), originals, strict=True)))
