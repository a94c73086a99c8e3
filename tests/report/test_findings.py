from __future__ import annotations

import pytest
from figures.synthetic_tables import tables, tidy

from resonance.report.findings import FINDINGS, findings, number


def test_a_line_per_finding_and_a_cell_per_learner() -> None:
    found = findings(tables(3), ["rwkv7", "gpt", "loreft"])
    assert [line.finding for line in found] == list(FINDINGS)
    assert all(len(line.cells) == 3 for line in found)
    first = {line.finding.name: line.cells[1] for line in found}["loss 1→2"]
    assert first is not None
    assert (first.end, first.start, first.spread) == ("0.0226", "7.61", "")


def test_seeds_have_a_spread() -> None:
    line = findings(tables(1, seeds=3), ["gpt"])[0]
    assert line.cells[0] is not None
    assert line.cells[0].spread == "0.0135 to 0.0226"


def test_drift_is_that_of_the_last_layer_and_has_no_start() -> None:
    cells = {line.finding.name: line.cells[0] for line in findings(tables(1, depth=4), ["gpt"])}
    drift = cells["drift of the last layer"]
    assert drift is not None
    assert float(drift.end) == pytest.approx(4.5 / 4, abs=0.01)
    assert drift.start == ""


def test_what_a_learner_lacks_is_none_and_what_all_lack_is_left_out() -> None:
    names = {line.finding.name: line.cells for line in findings(tables(2), ["gpt", "loreft"])}
    assert names["carried state moves per cycle"][1] is None
    only_loss = findings({"loss": tables(1)["loss"]}, ["gpt"])
    assert [line.finding.family for line in only_loss] == ["loss"] * 4


def test_a_learner_of_cycle_0_only_has_no_start() -> None:
    row = {"learner": "gpt", "seed": 0, "cycle": 0, "direction": "1>2", "condition": "clean", "measure": "nll"}
    (line,) = findings({"loss": tidy([row | {"value": 7.0}])}, ["gpt"])
    assert line.cells[0] is not None
    assert line.cells[0].start == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(7.6, "7.60"), (0.010234, "0.0102"), (12345.6, "12,346"), (123.4, "123"), (0.0, "0"), (-0.5, "−0.500")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.9734, "97.3%"), (-0.064, "−6.4%"), (-0.0001, "0.0%"), (1.0, "100.0%")])
def test_shares(value: float, text: str) -> None:
    assert number(value, percent=True) == text
