"""Marks to exponents: of which maps, from which states, and of whom there are none."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from conftest import ARTICLE, META, tiny
from snapshots.transitions import radius, transitions

from resonance.learning.learner import Learner
from resonance.networks.network import State, detached
from resonance.params import Evaluation, Run
from resonance.schedule.files import slots, write_schedule
from resonance.schedule.orders import SLOTS
from resonance.snapshots import stability as module
from resonance.snapshots.learners import learners
from resonance.snapshots.stability import SCHEMA, packed, stability, trajectory, unpacked, upcoming
from resonance.storage import write_table
from resonance.text.facts import facts
from resonance.text.pair import Pair
from resonance.text.tokenizer import read_tokenizer
from resonance.text.tokens import tokenize
from resonance.training.chunk import train_chunk
from resonance.training.run import Run as Job
from resonance.training.state import Files

SETTINGS = Evaluation(exponent_cycles=2)
QUICK = Evaluation(exponents=1, exponent_cycles=1)
CYCLES = 4


def job_of(name: str, tokens_file: Path, **changes: object) -> Job:
    learner = tiny(name, **changes)
    settings = Run.model_validate({"learner": learner.model_dump(), "order": "shuffled", "seed": 5})
    return Job(settings, tokens_file, None)


def trained(job: Job, folder: Path) -> Path:
    """The marks of a run of four cycles."""
    files = Files.within(folder)
    write_schedule(folder / "schedule.parquet", job.settings.order, 5, job.tokens.windows, 0, CYCLES)
    train_chunk(job, folder / "schedule.parquet", None, files, folder / "scratch", 0, CYCLES)
    return files.marks


@pytest.fixture(scope="module")
def reader(tokens_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, dict[int, dict[str, Any]]]:
    """A reader's run, and at each mark what it carries."""
    job = job_of("reader", tokens_file)
    marks = trained(job, tmp_path_factory.mktemp("reader"))
    return job, {cycle: dict(learner.carried or {}) for cycle, learner in learners(job, marks)}


def at(reader: tuple[Job, dict[int, dict[str, Any]]], cycle: int) -> Learner:
    learner = reader[0].learner()
    learner.carried = reader[1][cycle] or None
    return learner


def values(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {row["quantity"]: row["value"] for row in rows}


def test_what_is_read_next_is_what_the_run_reads_next(tokens_file: Path, tmp_path: Path) -> None:
    """Also where texts have windows."""
    pair = Pair("tiny", {"1": ARTICLE * 2, "2": META * 2}, {}, [], [], {}, [])
    table = tokenize(pair, read_tokenizer(tokens_file.with_name("tokenizer.json")), 64)
    write_table(tmp_path / "tokens.parquet", table, facts(table))
    for file in (tokens_file, tmp_path / "tokens.parquet"):
        job = job_of("reader", file)
        write_schedule(tmp_path / "schedule.parquet", job.settings.order, 5, job.tokens.windows, 0, 9)
        expected = [
            key
            for _, directions, windows in slots(tmp_path / "schedule.parquet", 6)
            for key in zip(directions, windows, strict=True)
        ]
        found = upcoming(job, torch.device("cpu"), 6, 3)
        assert [(slot.direction, slot.window) for slot in found] == expected
    assert job.tokens.windows > 1
    assert len({slot.window for slot in found}) > 1


@pytest.mark.parametrize("start", [0, 1])
def test_states_are_those_that_the_run_passes_through(reader, start: int) -> None:
    job, carried = reader
    with torch.no_grad():
        states = trajectory(at(reader, start), upcoming(job, torch.device("cpu"), start, CYCLES - start))
    for cycle in (2, CYCLES):
        state = states[(cycle - start) * SLOTS]
        for name, tensor in carried[cycle].items():
            torch.testing.assert_close(state[name], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cycle", [0, 2])
def test_the_rows_of_a_mark(reader, cycle: int, monkeypatch: pytest.MonkeyPatch) -> None:
    job, learner = reader[0], at(reader, cycle)
    before = learner.carried
    rows = stability(job, learner, cycle, SETTINGS)
    assert learner.carried is before
    pa.Table.from_pylist(rows, SCHEMA)
    assert {key for row in rows for key in row} == set(SCHEMA.names)
    assert [row["quantity"] for row in rows] == ["spectral_radius", "lyapunov_1", "lyapunov_2"]
    assert {row["cycle"] for row in rows} == {cycle}
    assert {row["method"] for row in rows} == {"jvp"}
    assert {row.get("lost", 0) for row in rows} == {0}
    for row in rows[1:]:
        assert row["cycles"] == 2
        assert row["low"] <= row["value"] <= row["high"]
    assert rows[1]["value"] >= rows[2]["value"]
    assert rows == stability(job, learner, cycle, SETTINGS), "same bits"

    slots = upcoming(job, learner.device, cycle, 1)
    assert rows[0]["tokens"] == sum(slot.tokens_BT.shape[1] for slot in slots)
    with torch.no_grad():
        products = transitions(monkeypatch, 2, lambda: trajectory(learner, slots))
    assert rows[0]["value"] == pytest.approx(radius(products), rel=0.02)


def test_as_many_exponents_as_asked_for(reader) -> None:
    rows = stability(reader[0], at(reader, 1), 1, QUICK)
    assert [row["quantity"] for row in rows] == ["spectral_radius", "lyapunov_1"]
    assert rows[1]["low"] == rows[1]["value"] == rows[1]["high"]
    # along the leading direction the first cycle is an eigenvector's
    assert math.exp(rows[1]["value"]) == pytest.approx(rows[0]["value"], rel=0.05)
    assert stability(reader[0], at(reader, 1), 1, Evaluation(exponents=0)) == []


def test_a_radius_that_was_not_found_and_growth_that_was_lost_are_null(reader, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, found = at(reader, 1), module.leading
    monkeypatch.setattr(module, "leading", lambda *of: found(*of)._replace(found=False))
    between: Callable = learner.network.between

    def shrunk(state: State) -> State:
        """So small that float32 has no such normal number."""
        return {name: 1e-39 * tensor for name, tensor in between(state).items()}

    monkeypatch.setattr(learner.network, "between", shrunk)
    radius_row, first = stability(reader[0], learner, 1, QUICK)
    assert radius_row["value"] is None
    assert radius_row["residual"] > 0
    assert first["value"] is first["low"] is first["high"] is None
    assert first["lost"] > 0


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt", {}),
        ("rwkv7", {}),
        ("reader", {"train": {"nothing": {"memory": "none"}}}),
        ("gpt", {"train": {"nothing": {"memory": "context"}}, "objective": {}}),
        ("reader", {"train": {"nothing": {"memory": "text", "target": "free"}}}),
    ],
)
def test_who_carries_no_state_has_no_rows(name: str, changes: dict[str, Any], tokens_file: Path) -> None:
    job = job_of(name, tokens_file, **changes)
    assert stability(job, job.learner(), 0, SETTINGS) == []


def test_free_readers_and_half_precision_are_read_as_all_others(reader, tokens_file: Path) -> None:
    """Teacher-forced, and in the precision of the weights."""
    expected = stability(reader[0], at(reader, 0), 0, QUICK)
    free = job_of("reader", tokens_file, train={"nothing": {"target": "free"}})
    assert stability(free, free.learner(), 0, QUICK) == expected
    learner = at(reader, 0)
    learner.precision = "bf16"
    assert stability(reader[0], learner, 0, QUICK) == expected


def test_a_learner_in_training_is_looked_at_with_the_weights_of_the_mark(tokens_file: Path, tmp_path: Path) -> None:
    job = job_of("rwkv7", tokens_file, carry=True, optimizer={"adamw": {"lr": 0.01}})
    found = {}
    for cycle, learner in learners(job, trained(job, tmp_path)):
        if cycle in (0, CYCLES):
            weights = {name: tensor.clone() for name, tensor in learner.marked().items()}
            found[cycle] = values(stability(job, learner, 0, QUICK))
            assert all(torch.equal(weights[name], tensor) for name, tensor in learner.marked().items())
    assert found[CYCLES]["lyapunov_1"] != pytest.approx(found[0]["lyapunov_1"], rel=1e-3)


def test_a_network_that_loses_derivatives_is_measured_by_differences(reader, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = at(reader, 2)
    exact = stability(reader[0], learner, 2, QUICK)
    between: Callable = learner.network.between
    monkeypatch.setattr(learner.network, "between", lambda state: detached(between(state)))
    rough = stability(reader[0], learner, 2, QUICK)
    assert {row["method"] for row in rough} == {"differences"}
    assert values(rough)["lyapunov_1"] == pytest.approx(values(exact)["lyapunov_1"], rel=0.05)
    assert values(rough)["spectral_radius"] == pytest.approx(values(exact)["spectral_radius"], rel=0.05)


def test_whole_numbers_of_a_state_do_not_move() -> None:
    state = {
        "matrix": torch.arange(6.0).view(1, 2, 3),
        "places": torch.tensor([[4, 5]]),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
    }
    vector = packed(state)
    assert vector.tolist() == [0, 1, 2, 3, 4, 5, 1.5]
    moved = unpacked(2 * vector, state)
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in moved.items()} == {
        name: (tensor.dtype, tensor.shape) for name, tensor in state.items()
    }
    assert torch.equal(moved["matrix"], 2 * state["matrix"])
    assert torch.equal(moved["places"], state["places"])
    assert moved["half"].item() == 3
