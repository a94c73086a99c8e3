"""Marks back to learners: what they predict, what they say, what they hold inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from conftest import TINY, tiny

from resonance.errors import UserError
from resonance.params import DIRECTIONS, Evaluation, Run
from resonance.schedule.files import write_schedule
from resonance.snapshots.evaluation import evaluate_marks
from resonance.snapshots.learners import learners
from resonance.snapshots.stability import SCHEMA
from resonance.snapshots.states import snapshot_states
from resonance.training.chunk import train_chunk
from resonance.training.run import Run as Job
from resonance.training.state import Files

SETTINGS = Evaluation(kept=2, edits=6, prefixes=(0, 4), generate=24, exponents=1, exponent_cycles=1)
NAMES = {"learner": "gpt", "pair": "tiny", "schedule": "shuffled", "seed": 0}


CYCLES = 16


def run_of(name: str, tokens_file: Path, folder: Path, **changes: object) -> tuple[Job, Files]:
    """A trained run of 16 cycles."""
    learner = tiny(name, optimizer={"adamw": {"lr": 0.01}}, **changes)
    settings = Run.model_validate({"learner": learner.model_dump(), "order": "shuffled", "seed": 0})
    job, files = Job(settings, tokens_file, None, NAMES), Files.within(folder)
    write_schedule(folder / "schedule.parquet", settings.order, 0, 1, 0, CYCLES)
    train_chunk(job, folder / "schedule.parquet", None, files, folder / "scratch", 0, CYCLES)
    return job, files


@pytest.fixture(scope="module", params=TINY)
def looked_at(request, tokens_file: Path, tmp_path_factory: pytest.TempPathFactory):
    """A run, evaluated and snapshot at all its marks."""
    folder = tmp_path_factory.mktemp(request.param)
    job, files = run_of(request.param, tokens_file, folder)
    written = (folder / f"{kind}.parquet" for kind in ("table", "spoken", "stability", "critiques", "changed"))
    evaluate_marks(job, files.marks, SETTINGS, *written)
    snapshot_states(job, files.marks, folder / "states.parquet")
    return request.param, job, files, folder


def test_every_mark_is_asked_everything(looked_at):
    _, job, _, folder = looked_at
    table = pd.read_parquet(folder / "table.parquet")
    assert sorted(table["cycle"].unique()) == [0, 1, 2, 4, 8, 16]
    assert set(table["direction"]) == set(DIRECTIONS)
    conditions = {"clean", "input:blank", "input:shuffled", "input:edited", "input:paraphrase"}
    assert set(table["condition"]) == conditions | {"target:paraphrase", "target:shuffled", "target:unrelated"}
    # the pair has no paraphrase of the meta-analysis
    assert set(table.query("condition == 'target:paraphrase'")["direction"]) == {"1>1", "2>1"}
    clean = table.query("condition == 'clean' and cycle == 0 and direction == '1>2'")
    assert clean["token"].tolist() == [*job.tokens.ids("2", 0), *job.tokens.markers["[EOS]"]]
    about = json.loads(pq.read_schema(folder / "table.parquet").metadata[b"resonance"])
    assert {**NAMES, "kind": "evaluations", "kept": 2, "prefixes": [0, 4]}.items() <= about.items()
    assert about["bytes"]["1"] == len(
        "Rest between lessons helps memory. Ada read 12 words a day and kept 9 of them for weeks."
    )


def test_the_loss_is_that_of_the_restored_learner(looked_at):
    _, job, files, folder = looked_at
    table = pd.read_parquet(folder / "table.parquet").query("condition == 'clean'")
    for cycle, learner in learners(job, files.marks):
        batch = job.batches(learner.device)["2>1", 0]
        with torch.no_grad():
            nll = batch.nll(learner.read(batch).logits_BTV)
        found = table[(table["cycle"] == cycle) & (table["direction"] == "2>1")]["nll"]
        np.testing.assert_allclose(found, nll, rtol=1e-5, atol=1e-6)


def test_greedy_output_is_the_teacher_forced_argmax_up_to_the_first_error(looked_at):
    """So verbatim recall needs no generation: it is the number of leading hits."""
    _, job, _, folder = looked_at
    table = pd.read_parquet(folder / "table.parquet").query("condition == 'clean'")
    spoken = pd.read_parquet(folder / "spoken.parquet")
    assert len(spoken) == 6 * 4
    for _, row in spoken.iterrows():
        asked = table[(table["cycle"] == row["cycle"]) & (table["direction"] == row["direction"])]
        hits = asked["correct"].to_numpy()[: SETTINGS.generate]
        leading = len(hits) if hits.all() else int(hits.argmin())
        ids = job.tokenizer.decode(asked["token"].to_numpy()[:leading])
        assert row["output"].startswith(ids)
        assert (row["output"] == row["reference"]) == bool(hits.all())


def test_alternatives_stand_where_the_input_was_edited(looked_at):
    _, _, _, folder = looked_at
    edited = pd.read_parquet(folder / "table.parquet").query("condition == 'input:edited' and cycle == 0")
    for direction in DIRECTIONS:
        rows = edited[edited["direction"] == direction]
        sites = rows[rows["alternative"] >= 0]
        if direction in ("1>2", "2>1"):
            assert sites.empty
            continue
        assert 1 <= len(sites) <= SETTINGS.edits
        assert sites["position"].min() >= SETTINGS.kept
        assert (sites["alternative"] != sites["token"]).all()
        assert sites["alternative_nll"].notna().all()


def test_snapshots_hold_the_hidden_states(looked_at):
    _, job, files, folder = looked_at
    states = pd.read_parquet(folder / "states.parquet")
    depth = job.learner().network.depth
    assert sorted(states["layer"].unique()) == list(range(depth + 1))
    assert set(states["direction"]) == {*DIRECTIONS, "probe"}
    for cycle, learner in learners(job, files.marks):
        if cycle not in (0, CYCLES):
            continue
        batch = job.batches(learner.device)["1>2", 0]
        with torch.no_grad():
            output = learner.read(batch, whole=True)
        for layer in (0, depth):
            rows = states[(states["cycle"] == cycle) & (states["layer"] == layer) & (states["direction"] == "1>2")]
            source, goal = rows[rows["side"] == "input"], rows[rows["side"] == "target"]
            assert source["token"].tolist() == job.tokens.ids("1").tolist()
            assert goal["token"].tolist() == job.tokens.ids("2").tolist()
            hidden = output.hidden[layer][0].numpy()
            np.testing.assert_array_equal(np.stack(source["vector"]), hidden[1 : 1 + len(source)])
            np.testing.assert_array_equal(np.stack(goal["vector"]), hidden[batch.prompt : batch.prompt + len(goal)])


def test_only_a_reader_carries_a_state(looked_at):
    name, job, files, _ = looked_at
    carried = [learner.carried is not None for _, learner in learners(job, files.marks)]
    assert carried == [False] + [name == "reader"] * 5


def test_only_a_carried_state_has_a_stability(looked_at):
    name, job, _, folder = looked_at
    table = pd.read_parquet(folder / "stability.parquet")
    assert list(table.columns) == SCHEMA.names
    assert sorted(table["cycle"].unique()) == ([0, 1, 2, 4, 8, 16] if name == "reader" else [])
    assert set(table["quantity"]) == ({"lyapunov_1", "spectral_radius"} if name == "reader" else set())
    about = json.loads(pq.read_schema(folder / "stability.parquet").metadata[b"resonance"])
    assert {**NAMES, "kind": "stability", "run": job.fingerprint}.items() <= about.items()


def test_a_carried_state_counts(tokens_file, tmp_path):
    """A learner is asked from the state that it had at the mark, not from an empty one."""
    job, files = run_of("rwkv7", tokens_file, tmp_path, carry=True)
    *_, (_, learner) = learners(job, files.marks)
    batch = job.batches(learner.device)["1>2", 0]
    with torch.no_grad():
        carried = learner.read(batch).logits_BTV
        learner.carried = None
        assert not torch.allclose(carried, learner.read(batch).logits_BTV)


def test_marks_of_another_run_are_refused(looked_at, tokens_file, tmp_path):
    _, job, files, _ = looked_at
    other = Job(job.settings.model_copy(update={"seed": 1}), tokens_file, None, NAMES)
    with pytest.raises(UserError, match="holds marks of run"):
        snapshot_states(other, files.marks, tmp_path / "states.parquet")
    assert not list(tmp_path.iterdir())
