"""A new network, objective and head are one class in one file each; nothing old is touched by them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipeline.repository import Repository
from safetensors.numpy import load

TOYS = Path(__file__).parent / "toys"
PLACES = {
    "network": "src/resonance/networks/toy.py",
    "objective": "src/resonance/learning/objectives/toy.py",
    "head": "src/resonance/learning/heads/toy.py",
}
UNIONS = {"networks": ("Network", "OneOf("), "objectives": ("Objectives", "ManyOf("), "heads": ("Heads", "ManyOf(")}
LEARNERS = """\
  toy: {network: toy, carry: true, objective: {lm: 1.0, toy: 0.5}, heads: {toy: {width: 8}}}
  bare: {network: toy, carry: true, objective: {lm: 1.0, toy: 0.5}}
"""


def add_toys(repository: Repository) -> None:
    """Three files, three classes of settings, three names in their unions."""
    for kind, place in PLACES.items():
        shutil.copy(TOYS / f"{kind}.py", repository.folder / place)
    settings = re.split(r"^(?=class )", (TOYS / "settings.txt").read_text(), flags=re.MULTILINE)
    for (file, (union, call)), block in zip(UNIONS.items(), settings[1:], strict=True):
        path = repository.folder / f"src/resonance/params/{file}.py"
        before, at, after = path.read_text().rpartition(f"\n{union} = ")
        name = re.search(r"\w+(?=\(Member)", block)
        assert at
        assert name
        path.write_text(before + "\n" + settings[0] + block + at + after.replace(call, f"{call}{name[0]}, ", 1))


def add_learners(repository: Repository) -> None:
    """A learner of all three toys, and the same one without its head."""
    repository.edit("params.yaml", "evaluation:", LEARNERS + "evaluation:")


@pytest.fixture(scope="module")
def toys(study: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A copy with the toys in it."""
    copy = study.copy(tmp_path_factory.mktemp("toys") / "copy")
    add_toys(copy)
    return copy


@pytest.fixture(scope="module")
def run(toys: Repository) -> Repository:
    """The same, with both learners run: the whole one to the report, the bare one's first chunk."""
    assert toys.would().nothing, "new members change nothing that is there"
    add_learners(toys)
    said = toys.snakemake("--", "results/states/bare/spacing/shuffled/0/000000000002.safetensors")
    assert said.code == 0, said.text
    toys.edit("params.yaml", LEARNERS.splitlines()[1] + "\n", "")
    said = toys.snakemake()
    assert said.code == 0, said.text
    started = {output for outputs in said.jobs.values() for output in outputs}
    assert not [output for output in started if "/gpt/" in output or "/reader/" in output]
    return toys


def test_a_learner_of_all_three_toys_goes_through_every_stage(run: Repository) -> None:
    report = run.read("results/report.html").decode()
    assert "toy" in report
    assert run.read("results/metrics/toy.json")
    assert run.would().nothing


def test_what_an_objective_keeps_is_saved_and_marked(run: Repository) -> None:
    folder = "results/{}/toy/spacing/shuffled/0/{:012d}.safetensors"
    states = [load(run.read(folder.format("states", stop))) for stop in (2, 4)]
    assert [state["objective/toy/losses"].shape for state in states] == [(8,), (16,)]
    assert [float(state["objective/toy/events"][0]) for state in states] == [1, 2]
    assert all("objective/toy/peer.embedding" in state for state in states)
    assert all("objective/toy/peer_optimizer/peer.embedding/exp_avg" in state for state in states)
    marks = load(run.read(folder.format("marks", 4)))
    assert (marks["4/objective/toy/mean"] == states[1]["objective/toy/mean"]).all()
    assert not [name for name in marks if "peer" in name]


def test_a_head_never_changes_the_trunk(run: Repository) -> None:
    with_head, without = (
        load(run.read(f"results/states/{learner}/spacing/shuffled/0/000000000002.safetensors"))
        for learner in ("toy", "bare")
    )
    heads = {name for name in with_head if name.startswith("head")}
    assert heads
    assert set(with_head) - heads == set(without)
    assert all((with_head[name] == without[name]).all() for name in without)
    fresh = load(run.read("results/marks/toy/spacing/shuffled/0/000000000002.safetensors"))
    assert (fresh["0/head/toy/inner"] != with_head["head/toy/inner"]).any(), "the head has learned something"


def test_a_job_killed_in_mid_chunk_goes_on_to_the_same_bytes(run: Repository, tmp_path: Path) -> None:
    """SIGKILL after some autosaves; the second call ends. Its files are those of a job that was left alone."""
    cycles = 24
    logs = "".join(path.read_text() for path in sorted((run.folder / ".snakemake/log").glob("*.log")))
    told = re.search(r"train-chunk --name toy/spacing/shuffled/0 --run '(\{.*?\})' --tokens", logs)
    assert told
    assert '"autosave":60.0' in told[1]
    impatient = told[1].replace('"autosave":60.0', '"autosave":0.001')
    tokens = "data/derived/tokens/spacing/pair/tokens.parquet"
    base = next(name for name in run.files("data/derived/bases") if "/toy-" in name and name.endswith(".safetensors"))
    schedule = str(tmp_path / "schedule.parquet")
    order = '{"tag":"shuffled"}'
    said = run.resonance(
        *("build-schedule", "--tokens", tokens, "--order", order, "--seed", "0"),
        *("--start", "0", "--stop", str(cycles), "--out", schedule),
    )
    assert said.code == 0, said.text

    def job(name: str, run_settings: str) -> list[str]:
        made = {"state": "state.safetensors", "table": "log.parquet", "marks": "marks.safetensors"}
        outs = [word for key, file in made.items() for word in (f"--{key}", str(tmp_path / name / file))]
        return [
            *("train-chunk", "--name", "toy/spacing/shuffled/0", "--run", run_settings, "--tokens", tokens),
            *("--base", base, "--schedule", schedule, "--start", "0", "--stop", str(cycles), *outs),
            *("--scratch", str(tmp_path / name / "scratch"), "--log", str(tmp_path / name / "log")),
        ]

    killed_after(run, job("killed", impatient), tmp_path / "killed/scratch", cycles // 2)
    assert not (tmp_path / "killed/state.safetensors").exists()
    said = run.resonance(*job("killed", impatient))
    assert said.code == 0, said.text
    resumed = re.search(r"resumed at cycle (\d+)", (tmp_path / "killed/log").read_text())
    assert resumed
    assert int(resumed[1]) >= cycles // 2 - 1, "at worst the save that the kill fell into is lost"
    said = run.resonance(*job("whole", told[1]))
    assert said.code == 0, said.text
    for name in ("state.safetensors", "state.json", "log.parquet", "marks.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def killed_after(repository: Repository, job: list[str], scratch: Path, cycle: int) -> None:
    """Start a job and kill it, as a machine would that loses its power, once a cycle is saved."""
    environment = repository.environment | {"PYTHONPATH": str(repository.folder / "src")}
    with subprocess.Popen([sys.executable, "-m", "resonance", *job], cwd=repository.folder, env=environment) as process:
        while process.poll() is None and not any(int(folder.name) >= cycle for folder in scratch.glob("[0-9]*")):
            time.sleep(0.005)
        assert process.poll() is None, f"the job ended before cycle {cycle} was saved"
        os.kill(process.pid, signal.SIGKILL)
