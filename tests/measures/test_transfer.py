"""Ratios of changes of losses, from tables whose numbers are known."""

from __future__ import annotations

from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from resonance.measures import transfer
from resonance.measures.run import Identity, RunData, read_run
from resonance.measures.table import Row, write_family
from resonance.params import DIRECTIONS
from resonance.storage import read_table, write_table

WORD = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema({"cycle": pa.int64(), "quantity": WORD, "step": WORD, "direction": WORD, "value": pa.float64()})
IDENTITY = {"learner": "gpt", "pair": "spacing", "schedule": "shuffled", "seed": 3}
Gains = dict[tuple[str, str], float]


def lines(cycle: int, gains: Gains, idle: float = 0.0, scale: float = 1.0) -> list[dict[str, Any]]:
    """An edge at which direction j has loss 1 + its place and a step on i takes gains[i, j] · scale from it, and an
    idle step `idle` · scale. Of halves, a step on the first takes 0.4 from itself and 0.1 from the second; a step on
    the second 0.2 from itself and nothing from the first."""
    rows: list[dict[str, Any]] = []

    def say(quantity: str, value: float, step: str | None = None, direction: str | None = None) -> None:
        rows.append({"cycle": cycle, "quantity": quantity, "step": step, "direction": direction, "value": value})

    losses = {direction: 1.0 + place for place, direction in enumerate(DIRECTIONS)}
    for j, loss in losses.items():
        say("loss_before", loss, None, j)
        say("loss_after", loss - idle * scale, "none", j)
        for i in DIRECTIONS:
            say("loss_after", loss - gains[i, j] * scale, i, j)
        first, second = f"{j}:first", f"{j}:second"
        for half in (first, second):
            say("half_before", loss, None, half)
            say("half_after", loss - idle * scale, "none", half)
        for step, half, gain in ((first, first, 0.4), (first, second, 0.1), (second, second, 0.2), (second, first, 0)):
            say("half_after", loss - gain * scale, step, half)
    for place, (i, j) in enumerate(combinations(DIRECTIONS, 2)):
        say("gradient_cosine", place / 10, i, j)
    return rows


def gains(own: float = 0.5, target: float = 0.2, source: float = -0.1, neither: float = 0.0) -> Gains:
    """What a step takes from itself, and from directions with the same target, the same input, and neither."""
    found = {(i, i): own for i in DIRECTIONS}
    for i, j in permutations(DIRECTIONS, 2):
        found[i, j] = target if i[-1] == j[-1] else source if i[0] == j[0] else neither
    return found


def cycles(cycle: int, forgotten: float) -> list[dict[str, Any]]:
    """A cycle of steps in the four rotations; every slot since a direction was shown costs it so much."""
    orders = [[*DIRECTIONS[first:], *DIRECTIONS[:first]] for first in range(4)]
    return [
        {"cycle": cycle, "quantity": "loss_after_cycle", "step": " ".join(order), "direction": direction, "value": loss}
        for order in orders
        for number, direction in enumerate(DIRECTIONS)
        for loss in [1.0 + number + forgotten * (3 - order.index(direction))]
    ]


def run_of(tmp_path: Path, *rows: dict[str, Any]) -> RunData:
    write_table(tmp_path / "steps.parquet", pa.Table.from_pylist(list(rows), SCHEMA), {**IDENTITY, "run": "0"})
    return read_run(transfer=[tmp_path / "steps.parquet"])


def measured(tmp_path: Path, *rows: dict[str, Any]) -> dict[tuple[str, str | None, str | None], Row]:
    found = list(transfer.measure(run_of(tmp_path, *rows)))
    named = {(row.measure, row.direction, row.condition): row for row in found}
    assert len(named) == len(found)
    return named


def test_changes_are_shares_of_the_own_gain(tmp_path: Path) -> None:
    found = measured(tmp_path, *lines(64, gains()))
    assert {row.cycle for row in found.values()} == {64}
    assert found["loss", "1>1", None].value == 3
    for i, j in permutations(DIRECTIONS, 2):
        wanted = -0.4 if i[-1] == j[-1] else 0.2 if i[0] == j[0] else 0.0
        assert found["transfer", j, f"after:{i}"].value == pytest.approx(wanted), (i, j)
    assert [found["transfer_own", i, None].value for i in DIRECTIONS] == pytest.approx([-0.5] * 4)


def test_a_step_that_misses_its_own_direction_keeps_the_signs_of_the_others(tmp_path: Path) -> None:
    """dL_i > 0: the others are still counted as they moved."""
    found = measured(tmp_path, *lines(64, gains(own=-0.5)))
    assert found["transfer_own", "1>2", None].value == pytest.approx(0.5)
    assert found["transfer", "2>2", "after:1>2"].value == pytest.approx(-0.4)


def test_what_is_shared_is_told_apart(tmp_path: Path) -> None:
    planted = gains()
    planted["1>2", "2>2"] = 0.3
    found = measured(tmp_path, *lines(64, planted))
    target, source, neither = (
        found[f"transfer_{name}", None, None] for name in ("same_target", "same_input", "reversed")
    )
    assert (target.value, target.low, target.high) == pytest.approx((-0.45, -0.6, -0.4))
    assert (source.value, source.low, source.high) == pytest.approx((0.2, 0.2, 0.2))
    assert (neither.value, neither.low, neither.high) == pytest.approx((0, 0, 0))


def test_what_momentum_does_is_taken_off(tmp_path: Path) -> None:
    """With the step of a gradient of 0 taking 0.3 from every loss, 0.2 of 0.5 are the direction's own doing."""
    found = measured(tmp_path, *lines(64, gains(), idle=0.3))
    assert found["transfer_own_net", "2>1", None].value == pytest.approx(-0.2)
    assert found["transfer_net", "2>2", "after:1>2"].value == pytest.approx(0.5)
    assert found["transfer_same_target_net", None, None].value == pytest.approx(0.5)
    assert found["transfer_same_input_net", None, None].value == pytest.approx(2.0)
    assert found["transfer_reversed_net", None, None].value == pytest.approx(1.5)
    assert found["transfer_same_target", None, None].value == pytest.approx(-0.4), "and left in the other"


def test_without_momentum_both_are_the_same(tmp_path: Path) -> None:
    found = measured(tmp_path, *lines(64, gains()))
    for (name, direction, condition), row in found.items():
        if name.endswith("_net"):
            assert row[2:] == found[name.removesuffix("_net"), direction, condition][2:]


def test_halves_are_the_mean_of_both_ways(tmp_path: Path) -> None:
    found = measured(tmp_path, *lines(64, gains(), idle=0.1))
    row, net = found["halves", "2>1", None], found["halves_net", "2>1", None]
    assert (row.value, row.low, row.high) == pytest.approx((-0.125, -0.25, 0.0))
    assert (net.value, net.low, net.high) == pytest.approx((0.5, 0.0, 1.0))


def test_no_ratio_to_what_is_lost_in_rounding(tmp_path: Path) -> None:
    """Of one direction: what it is the step of is null, and so are the means over pairs; what it suffers is not."""
    planted = gains()
    planted["1>2", "1>2"] = 0.9 * transfer.ROUNDING
    late = measured(tmp_path, *lines(128, gains(), scale=1e-7))
    ratios = [row.value for row in late.values() if row.measure.startswith(("transfer_same", "halves"))]
    assert ratios == [None] * (4 + 8)
    early = measured(tmp_path, *lines(64, planted))
    assert early["transfer", "2>2", "after:1>2"].value is None
    assert early["transfer", "1>2", "after:2>2"].value == pytest.approx(-0.4)
    assert early["transfer_same_target", None, None][2:5] == (None, None, None)
    assert early["transfer_own", "1>2", None].value == pytest.approx(-0.9e-6)
    assert early["halves", "1>2", None].value is not None


def test_cosines_stand_beside_transfers(tmp_path: Path) -> None:
    found = measured(tmp_path, *lines(64, gains()))
    planted = dict(zip(combinations(DIRECTIONS, 2), range(6), strict=True))
    for (i, j), tenths in planted.items():
        assert found["cosine", j, f"after:{i}"].value == found["cosine", i, f"after:{j}"].value == tenths / 10
    assert {key[1:] for key in found if key[0] == "cosine"} == {key[1:] for key in found if key[0] == "transfer"}


def test_sharpness_lies_between_what_the_residual_allows(tmp_path: Path) -> None:
    values = {"sharpness": 3.0, "sharpness_residual": 0.5, "sharpness_limit": 38.0}
    values |= {"sharpness_preconditioned": 40.0, "sharpness_preconditioned_residual": 2.0}
    rows = [{"cycle": 64, "quantity": name, "value": value} for name, value in values.items()]
    found = measured(tmp_path, *lines(64, gains()), *rows)
    about = {name: found[name, None, None][2:5] for name, *_ in found if name.startswith("sharpness")}
    assert about["sharpness"] == (3.0, 2.5, 3.5)
    assert about["sharpness_preconditioned"] == (40.0, 38.0, 42.0)
    assert about["sharpness_limit"][0] == 38.0
    assert not [name for name, *_ in measured(tmp_path, *lines(64, gains())) if name.startswith("sharpness")]


def test_every_edge_has_its_rows_in_order(tmp_path: Path) -> None:
    write_family(tmp_path / "transfer", "transfer", run_of(tmp_path, *lines(128, gains()), *lines(64, gains())))
    table = read_table(tmp_path / "transfer").to_pandas()
    assert table["cycle"].is_monotonic_increasing
    assert table["cycle"].value_counts().to_dict() == {64: 62, 128: 62}
    keys = ["cycle", "measure", "direction", "condition"]
    assert not table.duplicated(keys).any()


def test_nothing_trained_gives_no_rows(tmp_path: Path) -> None:
    assert list(transfer.measure(run_of(tmp_path))) == []
    assert list(transfer.measure(RunData(Identity(**IDENTITY)))) == []  # type: ignore[arg-type]
