"""What heads think of their learner's output, at every mark, beside what is true."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import tiny

from resonance.learning.batch import Batch
from resonance.learning.deviation import deviation, text_deviation
from resonance.learning.head import Critique, Head
from resonance.learning.learner import Learner
from resonance.measures.critics import measure
from resonance.measures.run import read_run
from resonance.params import DIRECTIONS, Evaluation, Run
from resonance.schedule.files import write_schedule
from resonance.snapshots.critiques import SCHEMA, critiques
from resonance.snapshots.evaluation import evaluate_marks
from resonance.snapshots.learners import learners
from resonance.training.chunk import train_chunk
from resonance.training.run import Run as Job
from resonance.training.state import Files

SETTINGS = Evaluation(kept=2, edits=6, prefixes=(0,), generate=0, exponents=0)
NAMES = {"learner": "gpt", "pair": "tiny", "schedule": "shuffled", "seed": 0}
CYCLES = 4
CORRUPTED = {f"corrupted:{kind}-{percent}" for kind in ("replaced", "dropped") for percent in (5, 15, 30)}


def job_of(name: str, tokens_file: Path, **changes: object) -> Job:
    learner = tiny(name, optimizer={"adamw": {"lr": 0.01}}, **changes)
    settings = Run.model_validate({"learner": learner.model_dump(), "order": "shuffled", "seed": 0})
    return Job(settings, tokens_file, None, NAMES)


@pytest.fixture(scope="module", params=["gpt", "rwkv7"])
def examined(request, tokens_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Files, Path]:
    """A run with a critic, evaluated at all its marks."""
    folder = tmp_path_factory.mktemp(request.param)
    job = job_of(request.param, tokens_file, heads={"critic": {"every": 2}})
    files = Files.within(folder)
    write_schedule(folder / "schedule.parquet", job.settings.order, 0, 1, 0, CYCLES)
    train_chunk(job, folder / "schedule.parquet", None, files, folder / "scratch", 0, CYCLES)
    written = (folder / f"{kind}.parquet" for kind in ("table", "spoken", "stability", "critiques", "changed"))
    evaluate_marks(job, files.marks, SETTINGS, *written)
    return job, files, folder / "critiques.parquet"


def test_every_mark_direction_and_source(examined: tuple[Job, Files, Path]) -> None:
    job, _, path = examined
    table = pd.read_parquet(path)
    assert list(table.columns) == SCHEMA.names
    sources = {"own", "sample", "controlled"} | CORRUPTED
    places = table.drop_duplicates(["cycle", "head", "source", "direction"])
    assert len(places) == 4 * len(sources) * 4
    assert sorted(places["cycle"].unique()) == [0, 1, 2, 4]
    assert set(places["head"]) == {"critic"}
    assert set(places["source"]) == sources
    assert set(places["direction"]) == set(DIRECTIONS)
    about = json.loads(pq.read_schema(path).metadata[b"resonance"])
    assert {**NAMES, "kind": "critiques", "run": job.fingerprint}.items() <= about.items()


def test_what_is_true_of_the_greedy_output(examined: tuple[Job, Files, Path]) -> None:
    job, files, path = examined
    table = pd.read_parquet(path).query("source == 'own'")
    for cycle, learner in learners(job, files.marks):
        batch = job.batches(learner.device)["2>1", 0]
        rows = table[(table["cycle"] == cycle) & (table["direction"] == "2>1")]
        ids, original = rows["token"].to_numpy(np.int64), batch.target_BT[0].numpy()
        assert rows["position"].tolist() == list(range(len(ids)))
        assert ids.tolist() == learner.say(batch, len(original))[0, : len(ids)].tolist()
        found = deviation(ids, original)
        assert rows["error"].tolist() == found.error_N.tolist()
        assert (rows["error"] == (rows["token"] != rows["reference"])).all()
        np.testing.assert_allclose(rows["suffix"], found.suffix_N, rtol=1e-6)
        with torch.no_grad():
            said = batch.said(torch.from_numpy(ids)[None])
            log_p_NV = said.predictions(learner.read(said).logits_BTV)[0].log_softmax(-1)
            nll_M = batch.nll(learner.read(batch).logits_BTV).double().numpy()
        np.testing.assert_allclose(rows["confidence"], log_p_NV.exp().max(-1).values, rtol=1e-4)
        np.testing.assert_allclose(rows["surprisal"], -np.log(rows["confidence"]), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(rows["entropy"], torch.special.entr(log_p_NV.exp()).sum(-1), rtol=1e-4)
        np.testing.assert_allclose(rows["nll"], found.at_due(nll_M), rtol=1e-4)
        end = ids[-1] == original[-1]
        text = job.tokenizer.decode(ids[:-1] if end else ids)
        wanted = text_deviation(text, job.tokenizer.decode(original[:-1]))
        np.testing.assert_allclose(rows["deviation"], wanted, rtol=1e-6)


def test_estimates_are_those_of_the_restored_critic(examined: tuple[Job, Files, Path]) -> None:
    job, files, path = examined
    table = pd.read_parquet(path)
    assert (table.query("cycle == 0")["estimate"] == 0.5).all()
    assert table.query("cycle == 4")["estimate"].nunique() > 10
    for cycle, learner in learners(job, files.marks):
        batch = job.batches(learner.device)["1>1", 0]
        rows = table[(table["cycle"] == cycle) & (table["direction"] == "1>1") & (table["source"] == "sample")]
        said_1N = torch.tensor([rows["token"].tolist()])
        wrong_N, distance_N = learner.heads["critic"].estimates(learner, batch, said_1N)
        np.testing.assert_allclose(rows["estimate"], wrong_N, rtol=1e-4)
        np.testing.assert_allclose(rows["distance"], distance_N, rtol=1e-4, atol=1e-5)


def test_the_measures_can_read_it(examined: tuple[Job, Files, Path]) -> None:
    _, _, path = examined
    rows = pd.DataFrame(measure(read_run(critiques=[path])))
    errors = pd.read_parquet(path).query("cycle == 4 and source == 'own'")["error"].sum()
    found = rows.query("cycle == 4 and condition == 'critic:own'").set_index("measure")["value"]
    assert found["errors"] == errors
    assert len(rows.query("measure == 'controller_gain'")) == 4


def test_the_same_mark_gives_the_same_bytes(examined: tuple[Job, Files, Path], tmp_path: Path) -> None:
    job, files, path = examined
    written = (tmp_path / f"{kind}.parquet" for kind in ("table", "spoken", "stability", "critiques", "changed"))
    evaluate_marks(job, files.marks, SETTINGS, *written)
    assert (tmp_path / "critiques.parquet").read_bytes() == path.read_bytes()


class Silent(Head):
    """A head that says nothing at marks, as those do that do not override `examine`."""


class Blunt(Head):
    """A head that knows no distance."""

    def examine(self, learner: Learner, asked: Sequence[Batch], draws: torch.Generator) -> list[Critique]:
        said_N = asked[0].target_BT[0, :5]
        return [Critique("own", asked[0], said_N, torch.rand(5, generator=draws))]


def tables(learner: Learner, job: Job) -> list[pa.Table]:
    examples = job.batches(learner.device).values()
    return list(critiques(learner, examples, 3, job.tokens.markers["[BLANK]"][0], job.tokenizer))


def test_learners_without_heads_have_no_rows(tokens_file: Path) -> None:
    job = job_of("gpt", tokens_file)
    learner = job.learner()
    assert tables(learner, job) == []
    learner.heads["silent"] = Silent.__new__(Silent)
    assert tables(learner, job) == []


def test_a_head_without_a_distance(tokens_file: Path) -> None:
    job = job_of("gpt", tokens_file)
    learner = job.learner()
    learner.heads["blunt"] = Blunt.__new__(Blunt)
    found = tables(learner, job)
    assert [table.num_rows for table in found] == [5] * 4
    assert all(table["distance"].null_count == 5 for table in found)
    assert not any(any(table["error"].to_pylist()) for table in found)
    assert found[0]["estimate"] != found[1]["estimate"], "each direction has draws of its own"
