"""Tables in which it is known what is true: each builder plants one claim, by the size of its effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import permutations as permutations_of
from math import exp, log, log2

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resonance.params import Params, parse

DIRECTIONS = ("1>2", "2>1", "1>1", "2>2")
SAME, CROSS = DIRECTIONS[2:], DIRECTIONS[:2]
CYCLES = 1024
MARKS = (0, *(1 << k for k in range(11)))
FINE = (0, *sorted({round(2 ** (k / 8)) for k in range(81)}))
"""Eight marks per doubling."""
WORDS = ["learner", "pair", "schedule", "direction", "condition", "measure"]
EDITED = ("input:edited",)
PROBES = ("target:paraphrase", "target:unrelated")

SMALL = {"transformer": {"width": 16, "layers": 2, "heads": 2, "feedforward": 32}}
READER = {"network": {"rwkv7": {"width": 16, "layers": 2, "head_size": 8}}, "train": "nothing", "objective": {}}


@cache
def study(seeds: int = 7, pairs: int = 1) -> Params:
    """A study with every learner and schedule that any claim asks for by its usual name."""
    plain = {"network": SMALL, "objective": {"lm": 1.0}}
    names = ("gpt", "gpt-shuffled", "copier", "smoothing", "averaging", "unrelated", "versions", "rerun", "lora")
    more = [*(f"hidden-{fold}" for fold in range(5)), *(f"versions-{count}" for count in (1, 4, 16, 64))]
    orders = {f"order-{n}": {"shuffled": {"seed": 100 + n}} for n in range(6)}
    orders |= {f"fixed-{n}": {"fixed": {"seed": 200 + n}} for n in range(6)}
    loreft = {"loreft": {"layers": [1], "rank": 2}}
    return parse(
        {
            "pairs": ["spacing", *(f"pair-{n}" for n in range(1, pairs))],
            "schedules": {"shuffled": "shuffled"}
            | {f"block-{n}": {"blocked": {"length": n}} for n in (1, 4, 16, 64, 256)}
            | orders,
            "seeds": list(range(seeds)),
            "cycles": CYCLES,
            "chunks": {"first": 64},
            "snapshots": {},
            "text": {"packages": ["numpy"]},
            "base": {"per_seed": True},
            "learners": dict.fromkeys((*names, *more), plain)
            | {
                "loreft": plain | {"train": loreft},
                "loreft-shuffled": plain | {"train": loreft},
                "reader": READER,
                "reader-foreign": READER,
                "critic": plain | {"heads": {"critic": {}}},
                "ema": plain | {"objective": {"lm": 1.0, "ema": 1.0}},
                "ema-none": plain | {"marker": "none"},
            },
            "evaluation": {},
            "compute": {},
        }
    )


Value = float | Callable[[int], float] | NDArray[np.float64]
"""A number, a number per cycle, or an array [runs, cycles]."""


class Plant:
    """Rows of tables for all runs of a study.

    draws: where the noise comes from; every `put` adds to each run a normal deviation of its own.
    """

    def __init__(self, study: Params, draws: int = 0) -> None:
        self.study = study
        self.draws = np.random.default_rng(draws)
        self.blocks: dict[str, list[pd.DataFrame]] = {}
        self.runs = len(study.pairs) * len(study.seeds)

    def noise(self, spread: float) -> NDArray[np.float64]:
        """One deviation per run [runs, 1]."""
        return self.draws.normal(size=(self.runs, 1)) * spread

    def put(
        self,
        measure: str,
        value: Value,
        learner: str = "gpt",
        *,
        spread: float = 0.0,
        schedule: str = "shuffled",
        cycles: Sequence[int] = MARKS,
        directions: Sequence[str | None] = (None,),
        conditions: Sequence[str | None] = (None,),
        layers: Sequence[int | None] = (None,),
    ) -> None:
        """Rows for all of these, in every run of the learner on the schedule."""
        family, _, name = measure.partition(".")
        curve = np.array([value(cycle) for cycle in cycles]) if callable(value) else np.asarray(value)
        values_RC = np.broadcast_to(curve + self.noise(spread), (self.runs, len(cycles)))
        axes = {
            "pair": pd.Categorical(self.study.pairs),
            "seed": np.array(self.study.seeds),
            "cycle": np.array(cycles),
            "layer": pd.array(layers, "Int16"),
            "direction": pd.Categorical(directions, categories=[*DIRECTIONS, "probe"]),
            "condition": pd.Categorical(conditions),
        }
        shape = [len(axis) for axis in axes.values()]
        places = np.unravel_index(np.arange(np.prod(shape)), shape)
        columns = {key: axis[place] for (key, axis), place in zip(axes.items(), places, strict=True)}
        rest = int(np.prod(shape[3:]))
        block = pd.DataFrame(columns | {"value": np.repeat(values_RC.ravel(), rest)})
        self.blocks.setdefault(family, []).append(block.assign(learner=learner, schedule=schedule, measure=name))

    def tables(self) -> dict[str, pd.DataFrame]:
        """As they are read from a study."""
        found = {family: pd.concat(blocks, ignore_index=True) for family, blocks in self.blocks.items()}
        return {family: table.astype(dict.fromkeys(WORDS, "category")) for family, table in found.items()}

    def learned(self, at: float = 90, learner: str = "gpt", most: float = 1.0) -> None:
        """Token accuracy that reaches its most around cycle `at`."""
        asked = {"directions": DIRECTIONS, "conditions": ("clean",)}
        self.put("memorisation.token_accuracy", lambda cycle: most if cycle >= at else 0.5, learner, **asked)
        self.put("loss.accuracy_online", lambda cycle: most if cycle >= at else 0.5, learner, directions=DIRECTIONS)


def recites(plant: Plant, effect: float, control: bool = True, spread: float = 0.01, cost: float = 0.01) -> None:
    """effect: share of edits answered with the stored token; cost: what a blank input adds."""
    plant.put("probes.store_share", effect, spread=spread, directions=SAME, conditions=EDITED)
    plant.put("probes.input_effect", cost, spread=spread / 5, directions=DIRECTIONS, conditions=("input:blank",))
    plant.learned(most=1.0 if control else 0.7)


def copies(plant: Plant, effect: float, control: bool = True, spread: float = 0.01) -> None:
    """effect: share of edits followed."""
    edited = {"directions": SAME, "conditions": EDITED}
    plant.put("probes.follow_share", effect, spread=spread, **edited)
    plant.put("probes.follow_share", 0.97 if control else 0.2, "copier", **edited)
    plant.learned()


def chokes(plant: Plant, effect: float, control: bool = True, spread: float = 0.02) -> None:
    """effect: rise in bit/byte since cycle 8, where all are lowest; before and after the marks move at random."""
    unrelated = {"directions": ("1>2",), "conditions": ("target:unrelated",)}
    bits_RC = np.where(np.array(MARKS) == 8, 2.0, 2.2) + np.zeros((plant.runs, 1))
    bits_RC[:, -1:] = 2.0 + effect + plant.noise(spread)
    plant.put("tempered.bits_per_byte_tempered", bits_RC, **unrelated)
    plant.put("probes.bits_per_byte", bits_RC, **unrelated)
    plant.put("probes.nll", 5.0 if control else 7.5, **unrelated)


def structure(plant: Plant, effect: float, control: bool = True, spread: float = 0.02) -> None:
    """effect: share of the drift outside span(R), beyond random edits."""
    for learner, more in (("loreft", effect), ("loreft-shuffled", 0.0)):
        asked = {"layers": (1, 2), "conditions": ("unedited",)}
        plant.put("edits.outside_share", 0.4 + more, learner, spread=spread, **asked)
        plant.put("edits.outside_share_random", 0.4, learner, **asked)
        plant.learned(learner=learner)
    for learner, speed in (("loreft", 50), ("lora", 20)):
        known = np.array([1 - exp(-cycle / speed) for cycle in MARKS])
        loss = 5 - (4 if control else 0.01) * known
        plant.put("loss.nll", loss, learner, directions=DIRECTIONS, conditions=("clean",))
        drift = {"cycles": MARKS[1:], "layers": (0, 1, 2), "conditions": ("probes",)}
        plant.put("similarity.drift", known[1:], learner, **drift)


def context(plant: Plant, effect: float, control: bool = True, spread: float = 0.01, further: float = -0.1) -> None:
    """effect: what pass 1 is worth in pass 2, beyond an unrelated text (nat/token, below 0 helps)."""
    gain = np.array([0.0, effect, *[effect + further] * (len(MARKS) - 2)])
    plant.put("reader.pass_gain", gain - 0.2, "reader", spread=spread, directions=DIRECTIONS)
    plant.put("reader.pass_gain", -0.2, "reader-foreign", directions=DIRECTIONS)
    blank = {"directions": DIRECTIONS, "conditions": ("input:blank",)}
    plant.put("probes.input_effect", 0.5 if control else 0.0, "reader", **blank)


def critic(
    plant: Plant, effect: float, control: bool = True, spread: float = 0.01, base: float = 0.8, errors: float = 500
) -> None:
    """effect: gain in AUROC; base: AUROC without the critic."""
    for what in ("later", "unseen"):
        asked = {"learner": "critic", "cycles": MARKS[-1:], "conditions": (f"critic:{what}",)}
        plant.put("critics.auroc_gain", effect, spread=spread, **asked)
        plant.put("critics.auroc_base", base if control else 0.5, **asked)
        plant.put("critics.errors", errors, **asked)
        plant.put("critics.error_rate", 0.3, **asked)


def calibration(plant: Plant, effect: float, control: bool = True, spread: float = 0.002) -> None:
    """effect: Brier score per doubling with a teacher, minus that without."""
    asked = {"directions": DIRECTIONS, "conditions": PROBES}
    doublings = np.log2(np.maximum(MARKS, 1))
    for learner, tilt in (("ema", effect + plant.noise(spread)), ("gpt", 0.0), ("smoothing", 0.0)):
        plant.put("confidence.brier", 0.3 + tilt * doublings, learner, **asked)
        plant.put("probes.nll", 5.0, learner, **asked)
        plant.learned(learner=learner)
    plant.put("probes.bits_per_byte", 2.5, **asked)
    behind = {"directions": ("1>2",), "conditions": PROBES}
    plant.put("tempered.bits_per_byte_tempered", 2.2 if control else 2.5, **behind)
    plant.put("loss.nll_first_difference", log(2), "ema-none", directions=DIRECTIONS)
    plant.put("loss.target_tokens", 300, "ema-none", directions=DIRECTIONS)


def correspondence(plant: Plant, effect: float, control: bool = True, spread: float = 0.01, links: float = 8) -> None:
    """effect: reciprocal rank of hidden links beyond the best baseline, which is 0.4; links: of each fold."""
    for fold in range(5):
        asked = {"learner": f"hidden-{fold}", "directions": CROSS}
        plant.put("matching.hidden", links, **asked)
        plant.put("matching.mrr_hidden", lambda cycle: 0.4 + effect if cycle else 0.2, spread=spread, **asked)
        plant.put("matching.mrr_hidden_lexical", 0.35 if control else 0.15, **asked)
        plant.put("matching.mrr_hidden_position", 0.4, **asked)
        plant.put("matching.mrr_likelihood_null", 0.15, **asked)
        for layer, gain in enumerate((0.1, 0.5)):
            plant.put("patching.patched_gain", gain, spread=spread, layers=(layer,), **asked)
            plant.put("patching.patched_gain_null", 0.1, layers=(layer,), **asked)
        plant.put("patching.patched_layer", 1.0, **asked)
    plant.put("matching.mrr_likelihood", 0.15, "unrelated", directions=CROSS)


def translation(plant: Plant, effect: float, control: bool = True, spread: float = 0.01, number: float = 24) -> None:
    """effect: share of swapped anchors that are followed; number: of anchors."""
    plant.put("anchors.number", number, directions=CROSS)
    plant.put("anchors.follow_share", effect, spread=spread, directions=CROSS)
    plant.put("anchors.follow", 10 * effect, spread=10 * spread, directions=CROSS)
    plant.put("anchors.follow_sham", 0.0, directions=CROSS)
    plant.put("anchors.follow_share", 0.9 if control else 0.3, "versions", directions=CROSS)
    plant.learned()


def identity(plant: Plant, effect: float, control: bool = True, spread: float = 0.01, words: float = 0.6) -> None:
    """effect: reciprocal rank of reworded segments beyond the best baseline; words: that of common words."""
    best = words if control else 0.3
    asked = {"directions": ("probe",), "conditions": ("paraphrase-article", "paraphrase-meta")}
    plant.put("correspondence.mrr_paraphrase_lexical", best, cycles=(0,), **asked)
    found = np.array([0.2, *[best + effect] * (len(MARKS) - 1)])
    plant.put("correspondence.mrr_paraphrase", found, spread=spread, layers=(0, 1, 2), **asked)
    roles = {"directions": CROSS, "layers": (0, 1, 2)}
    plant.put("correspondence.mrr_roles", 0.95, spread=spread, conditions=("input-target",), **roles)
    plant.put("correspondence.mrr_roles", 0.5, conditions=("target",), **roles)


def interference(plant: Plant, effect: float, control: bool = True, spread: float = 0.01) -> None:
    """effect: rise of the other direction's loss per own gain; ratios outside the window are wild."""
    edges = (64, 128, 256, 512, 1024)
    loss = np.array([4.0, 2.0, 1.0, 0.2, 0.01])
    inside = (loss >= 0.1) & (loss <= 3)
    for learner in ("gpt", "unrelated"):
        plant.put("transfer.loss", loss, learner, cycles=edges, directions=DIRECTIONS)
        for i, j in permutations_of(DIRECTIONS, 2):
            moved = np.where(inside, effect if i[0] == j[0] else -0.5, -50.0)
            asked = {"cycles": edges, "directions": (j,), "conditions": (f"after:{i}",)}
            plant.put("transfer.transfer_net", moved, learner, spread=spread, **asked)
    plant.put("transfer.halves_net", -0.4 if control else 0.1, cycles=edges, directions=DIRECTIONS)


def topology(
    plant: Plant,
    effect: float,
    control: bool = True,
    spread: float = 0.02,
    drift: float = 0.5,
    other_seed: float = 0.02,
) -> None:
    """effect: share of the held-out drift that a rotation explains; other_seed: that of the way to another network."""
    asked = {"cycles": MARKS[1:], "conditions": ("probes",), "layers": (0, 1, 2)}
    plant.put("similarity.drift", drift, **asked)
    plant.put("similarity.rotation_share", effect, spread=spread, **asked)
    plant.put("similarity.rotation_share_null", 0.01, **asked)
    at = {"layers": (1, 2), "conditions": ("pair",)}
    for name, value in (("none", 5.5), ("affine", 0.5 if control else 5.0), ("rotation_null", 6.0)):
        plant.put(f"stitching.divergence_{name}", value, **at)
    plant.put("stitching.divergence_rotation", 5.5 - 5 * effect, **at)
    plant.put("stitching.stitch_recovery", min(1.0, effect + 0.4), spread=spread, **at)
    plant.put("stitching.divergence_restored", effect, spread=spread, layers=(1, 2), conditions=("probe",))
    plant.learned()
    at_end = {"cycles": MARKS[-1:], "conditions": ("seed:1",), "layers": (0, 1, 2)}
    plant.put("between.rotation_share_other_seed", other_seed, spread=spread, **at_end)


def depth(plant: Plant, effect: float, control: bool = True, spread: float = 0.002, data: float = 0.0) -> None:
    """effect: bit/byte that a doubling of the block costs; data: that a doubling of the versions saves."""
    asked = {"directions": DIRECTIONS, "conditions": ("target:paraphrase",)}
    tilt, start = effect + plant.noise(spread), 3.0 if control else 2.0
    for length in (1, 4, 16, 64, 256):
        bits = np.where(np.array(MARKS) > 0, 2.0 + tilt * log2(length), start)
        plant.put("probes.bits_per_byte", bits, schedule=f"block-{length}", **asked)
    for count in (1, 4, 16, 64):
        plant.put("probes.bits_per_byte", 2.0 - data * log2(count), f"versions-{count}", **asked)


def permutations(plant: Plant, effect: float, control: bool = True, spread: float = 0.03, block: int = 7) -> None:
    """effect: standard deviation between schedules of log t99, drawn anew for each block of so many runs."""
    clean = {"directions": DIRECTIONS, "conditions": ("clean",)}
    inits, blocks = plant.noise(0.05), -(-plant.runs // block)
    for number in range(12):
        z = plant.draws.normal(size=blocks) if blocks > 1 else np.array([(number % 6 - 2.5) / 1.87])
        moved = np.repeat(z, block)[: plant.runs, None] * effect * (number < 6)
        due = np.exp(log(200) + moved + inits + plant.noise(spread))
        known = np.where(np.array(FINE) >= due, 0.999, 0.6)
        schedule = f"{'order' if number < 6 else 'fixed'}-{number % 6}"
        plant.put("loss.accuracy_online", known, schedule=schedule, cycles=FINE)
    plant.put("loss.nll", 0.1, **clean)
    plant.put("loss.nll", 0.1 if control else 0.1001, "rerun", **clean)


PLANTS: dict[str, Callable[..., None]] = {
    each.__name__: each
    for each in (
        *(recites, copies, chokes, structure, context, critic, calibration),
        *(correspondence, translation, identity, interference, topology, depth, permutations),
    )
}
TRUE = {
    "recites": 0.97,
    "copies": 0.8,
    "chokes": 0.5,
    "structure": 0.3,
    "context": -0.3,
    "critic": 0.1,
    "calibration": -0.02,
    "correspondence": 0.3,
    "translation": 0.6,
    "identity": 0.3,
    "interference": 0.3,
    "topology": 0.8,
    "depth": 0.1,
    "permutations": 0.5,
}
FALSE = {
    "recites": 0.5,
    "copies": 0.05,
    "chokes": 0.0,
    "structure": 0.0,
    "context": 0.0,
    "critic": 0.0,
    "calibration": 0.0,
    "correspondence": 0.0,
    "translation": 0.0,
    "identity": 0.0,
    "interference": -0.3,
    "topology": 0.05,
    "depth": 0.0,
    "permutations": 0.0,
}
"""The effect where the claim is true, and where it is false."""


def planted(name: str, effect: float, seeds: int = 7, draws: int = 0, **more: object) -> dict[str, pd.DataFrame]:
    """Tables with this claim planted alone."""
    plant = Plant(study(seeds), draws)
    PLANTS[name](plant, effect, **more)
    return plant.tables()
