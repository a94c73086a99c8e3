import math
from collections.abc import Callable

import pytest
from scipy.stats import binomtest

from resonance.measures import probes
from resonance.measures.probes import probe_size, wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (1, 7), (15, 30), (30, 30)])
def test_wilson_parity_with_scipy(hits: int, n: int) -> None:
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_probes_are_scored_per_token_and_byte(synthetic: Callable) -> None:
    run = synthetic().write()
    rows = {(r.measure, r.cycle, r.condition, r.direction): r.value for r in probes.measure(run)}
    assert rows["nll", 1, "target:unrelated", "1>2"] == pytest.approx(2.0)
    for condition, text in (("target:unrelated", "unrelated"), ("target:shuffled", "shuffled-2")):
        expected = 60 * 2.0 / math.log(2) / run.metadata["bytes"][text]
        assert rows["bits_per_byte", 1, condition, "1>2"] == pytest.approx(expected)


def test_which_text_is_the_target() -> None:
    sizes = {"unrelated": 1, "shuffled-1": 2, "shuffled-2": 3, "paraphrase-article": 4, "paraphrase-meta": 5}
    assert probe_size("target:unrelated", "1>2", sizes) == 1
    assert [probe_size("target:shuffled", d, sizes) for d in ("2>1", "1>2")] == [2, 3]
    assert [probe_size("target:paraphrase", d, sizes) for d in ("1>1", "2>2")] == [4, 5]
    with pytest.raises(ValueError, match="target:foreign of 1>2"):
        probe_size("target:foreign", "1>2", sizes)


def test_a_blank_input_costs_what_was_planted(synthetic: Callable) -> None:
    rows = [r for r in probes.measure(synthetic().write()) if r.measure == "input_effect"]
    blank = [r.value for r in rows if r.condition == "input:blank"]
    assert blank == pytest.approx([0.5] * 20, abs=1e-6)
    assert [r.value for r in rows if r.condition == "input:edited"] == pytest.approx([0.0] * 20)


def test_the_first_tokens_do_not_count(synthetic: Callable) -> None:
    run = synthetic().write()
    early = (run.evaluations["condition"] == "input:blank") & (run.evaluations["position"] < 16)
    run.evaluations.loc[early, "nll"] = 100.0
    values = [r.value for r in probes.measure(run) if (r.measure, r.condition) == ("input_effect", "input:blank")]
    assert values == pytest.approx([0.5] * 20, abs=1e-6)


def test_edited_tokens_are_followed_recited_or_neither(synthetic: Callable) -> None:
    """Sites 32 to 41: follows at 32, 36, 40, recites at the five odd ones, neither at 34 and 38."""
    rows = [r for r in probes.measure(synthetic().write()) if r.measure.endswith("_share")]
    assert {r.direction for r in rows} == {"1>1", "2>2"}
    found = {r.measure: r for r in rows if (r.cycle, r.direction) == (4, "1>1")}
    assert {name: row.value for name, row in found.items()} == {
        "follow_share": 0.3,
        "store_share": 0.5,
        "other_share": 0.2,
    }
    assert (found["follow_share"].low, found["follow_share"].high) == wilson(3, 10)


def test_nothing_was_asked(synthetic: Callable) -> None:
    run = synthetic().write()
    run.__dict__["evaluations"] = run.evaluations[run.evaluations["condition"] == "clean"]
    assert list(probes.measure(run)) == []
