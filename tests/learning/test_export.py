from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pyreft
import pytest
import torch
from conftest import tiny
from families import FAMILIES, VOCABULARY, small
from torch import Tensor
from transformers import AutoModelForCausalLM

from resonance import cli, params
from resonance.errors import UserError
from resonance.learning.export import export_loreft
from resonance.learning.learner import Learner
from resonance.schedule.files import write_schedule
from resonance.snapshots.learners import learners
from resonance.training.chunk import train_chunk
from resonance.training.run import Run
from resonance.training.state import Files

PROMPT = 7


def tokens(vocabulary: int) -> Tensor:
    return torch.randint(2, vocabulary, (1, 12), generator=torch.Generator().manual_seed(0))


def trained(learner: Learner) -> Learner:
    """With edits away from where they start, but for the signs of R on a diagonal."""
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in learner.scope.named_parameters():
            step = 0.3 * torch.randn(parameter.shape, generator=noise)
            parameter.add_(step.tril(-1) if name.endswith("original") else step)
    return learner


def published(family: str, folder: Path, **settings: object) -> Learner:
    small(family).save_pretrained(folder / family)
    return trained(
        Learner(
            params.Learner.model_validate(
                {
                    "network": {"hub": {"path": str(folder / family), **settings}},
                    "train": {"loreft": {"layers": [1, 2], "rank": 2, "positions": "f2+l2"}},
                }
            ),
            VOCABULARY,
            seed=0,
            base=None,
        )
    )


def told(folder: Path, tokens_BT: Tensor) -> str:
    """The code of an exported README, for these tokens."""
    code = textwrap.dedent("    " + (folder / "README.md").read_text().split("\n\n    ", 1)[1])
    return code.replace("[[...]]", str(tokens_BT.tolist())).replace("prompt = ...", f"prompt = {PROMPT}")


@torch.no_grad()
def ours(learner: Learner, tokens_BT: Tensor) -> Tensor:
    return learner.network(tokens_BT, edit=learner.scope.edit(PROMPT)).logits_BTV


@torch.no_grad()
def theirs(folder: Path, tokens_BT: Tensor) -> Tensor:
    """Logits of the exported pair through pyreft's own loader."""
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    reft = pyreft.ReftModel.load(str(folder / "reft"), base)
    first, last = [0, 1], [PROMPT - 2, PROMPT - 1]
    places = [first, first, last, last]
    _, output = reft({"input_ids": tokens_BT}, unit_locations={"sources->base": (None, [[place] for place in places])})
    return output.logits


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt-neox", "qwen2"])
def test_pyrefts_own_loader_gives_the_same_logits(family, tmp_path):
    learner = published(family, tmp_path)
    export_loreft(learner, tmp_path / "out")
    tokens_BT = tokens(VOCABULARY)
    expected_BTV = ours(learner, tokens_BT)
    found_BTV = theirs(tmp_path / "out", tokens_BT)
    assert (found_BTV - expected_BTV).abs().max() <= 1e-5 * expected_BTV.std()
    with torch.no_grad():
        plain_BTV = learner.network(tokens_BT).logits_BTV
    assert (found_BTV - plain_BTV).abs().max() > 0.01 * plain_BTV.std()


def test_pyrefts_own_files_would_be_rounded_and_then_fail(tmp_path):
    """Why the files are written once more: when this test fails, pyreft has been repaired."""
    learner = published("llama", tmp_path)
    export_loreft(learner, tmp_path / "out")
    for file in (tmp_path / "out" / "reft").glob("*.bin"):
        torch.save(dict(torch.load(file)), file)
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "base")
    reft = pyreft.ReftModel.load(str(tmp_path / "out" / "reft"), base)
    assert {edit.learned_source.weight.dtype for edit in reft.interventions.values()} == {torch.bfloat16}
    with pytest.raises(RuntimeError, match="must have the same dtype"):
        theirs(tmp_path / "out", tokens(VOCABULARY))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_base_in_half_precision_runs_too(dtype, tmp_path):
    """pyreft computes W h + b in the base's precision, this project in float32: equal up to that."""
    learner = published("llama", tmp_path, dtype=dtype)
    export_loreft(learner, tmp_path / "out")
    tokens_BT = tokens(VOCABULARY)
    expected_BTV, found_BTV = ours(learner, tokens_BT), theirs(tmp_path / "out", tokens_BT)
    assert found_BTV.dtype == expected_BTV.dtype == getattr(torch, dtype)
    assert (found_BTV - expected_BTV).abs().max() <= 8 * torch.finfo(found_BTV.dtype).eps * expected_BTV.abs().max()


@pytest.fixture
def run(tokens_file: Path, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[params.Run, Files]:
    """Three cycles of a LoReFT learner of this project's own transformer."""
    scope = {"layers": [1, 2], "rank": 2, **request.param}
    settings = params.Run.model_validate(
        {"learner": tiny("loreft", train={"loreft": scope}).model_dump(), "order": "shuffled", "seed": 0}
    )
    files = Files.within(tmp_path / "run")
    write_schedule(tmp_path / "schedule.parquet", settings.order, 0, 1, 0, 3)
    train_chunk(Run(settings, tokens_file, None), tmp_path / "schedule.parquet", None, files, tmp_path / "s", 0, 3)
    return settings, files


def export(run: tuple[params.Run, Files], tokens_file: Path, cycle: int, out: Path) -> int:
    settings, files = run
    told = ["--run", params.canonical(settings), "--tokens", str(tokens_file), "--marks", str(files.marks)]
    return cli.main(["export-loreft", "--name", "l/p/s/0", *told, "--cycle", str(cycle), "--out", str(out)])


@pytest.mark.parametrize(
    "run",
    [{"positions": "f2+l2"}, {"positions": "f4+l1", "tied": True}, {"positions": "l3"}, {"positions": "all"}],
    indirect=True,
    ids=str,
)
def test_an_export_does_what_its_readme_says(run, tokens_file, tmp_path, monkeypatch):
    """From the marks of a run, through the command line, to logits."""
    assert export(run, tokens_file, 2, tmp_path / "out") == 0
    tokens_BT = tokens(300)
    logits = {}
    for cycle, learner in learners(Run(run[0], tokens_file, None), run[1].marks):
        logits[cycle] = ours(learner, tokens_BT)
    monkeypatch.chdir(tmp_path / "out")
    names: dict[str, Any] = {}
    exec(told(tmp_path / "out", tokens_BT), names)  # noqa: S102 (the code under test)
    found_BTV = names["output"].logits.detach()
    assert (found_BTV - logits[2]).abs().max() <= 1e-5 * logits[2].std()
    assert (found_BTV - logits[0]).abs().max() > 1e-3 * logits[2].std()


def test_an_export_is_of_use_without_this_project(tmp_path):
    """In a process of its own, which must not find this project."""
    learner = published("llama", tmp_path)
    export_loreft(learner, tmp_path / "out")
    tokens_BT = tokens(VOCABULARY)
    code = told(tmp_path / "out", tokens_BT)
    code += "\nimport sys\ntorch.save(output.logits, 'logits.pt')\nassert 'resonance' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found_BTV, expected_BTV = torch.load(tmp_path / "out" / "logits.pt").detach(), ours(learner, tokens_BT)
    assert (found_BTV - expected_BTV).abs().max() <= 1e-5 * expected_BTV.std()


@pytest.mark.parametrize("run", [{"positions": "f2+l2"}], indirect=True)
def test_a_cycle_without_a_mark_is_refused(run, tokens_file, tmp_path, capsys):
    assert export(run, tokens_file, 3, tmp_path / "out") == 1
    assert "has no mark of cycle 3; it has 0, 1, 2." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_base_is_written_as_safetensors_alone(tmp_path):
    export_loreft(published("gpt2", tmp_path), tmp_path / "out")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert [name for name in names if name.startswith("base/") and not name.endswith(".json")] == [
        "base/model.safetensors"
    ]
    assert len([name for name in names if name.startswith("reft/intkey_")]) == 4
    assert {"README.md", "reft/config.json"} <= set(names)


def test_other_learners_are_refused(tmp_path):
    with pytest.raises(UserError, match="only a learner with train: loreft can be exported, not train: all"):
        export_loreft(Learner(tiny("gpt"), 60, seed=0, base=None), tmp_path)


@pytest.mark.parametrize("family", ["mamba", "qwen3"])
def test_models_that_pyvene_does_not_know_are_refused(family, tmp_path):
    name = type(small(family)).__name__
    assert family in FAMILIES
    with pytest.raises(UserError, match=f"pyreft cannot read edits of {name}: pyvene knows, .*LlamaForCausalLM"):
        export_loreft(published(family, tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_network_that_is_not_of_transformers_is_refused(tmp_path):
    learner = Learner(tiny("rwkv7", train={"loreft": {"layers": [0], "rank": 2}}), 60, seed=0, base=None)
    with pytest.raises(UserError, match="pyreft cannot read edits of RWKV7"):
        export_loreft(learner, tmp_path)
