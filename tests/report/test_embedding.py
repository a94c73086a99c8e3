from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from resonance.report.coding import packed, unpacked
from resonance.report.embedding import BUDGET, every_other, explorer, last, safe, thinned, three, together


def run(seed: int, cycles: int = 9, layers: int = 5, tokens: int = 290, segments: int = 16) -> dict[str, Any]:
    """A run of the size of the default study, full of noise."""
    rng = np.random.default_rng(seed)

    def noise(kind: type, *shape: int) -> str:
        return packed(rng.integers(0, 255, shape).astype(kind))

    def side(target: bool) -> dict[str, str]:
        paths = {"path": noise(np.uint16, layers, cycles, 2), "parts": noise(np.uint16, layers, cycles, segments, 2)}
        recall = {"nll": noise(np.uint8, cycles, tokens), "right": noise(np.uint8, cycles, tokens // 8 + 1)}
        return {"drift": noise(np.uint8, cycles, layers, tokens)} | paths | (recall if target else {})

    text = {"tokens": [f" word{i}" for i in range(tokens)], "segments": [0] * tokens, "left_out": 0}
    return {
        "run": {"learner": f"l{seed}", "pair": "spacing", "schedule": "shuffled", "seed": 0},
        "cycles": [0, *(1 << i for i in range(cycles - 1))],
        "layers": list(range(layers)),
        "texts": {"1": text, "2": text},
        "top": {"drift": 2.0, "nll": 12.0},
        "planes": [{"low": [0.0, layer], "span": 1.0, "share": 0.5} for layer in range(layers)],
        "ways": {way: {"input": side(False), "target": side(True)} for way in ("1>2", "2>1", "1>1", "2>2")},
    }


def test_a_study_of_twenty_two_learners_fits_whole() -> None:
    found = explorer([run(seed) for seed in range(22)], total=22)
    assert found is not None
    assert (found.runs, found.notes) == (22, [])
    assert len(found.data) < BUDGET < 10_000_000


def test_what_is_alike_is_kept_once() -> None:
    one = run(0)
    twin = copy.deepcopy(one)
    twin["ways"]["1>2"]["input"] = one["ways"]["1>1"]["input"]
    data = json.loads(together([one, twin]))
    assert len(data["texts"]) == 1
    assert len(data["pool"]) == 4 * 3 + 4 * 5
    for given, lean in zip((one, twin), data["runs"], strict=True):
        for way, sides in given["ways"].items():
            for side, own in sides.items():
                assert {key: data["pool"][place] for key, place in lean["ways"][way][side].items()} == own


def test_thinning_keeps_the_right_numbers() -> None:
    whole = run(1)
    less = thinned(whole, three, every_other)
    assert (less["layers"], less["cycles"]) == ([0, 2, 4], [0, 2, 8, 32, 128])
    assert [plane["low"][1] for plane in less["planes"]] == [0, 2, 4]
    own, before = less["ways"]["2>1"]["target"], whole["ways"]["2>1"]["target"]
    drift = unpacked(own["drift"], "u1", (5, 3, -1))
    assert (drift == unpacked(before["drift"], "u1", (9, 5, -1))[::2, ::2]).all()
    assert (unpacked(own["right"], "u1", (5, -1)) == unpacked(before["right"], "u1", (9, -1))[::2]).all()
    parts = unpacked(own["parts"], "<u2", (3, 5, 16, 2))
    assert (parts == unpacked(before["parts"], "<u2", (5, 9, 16, 2))[::2, ::2]).all()


@pytest.mark.parametrize(
    ("values", "half", "ends", "end"),
    [([7], [0], [0], [0]), ([7, 8], [0, 1], [0, 1], [1]), ([1, 2, 3, 4], [0, 1, 3], [0, 1, 3], [3]), ([], [], [], [])],
)
def test_what_is_picked(values: list[int], half: list[int], ends: list[int], end: list[int]) -> None:
    assert (every_other(values), three(values), last(values)) == (half, ends, end)


def test_ever_less_until_it_fits_and_it_is_said() -> None:
    runs = [run(seed, tokens=80) for seed in range(4)]
    whole = len(safe(together(runs)))
    said = []
    for budget in (whole, whole * 3 // 4, whole // 2, whole // 4, whole // 12):
        found = explorer(runs, total=4, budget=budget)
        assert found is not None
        assert len(found.data) <= budget
        said.append((found.runs, " ".join(found.notes)))
    assert said[0] == (4, "")
    assert "the first, the middle and the last" in said[1][1]
    assert "three layers and every other mark" in said[2][1]
    assert "the last layer and every other mark" in said[3][1]
    assert said[4][0] < 4
    assert f"{said[4][0]} of the 4 runs" in said[4][1]


def test_one_run_stays_however_small_the_budget() -> None:
    found = explorer([run(seed, tokens=8) for seed in range(3)], total=3, budget=1)
    assert found is not None
    assert found.runs == 1


def test_no_runs_no_explorer() -> None:
    assert explorer([], total=3) is None


def test_a_text_that_was_cut_is_said() -> None:
    long = run(0)
    long["texts"]["1"] = long["texts"]["1"] | {"left_out": 1234}
    found = explorer([long], total=1)
    assert found is not None
    assert found.notes == ["Of a longer text the start is shown; up to 1,234 tokens at its end are left out."]


def test_nothing_in_the_json_can_end_the_script() -> None:
    nasty = "</script><!-- & \u2028\u2029 \"quotes\" 'single' \\u003c"
    text = safe(json.dumps(nasty, ensure_ascii=False))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == nasty
