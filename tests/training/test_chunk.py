"""The result of a run does not depend on where it is cut or how often it is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import TINY, tiny

from resonance.errors import UserError
from resonance.params import Run
from resonance.schedule.files import write_schedule
from resonance.storage import read_table
from resonance.training.chunk import only_one, train_chunk
from resonance.training.run import Run as Job
from resonance.training.state import Files

CYCLES = 15
CUTS = {"every 1": list(range(1, CYCLES + 1)), "every 7": [7, 14, 15], "none": [CYCLES]}


@pytest.mark.parametrize("name", TINY)
def test_any_edges_give_the_same_bytes(train, name):
    whole = train(tiny(name), CUTS["none"], "whole")
    for cut in ("every 1", "every 7"):
        parts = train(tiny(name), CUTS[cut], cut)
        assert parts.state == whole.state, cut
        assert parts.rows.equals(whole.rows), cut
        assert parts.marks == whole.marks, cut


@pytest.mark.parametrize("changes", [{"update": "cycle"}, {"optimizer": {"sgd": {"lr": 0.1, "momentum": 0.9}}}])
def test_any_edges_give_the_same_bytes_with_other_settings(train, changes):
    assert train(tiny("gpt", **changes), [4], "a").state == train(tiny("gpt", **changes), [1, 4], "b").state


def test_carried_state_crosses_edges(train):
    learner = tiny("rwkv7", carry=True)
    assert train(learner, [4], "a").state == train(learner, [3, 4], "b").state


def test_seeds_differ(train):
    """Both in the schedule and in every new parameter."""
    zero, one = (train(tiny("loreft"), [64], str(seed), seed=seed) for seed in (0, 1))
    edits = [run.job.learner().scope.edits.values() for run in (zero, one)]
    for first, second in zip(*edits, strict=True):
        assert not torch.equal(first.rotate_layer.weight, second.rotate_layer.weight)
        assert not torch.equal(first.learned_source.weight, second.learned_source.weight)
    weights = [run.job.learner().network.state_dict() for run in (zero, one)]
    assert all(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0] if "proj" in name)
    orders = [read_table(run.files[0].state.parents[1] / "schedule-64.parquet")["order"] for run in (zero, one)]
    assert orders[0].to_pylist() != orders[1].to_pylist()


def test_marks_are_log_spaced_and_the_first_is_the_untouched_learner(train):
    run = train(tiny("gpt"), [9])
    assert sorted({int(name.split("/")[0]) for name in run.marks}) == [0, 1, 2, 4, 8]
    fresh = run.job.learner().marked()
    assert all(run.marks[f"0/{name}"] == tensor.detach().numpy().tobytes() for name, tensor in fresh.items())


def _job(tokens_file: Path, folder: Path, cycles: int) -> None:
    settings = Run.model_validate(
        {"learner": tiny("gpt").model_dump(), "order": "shuffled", "seed": 0, "autosave": 0.02}
    )
    train_chunk(
        Job(settings, tokens_file, None),
        folder / "schedule.parquet",
        None,
        Files.within(folder / "out"),
        folder / "scratch",
        0,
        cycles,
    )


def test_kills_at_random_moments_change_nothing(train, tokens_file, tmp_path):
    """SIGKILL again and again, each time later; every restart goes on from an autosave."""
    cycles = 60
    whole = train(tiny("gpt"), [cycles], "whole")
    folder = tmp_path / "killed"
    write_schedule(folder / "schedule.parquet", whole.job.settings.order, 0, 1, 0, cycles)
    spawn = multiprocessing.get_context("fork")
    kills = 0
    for patience in (0.13, 0.31, 0.47, 0.22, 0.59):
        child = spawn.Process(target=_job, args=(tokens_file, folder, cycles))
        child.start()
        time.sleep(patience)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.join()
    assert kills >= 2
    assert (folder / "scratch").exists()
    if not (folder / "out" / "state.safetensors").exists():
        _job(tokens_file, folder, cycles)
    out = Files.within(folder / "out")
    assert out.state.read_bytes() == whole.state
    assert out.log.read_bytes() == whole.files[0].log.read_bytes()
    assert out.marks.read_bytes() == whole.files[0].marks.read_bytes()


def test_a_second_job_for_the_same_chunk_is_refused(train, tokens_file, tmp_path):
    folder = tmp_path / "twice"
    write_schedule(folder / "schedule.parquet", Run(learner=tiny("gpt"), order="shuffled", seed=0).order, 0, 1, 0, 2)
    with only_one(folder / "scratch"), pytest.raises(UserError, match="another job"):
        _job(tokens_file, folder, 2)


def test_a_state_of_other_parameters_is_refused(train, tmp_path):
    made = train(tiny("gpt"), [2], "a")
    other = train(tiny("gpt", optimizer={"adamw": {"lr": 0.5}}), [2], "b")
    schedule = tmp_path / "next.parquet"
    write_schedule(schedule, made.job.settings.order, 0, 1, 2, 3)
    with pytest.raises(UserError, match=r"is needed: parameters, texts or code changed since; run `snakemake"):
        train_chunk(made.job, schedule, other.files[0].state, Files.within(tmp_path / "c"), tmp_path / "s", 2, 3)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "no seal", "bad seal"])
def test_a_damaged_state_is_refused(train, tmp_path, damage):
    made = train(tiny("gpt"), [2], "a")
    state = made.files[0].state
    content = bytearray(state.read_bytes())
    if damage == "truncate":
        state.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[-5] ^= 1
        state.write_bytes(content)
    elif damage == "empty":
        state.write_bytes(b"")
    elif damage == "no seal":
        state.with_suffix(".json").unlink()
    else:
        state.with_suffix(".json").write_text("{")
    schedule = tmp_path / "next.parquet"
    write_schedule(schedule, made.job.settings.order, 0, 1, 2, 3)
    with pytest.raises(UserError, match="snakemake -- "):
        train_chunk(made.job, schedule, state, Files.within(tmp_path / "b"), tmp_path / "scratch", 2, 3)


def test_a_schedule_of_another_seed_is_refused(train, tmp_path):
    made = train(tiny("gpt"), [2], "a")
    schedule = tmp_path / "foreign.parquet"
    write_schedule(schedule, made.job.settings.order, 1, 1, 2, 3)
    with pytest.raises(UserError, match="seed 1 in place of 0"):
        train_chunk(made.job, schedule, made.files[0].state, Files.within(tmp_path / "b"), tmp_path / "s", 2, 3)


def test_a_gpu_that_is_not_there_is_an_error(train, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=r"compute\.device: cuda, but no GPU is visible"):
        train(tiny("gpt"), [1], compute={"device": "cuda"})
