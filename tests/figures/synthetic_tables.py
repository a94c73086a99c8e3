"""Tables as a study would leave them: learners that fall, recite and drift along known curves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np
import pandas as pd

DIRECTIONS = ("1>2", "2>1", "1>1", "2>2")
NAMES = (
    *("gpt", "loreft", "rwkv7", "reader", "gla", "feedback", "mutual-online-distillation", "sdtt", "bitdistiller"),
    *("ema", "critic", "ttt-linear", "knn", "introspection", "re-mask", "one", "obd", "born-again", "mqar"),
    "a_very_long_name_of_a_learner_that_nobody_would_choose",
)
RUN = ("learner", "pair", "schedule", "seed")
COLUMNS = [*RUN, "cycle", "layer", "direction", "condition", "measure", "value", "low", "high"]
WORDS = ("learner", "pair", "schedule", "direction", "condition", "measure")


def marks(last: int) -> list[int]:
    """0, 1, 2, 4, ... and the last cycle."""
    return [0, *(1 << i for i in range(last.bit_length()) if 1 << i < last), last] if last else [0]


def tidy(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows in the schema of all measures, with words as categories, as pandas reads them from Parquet."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype(dict.fromkeys(WORDS, "category") | {"layer": "Int16", "low": float, "high": float})


@cache
def tables(
    learners: int = 2, seeds: int = 1, last: int = 64, pair: str = "spacing", schedule: str = "shuffled", depth: int = 2
) -> dict[str, pd.DataFrame]:
    """All families that are drawn, of so many learners; every third one carries a state, the first among them.

    Made once per combination: change a copy.
    """
    found: dict[str, list[dict[str, object]]] = {
        family: []
        for family in (
            *("loss", "memorisation", "probes", "similarity", "reader", "transfer", "anchors", "confidence", "critics"),
            *("geometry", "correspondence", "matching", "patching", "between"),
        )
    }
    for place, name in enumerate(NAMES[:learners]):
        for seed in range(seeds):
            key = {"learner": name, "pair": pair, "schedule": schedule, "seed": seed}

            def add(family: str, measure: str, cycle: int, value: float, key=key, **more: object) -> None:
                found[family].append(key | {"cycle": cycle, "measure": measure, "value": value} | more)

            _one_run(add, place, seed, last, depth, carries=place % 3 == 0)
            _around_it(add, place, seed, last, depth, learners, criticises=place % 4 == 0)
    return {family: tidy(rows) for family, rows in found.items()}


def _one_run(add: Callable[..., None], place: int, seed: int, last: int, depth: int, carries: bool) -> None:
    speed = 0.1 / (1 + place % 4) * (1 + 0.1 * seed)
    for cycle in marks(last):
        known = 1 - np.exp(-speed * cycle)
        for direction in DIRECTIONS:
            here = {"direction": direction}
            add("loss", "nll", cycle, 7.6 * (1 - known) + 0.01, condition="clean", **here)
            for prefix in (0, 8, 32):
                share = min(1.0, known + prefix / 100)
                add("memorisation", f"exact_continuation_{prefix}", cycle, share, condition="clean", **here)
                add("memorisation", f"exact_continuation_{prefix}", cycle, 0.0, condition="input:blank", **here)
            for probe, bits in (("paraphrase", 2.0), ("unrelated", 2.2), ("shuffled", 3.2)):
                add("probes", "bits_per_byte", cycle, bits + known, condition=f"target:{probe}", **here)
            for change, cost in (("blank", 0.1), ("shuffled", 0.3), ("edited", 0.05)):
                add("probes", "input_effect", cycle, cost * known, condition=f"input:{change}", **here)
            if direction in ("1>1", "2>2"):
                for answer, share in (("store", known), ("follow", (1 - known) / 4), ("other", (1 - known) * 3 / 4)):
                    add("probes", f"{answer}_share", cycle, share, condition="input:edited", **here)
            for condition, share in (("clean", known), ("input:blank", known / 2)):
                add("memorisation", "token_accuracy", cycle, share, condition=condition, **here)
            if cycle:
                add("loss", "loss_online", cycle, 7.6 * (1 - known) + 0.02, **here)
                add("loss", "accuracy_online", cycle, known, **here)
                if carries:
                    add("reader", "loss_since_first_pass", cycle, -0.3 * (1 - 1 / cycle), **here)
        if carries:
            add("reader", "lyapunov_1", cycle, (place - 1.5) / 3)
        if cycle and carries:
            add("reader", "state_change", cycle, 0.8 / cycle)
        for layer in range(depth + 1) if cycle else ():
            drift = (layer + 0.5) / depth * known
            where = {"layer": layer, "condition": "probes"}
            add("similarity", "drift", cycle, drift, **where)
            add("similarity", "rest", cycle, drift * 0.6, **where)
            add("similarity", "rotation_share", cycle, 0.64, **where)
            add("similarity", "rotation_share_null", cycle, 0.01, **where)


def _around_it(
    add: Callable[..., None], place: int, seed: int, last: int, depth: int, learners: int, criticises: bool
) -> None:
    """What is measured beside the losses: steps, anchors, confidence, heads, dimensions, correspondence."""
    speed = 0.1 / (1 + place % 4) * (1 + 0.1 * seed)
    for cycle in marks(last):
        known = 1 - np.exp(-speed * cycle)
        for direction in ("1>2", "2>1"):
            add("anchors", "follow_share", cycle, (1 - known) / 2, direction=direction)
            add("matching", "mrr_likelihood", cycle, 0.2 + known / 2, direction=direction)
        for condition, right in (("clean", known), ("target:paraphrase", 0.1), ("target:unrelated", 0.05)):
            add("confidence", "brier", cycle, (known - right) ** 2 + 0.1, condition=condition, direction="1>2")
            add("confidence", "ece_mass", cycle, known - right + 0.01, condition=condition, direction="1>2")
            for k in (0, 7, 14):
                for measure, value in (("reliability", right * k / 14), ("confidence", (k + 0.5) / 15)):
                    add("confidence", f"{measure}_{k}", cycle, value, condition=condition, direction="1>2")
                share = {0: 1 - known, 7: known / 4, 14: known * 3 / 4}[k]
                add("confidence", f"weight_{k}", cycle, share, condition=condition, direction="1>2")
        if criticises and cycle:
            for measure, value in (("auroc", 0.9), ("auroc_confidence", 0.8), ("auroc_entropy", 0.75)):
                add("critics", measure, cycle, 0.5 + (value - 0.5) * known, condition="critic:own")
                add("critics", measure, cycle, 0.1, condition="critic:sample")
        for layer in range(depth + 1):
            for measure, value in (("participation_ratio", 40), ("rankme", 60), ("two_nn", 12)):
                held = value * (1 - known * layer / (2 * depth))
                add("geometry", measure, cycle, held, layer=layer, direction="1>2", condition="target")
                add("geometry", measure, cycle, 1.0, layer=layer, direction="1>2", condition="input")
            for measure, value in (("mrr_texts", 0.5 + known / 5), ("mrr_roles", 1 - known / 9)):
                add("correspondence", measure, cycle, value, layer=layer, condition="input-target")
            shifted = {"low": 0.1, "high": 0.3, "condition": "input", "layer": layer}
            add("correspondence", "mrr_texts_null", cycle, 0.2, **shifted)
    add("correspondence", "mrr_texts_lexical", 0, 0.8)
    for layer in range(depth):
        for direction in ("1>2", "2>1"):
            at = {"layer": layer, "direction": direction}
            linked, other = (0.5 if layer == 1 else 0.2), 0.1
            add("patching", "patched_recovery", last, linked, **at)
            add("patching", "patched_recovery_other", last, other, **at)
            add("patching", "patched_recovery_moved", last, 0.15, **at)
            add("patching", "patched_gain", last, linked - other, **at)
            add("patching", "patched_gain_null", last, 0.0, low=-0.05, high=0.1, **at)
    for cycle, other, layer in product((0, last), range(learners), (0, depth)):
        likeness = 0.9 ** abs(place - other) * (0.5 + layer / (2 * depth)) * (0.8 if cycle else 1.0)
        partner = f"learner:{NAMES[other]}" if other != place else f"seed:{seed + 1}"
        if other != place or learners > 2:
            add("between", "cka_between", cycle, likeness - 0.05, layer=layer, condition=partner)
    if criticises:
        add("critics", "auroc_gain", last, 0.04, condition="critic:later")
    for edge in sorted({max(1, last // 4), max(1, last // 2), last}):
        for i in DIRECTIONS:
            add("transfer", "transfer_own_net", edge, -0.02 / edge, direction=i)
            for j in DIRECTIONS:
                if j != i and (i, j) != ("1>1", "2>1"):
                    sign = 1 if i[0] == j[0] else -1
                    add("transfer", "transfer_net", edge, sign * 0.4 * (1 + place), direction=j, condition=f"after:{i}")


def states(learners: int = 2, last: int = 64, layers: int = 2, width: int = 8) -> pd.DataFrame:
    """Mean states that move along straight lines, as `pooled_states` returns them."""
    rng = np.random.default_rng(0)
    rows = []
    for name in NAMES[:learners]:
        away = {key: rng.normal(size=width) for key in (*DIRECTIONS, "1", "2")}
        start = {text: rng.normal(size=width) * 3 for text in "12"}
        for cycle in marks(last):
            for layer in range(layers + 1):
                for direction in DIRECTIONS:
                    for side, text in (("input", direction[0]), ("target", direction[2])):
                        moved = away[direction if side == "target" else text] * np.log1p(cycle)
                        rows.append(
                            [name, cycle, layer, direction, side, text, start[text] + moved + (side == "target")]
                        )
    table = pd.DataFrame(rows, columns=["learner", "cycle", "layer", "direction", "side", "text", "vector"])
    return table.assign(pair="spacing", schedule="shuffled", seed=0)


def tokens(article: list[str], meta: list[str]) -> pd.DataFrame:
    """A tokens table whose segments are these sentences and whose tokens are their words."""
    rows = [
        (text, f" {word}", number)
        for text, segments in (("1", article), ("2", meta))
        for number, segment in enumerate(segments)
        for word in segment.split(" ")
    ]
    table = pd.DataFrame(rows, columns=["text", "piece", "segment"])
    return table.assign(position=table.groupby("text").cumcount())
