from __future__ import annotations

from figures.synthetic_tables import tables

from resonance.measures import BETWEEN, FAMILIES
from resonance.report.final_tables import family_tables


def test_families_in_their_order_with_units_and_formulas() -> None:
    found = family_tables(tables(2), ["gpt", "loreft"])
    told = tables(2)
    assert [table.family for table in found] == [family for family in (*FAMILIES, *BETWEEN) if family in told]
    nll = next(line for line in found[0].lines if line.name == "nll")
    assert (nll.condition, nll.unit, nll.values) == ("clean", "nat/token", ["0.0226", "0.320"])
    assert all(line.unit for table in found for line in table.lines)
    assert set(found[0].formulas) >= {"nll", "loss_online"}


def test_numbers_in_names_are_filled_in() -> None:
    table = next(table for table in family_tables(tables(1), ["gpt"]) if table.family == "memorisation")
    assert "exact_length_32" in table.formulas["exact_continuation_32"]


def test_a_learner_without_a_measure_has_an_empty_cell() -> None:
    table = family_tables({"reader": tables(2)["reader"]}, ["gpt", "loreft"])[0]
    assert all(line.values[0] and not line.values[1] for line in table.lines)


def test_points_of_curves_are_no_lines() -> None:
    names = {line.name for line in family_tables({"confidence": tables(1)["confidence"]}, ["gpt"])[0].lines}
    assert "ece_mass" in names
    assert not any(name.startswith(("reliability_", "confidence_", "weight_")) for name in names)


def test_empty_tables_are_left_out() -> None:
    assert family_tables({"loss": tables(1)["loss"].iloc[:0]}, ["gpt"]) == []
