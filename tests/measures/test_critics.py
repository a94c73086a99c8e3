from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, r2_score, roc_auc_score

from resonance.measures import critics
from resonance.measures.run import RunData


def run_of(synthetic: Callable, **what: object) -> RunData:
    """A run with a critic and one mark, after cycle 4."""
    return synthetic(**{"heads": ("critic",), "cycles": (4,), "stops": (4,), **what}).write()


def table(synthetic: Callable, **what: object) -> pd.DataFrame:
    return pd.DataFrame(critics.measure(run_of(synthetic, **what)))


def test_every_head_and_source_at_every_mark(synthetic: Callable) -> None:
    rows = pd.DataFrame(critics.measure(synthetic(heads=("critic", "introspection")).write()))
    assert sorted(rows["cycle"].unique()) == [0, 1, 2, 4, 8]
    sources = ("own", "controlled", "corrupted:replaced-15", "reranked:own", "later", "unseen")
    assert set(rows["condition"]) == {f"{head}:{source}" for head in ("critic", "introspection") for source in sources}
    assert not rows.duplicated(["cycle", "condition", "measure"]).any()


def test_the_numbers_are_those_of_all_tokens_of_a_source(synthetic: Callable) -> None:
    run = run_of(synthetic)
    own = run.critiques.query("source == 'own'")
    found = {row.measure: row.value for row in critics.measure(run) if row.condition == "critic:own"}
    assert found["errors"] == 4 * 20
    assert found["error_rate"] == pytest.approx(1 / 3)
    assert found["text_deviation"] == pytest.approx(1 / 3)
    assert found["auroc"] == pytest.approx(roc_auc_score(own["error"], own["estimate"]), abs=1e-12)
    assert found["auroc_confidence"] == pytest.approx(roc_auc_score(own["error"], -own["confidence"]), abs=1e-12)
    assert found["auroc_entropy"] == 0.5
    assert found["auroc_surprisal"] == 1.0
    assert found["brier"] == pytest.approx(brier_score_loss(own["error"], own["estimate"].astype(float)), abs=1e-12)
    assert found["variance_distance"] == pytest.approx(own["suffix"].astype(float).var(ddof=0))
    assert found["spearman_distance"] > 0.99
    suffix, distance = (own[name].astype(float) for name in ("suffix", "distance"))
    assert found["r2_distance"] == pytest.approx(r2_score(suffix, distance), abs=1e-12)
    assert found["mae_distance"] == pytest.approx((suffix - distance).abs().mean())


def test_what_the_controller_gains(synthetic: Callable) -> None:
    rows = table(synthetic).query("condition == 'critic:controlled'").set_index("measure")
    assert rows.loc["controller_gain", "value"] == pytest.approx(1 / 3 - 1 / 4)
    assert rows.loc["controller_gain", ["low", "high"]].tolist() == pytest.approx([1 / 12, 1 / 12])
    assert rows.loc["controller_gain_deviation", "value"] == pytest.approx(1 / 3 - 1 / 4)


def test_the_gain_is_a_mean_over_prompts_not_over_tokens() -> None:
    def output(source: str, direction: str, errors: list[bool]) -> pd.DataFrame:
        rows = {"source": source, "direction": direction, "window": 0, "error": errors, "deviation": 0.5}
        return pd.DataFrame(rows)

    rows = pd.concat(
        [
            output("own", "1>2", [True] * 4),
            output("own", "2>1", [False] * 40),
            output("controlled", "1>2", [True, False]),
            output("controlled", "2>1", [True] + [False] * 3),
        ]
    )
    assert critics.gains(rows)["controller_gain"].tolist() == [0.5, -0.25]
    assert critics.gains(rows[rows["source"] == "own"]) == {}


def test_too_few_errors_are_not_told_from_the_rest(synthetic: Callable) -> None:
    """At 12 tokens per output only 16 are wrong: rates stay, what tells right from wrong goes."""
    measures = set(table(synthetic, length=12).query("condition == 'critic:own'")["measure"])
    assert {"errors", "error_rate", "brier", "ece_mass", "mae_distance", "spearman_distance"} <= measures
    assert not {name for name in measures if name.startswith(("auroc", "calibration_slope"))}


def test_nothing_wrong_leaves_no_correlation(synthetic: Callable) -> None:
    run = run_of(synthetic)
    perfect = run.critiques.query("source == 'own'").assign(error=False, suffix=0.0)
    found = critics.judged(perfect)
    assert found["error_rate"] == found["variance_distance"] == 0
    assert {"mae_distance", "log_loss"} <= set(found)
    assert not {"auroc", "calibration_slope", "spearman_distance", "r2_distance"} & set(found)


def test_a_head_without_an_estimate_of_the_distance(synthetic: Callable) -> None:
    run = run_of(synthetic, heads=("introspection",))
    found = critics.judged(run.critiques.query("source == 'own'").assign(distance=np.nan))
    assert "auroc" in found
    assert not {name for name in found if name.endswith("_distance")}


def test_a_learner_without_heads_has_no_rows(synthetic: Callable) -> None:
    assert list(critics.measure(run_of(synthetic, heads=()))) == []
