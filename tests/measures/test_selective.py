from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from resonance.measures import selective
from resonance.measures.run import RunData
from resonance.measures.selective import risk_area


def by_hand(order: tuple[int, ...], e: list[bool]) -> float:
    """Say the tokens in this order, and after each one count the errors so far."""
    risks, wrong = [], 0
    for said, token in enumerate(order, 1):
        wrong += e[token]
        risks.append(wrong / said)
    return sum(risks) / len(risks)


def table(
    source: str, estimates: list[float], e: list[bool], head: str = "introspection", **more: object
) -> pd.DataFrame:
    """Tokens of one output at cycle 4."""
    n = len(e)
    columns: dict[str, object] = {
        "cycle": 4,
        "head": head,
        "source": source,
        "direction": "1>2",
        "window": 0,
        "estimate": np.array(estimates, np.float32),
        "error": e,
        "confidence": np.linspace(1, 0, n),
        "entropy": 1.0,
        "surprisal": np.linspace(1, 0, n),
        "deviation": float(np.mean(e)),
    }
    return pd.DataFrame(columns | more)


def measured(*tables: pd.DataFrame) -> dict[tuple[str, str], selective.Row]:
    """Rows by condition and measure."""
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    run = cast(RunData, SimpleNamespace(critiques=whole))
    rows = list(selective.measure(run))
    found = {(str(row.condition), row.measure): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_the_area_is_the_mean_risk_over_all_coverages() -> None:
    rng = np.random.default_rng(0)
    e, doubt = rng.random(40) < 0.3, rng.random(40)
    assert risk_area(doubt, e) == pytest.approx(by_hand(tuple(np.argsort(doubt)), e.tolist()), abs=1e-12)
    assert risk_area(-doubt, e) == pytest.approx(by_hand(tuple(np.argsort(-doubt)), e.tolist()), abs=1e-12)
    assert risk_area(np.array([0.1, 0.2, 0.3]), np.array([False, False, True])) == pytest.approx(1 / 9)
    assert risk_area(np.array([0.3, 0.2, 0.1]), np.array([False, False, True])) == pytest.approx(
        (1 + 1 / 2 + 1 / 3) / 3
    )


def test_equal_doubts_count_as_all_their_orders_do() -> None:
    e = [True, False, False, True, False]
    doubt = np.array([0.5, 0.5, 0.1, 0.5, 0.9])
    orders = [(2, *middle, 4) for middle in permutations((0, 1, 3))]
    expected = np.mean([by_hand(order, e) for order in orders])
    assert risk_area(doubt, np.array(e)) == pytest.approx(expected, abs=1e-12)
    assert risk_area(np.ones(5), np.array(e)) == pytest.approx(0.4), "no order at all leaves the error rate"


def test_nothing_is_below_the_order_of_the_truth() -> None:
    rng = np.random.default_rng(1)
    e = rng.random(200) < 0.4
    least = risk_area(e.astype(float), e)
    assert all(risk_area(rng.random(200), e) > least for _ in range(20))
    right = int((~e).sum())
    wanted = sum((i - right) / i for i in range(right + 1, 201)) / 200
    assert least == pytest.approx(wanted, abs=1e-12)
    assert risk_area(np.arange(9.0), np.zeros(9, bool)) == 0
    assert risk_area(np.arange(9.0), np.ones(9, bool)) == 1


def test_every_source_is_measured_beside_what_the_network_says() -> None:
    e = [True, False, True, False, False]
    own = table("own", [0.9, 0.1, 0.8, 0.2, 0.3], e)
    found = measured(own, table("hidden:own", [0.1, 0.9, 0.1, 0.9, 0.9], e))
    assert {condition for condition, _ in found} == {"introspection:own", "introspection:hidden:own"}
    assert {measure for _, measure in found} == set(selective.MEASURES) - {"reranking_gain", "reranking_gain_deviation"}
    value = {key: row.value for key, row in found.items()}
    assert value["introspection:own", "aurc"] == value["introspection:own", "aurc_least"]
    assert value["introspection:own", "aurc"] == pytest.approx((1 / 4 + 2 / 5) / 5)
    assert value["introspection:hidden:own", "aurc"] > 0.6
    assert value["introspection:own", "aurc_entropy"] == pytest.approx(0.4)
    assert value["introspection:own", "aurc_confidence"] == pytest.approx(by_hand((0, 1, 2, 3, 4), e))
    assert value["introspection:own", "aurc_surprisal"] == pytest.approx(by_hand((4, 3, 2, 1, 0), e))
    assert all(row.cycle == 4 for row in found.values())


def test_what_choosing_anew_gains_is_a_mean_over_prompts() -> None:
    def both(source: str, one: list[bool], two: list[bool]) -> pd.DataFrame:
        parts = [(one, "1>2"), (two, "2>1")]
        return pd.concat([table(source, [0.5] * len(e), e, direction=direction) for e, direction in parts])

    found = measured(
        both("own", [True, True, False, False], [True, False]),
        both("corrupted:dropped-5", [True] * 4, [True] * 2),
        both("reranked:own", [True, False, False, False], [True, False]),
        both("hidden:reranked:own", [True] * 4, [False, False, False]),
        both("reranked:corrupted:dropped-5", [False] * 4, [False] * 2),
        both("reranked:sample", [False] * 4, [False] * 2),
    )
    gain = {condition: row for (condition, measure), row in found.items() if measure == "reranking_gain"}
    assert set(gain) == {
        "introspection:reranked:own",
        "introspection:hidden:reranked:own",
        "introspection:reranked:corrupted:dropped-5",
    }, "nothing of what has nothing to be compared with"
    one = gain["introspection:reranked:own"]
    assert (one.value, one.low, one.high) == pytest.approx((1 / 8, 0, 1 / 4))
    two = gain["introspection:hidden:reranked:own"]
    assert (two.value, two.low, two.high) == pytest.approx((0, -1 / 2, 1 / 2))
    assert gain["introspection:reranked:corrupted:dropped-5"].value == 1
    deviation = found["introspection:reranked:own", "reranking_gain_deviation"]
    assert (deviation.value, deviation.low, deviation.high) == pytest.approx((1 / 8, 0, 1 / 4))


def test_heads_are_kept_apart_and_a_learner_without_has_no_rows() -> None:
    e = [True, False]
    found = measured(table("own", [0.1, 0.2], e), table("reranked:own", [0.5, 0.5], e, head="critic"))
    assert found["introspection:own", "aurc"].value == pytest.approx(3 / 4)
    assert found["critic:reranked:own", "aurc"].value == pytest.approx(1 / 2)
    assert ("critic:reranked:own", "reranking_gain") not in found
    assert measured() == {}
