from __future__ import annotations

from resonance.params import parse
from resonance.report.study import learner_lines, schedule_lines

STUDY = {
    "pairs": ["spacing"],
    "schedules": {"shuffled": "shuffled", "slow": {"blocked": {"length": 16}}},
    "seeds": [0],
    "cycles": 8,
    "text": {"packages": ["numpy"]},
    **{block: {} for block in ("chunks", "snapshots", "base", "evaluation", "compute")},
    "learners": {
        "gpt": {"network": "transformer"},
        "loreft": {
            "network": {"transformer": {"width": 64}},
            "train": {"loreft": {"layers": [1], "rank": 2}},
            "optimizer": {"adamw": {"lr": 0.004, "weight_decay": 0.1}},
        },
        "reader": {"network": "rwkv7", "train": "nothing", "objective": {}},
    },
}


def test_learners_in_words() -> None:
    gpt, loreft, reader = learner_lines(parse(STUDY), ["gpt", "loreft", "reader"])
    assert gpt.network == "transformer (width 128, layers 4, heads 4, feedforward 344)"
    assert (gpt.train, gpt.objective, gpt.heads, gpt.optimizer) == ("all", "lm", "–", "adamw (lr 0.001)")
    assert loreft.network.startswith("transformer (width 64,")
    assert loreft.train == "loreft (layers 1, rank 2, positions f4+l4, tied no)"
    assert loreft.optimizer == "adamw (lr 0.004, weight decay 0.1)"
    assert (reader.train, reader.objective, reader.optimizer) == ("nothing", "–", "–")
    assert (gpt.start, gpt.marker) == ("base", "relation")


def test_learners_come_in_the_order_asked_for() -> None:
    assert [line.name for line in learner_lines(parse(STUDY), ["reader", "gpt"])] == ["reader", "gpt"]


def test_schedules_in_words() -> None:
    assert schedule_lines(parse(STUDY)) == [("shuffled", "shuffled"), ("slow", "blocked (length 16)")]
