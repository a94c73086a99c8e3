"""Snakemake and DVC agree, whichever was called, whatever was edited, in a clone too."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from pipeline.repository import Made, Repository, Said

from resonance.measures import FAMILIES

TO_MEASURE_A_LEARNER = Counter(
    train_chunk=2, write_curve=1, snapshot_states=2, evaluate_marks=2, step_states=1, measure_run=1, summarise_learner=1
)  # fmt: skip
TABLES = len(FAMILIES) - 1
"""All families but the one that the study leaves out."""
TO_EXPLORE = Counter(explore_run=1)
TO_REPORT = Counter(
    collect_table=TABLES, judge_claims=1, draw_verdicts=1, draw_across=1, draw_figures=1, render_report=1
)
"""What depends on a learner's measures, by rule."""
TO_COMPARE = Counter(compare_runs=1, collect_table=1)
"""What depends on the snapshots of all learners."""


def learners(said: Said) -> set[str]:
    """Which learners the jobs of a run are about."""
    parts = {
        part for outputs in said.jobs.values() for output in outputs for part in output.replace(".", "/").split("/")
    }
    return parts & {"gpt", "reader"}


def test_after_snakemake_dvc_records_without_running_a_job(made: Made) -> None:
    assert made.recorded.counts == {}
    assert made.recorded.text.count("Nothing to be done") == made.recorded.text.count("Running stage") == 7
    assert "up to date" in made.repository.dvc("status").text


def test_git_sees_the_small_results_and_dvc_the_rest(study: Repository) -> None:
    tracked = set(study.git("ls-files").splitlines())
    small = {"report.html", "tables/loss.parquet", "curves/gpt.tsv", "metrics/gpt.json", "figures/pair-spacing.svg"}
    assert {f"results/{name}" for name in small} <= tracked
    assert not [
        name for name in tracked if name.startswith(("results/states", "results/marks", "data/derived", "logs"))
    ]
    assert [name for name in tracked if name.startswith(".snakemake/metadata/")]
    assert study.git("status", "--short") == ""


def test_words_about_code_rerun_nothing(copy: Repository) -> None:
    copy.edit("src/resonance/training/step.py", '"""One slot and', "# A comment.\n" + '"""Just one slot and')
    copy.edit(
        "src/resonance/params/networks.py",
        'description="hidden width of the ReLU block"',
        'description="how wide the ReLU block is inside"',
    )
    copy.edit("workflow/rules/train.smk", '"""Training:', '"""Training, that is:')
    assert copy.would().nothing


def test_edited_code_reruns_what_it_is_behind(copy: Repository) -> None:
    copy.edit("src/resonance/measures/geometry.py", "from __future__", "UNUSED = 1\nfrom __future__")
    said = copy.would()
    assert said.counts == Counter(measure_run=2, summarise_learner=2) + TO_REPORT, said.text


def test_an_experiment_reruns_its_learner_and_no_other(copy: Repository) -> None:
    """`dvc exp run -S` writes 1e-05, which YAML 1.1 would read as text."""
    copy.edit("params.yaml", "marker: relation", "marker: target")
    planned = copy.would()
    assert planned.counts == TO_MEASURE_A_LEARNER + TO_EXPLORE + TO_COMPARE + TO_REPORT
    assert learners(planned) == {"reader"}
    copy.git("checkout", "-q", "params.yaml")

    key = "learners.reader"
    changes = ["-S", f"{key}.marker=target", "-S", f"{key}.optimizer.adamw.lr=1e-5"]
    said = copy.dvc("exp", "run", "-n", "other", *changes, "measure@reader")
    assert b"1e-05" in copy.read("params.yaml")
    assert said.counts == TO_MEASURE_A_LEARNER
    assert learners(said) == {"reader"}
    assert "up to date" in copy.dvc("status", "measure@gpt", "measure@reader").text
    assert set(copy.would().counts) <= set(TO_REPORT + TO_COMPARE + TO_EXPLORE), "nothing but the report is left"

    metrics = json.loads(copy.dvc("metrics", "diff", "--json").text)
    assert set(metrics) == {"results/metrics/reader.json"}
    changed = json.loads(copy.dvc("params", "diff", "--json").text)["params.yaml"]
    assert changed[f"{key}.optimizer.adamw.lr"] == {"old": 0.001, "new": 1e-5, "diff": pytest.approx(-0.00099)}
    plots = copy.dvc("plots", "diff", "HEAD", "workspace", "-o", "dvc_plots")
    assert "index.html" in plots.text
    assert "reader" in (copy.folder / "dvc_plots/index.html").read_text()
    assert "other" in copy.dvc("exp", "list").text

    copy.git("checkout", "-q", ".")
    copy.dvc("checkout", "-q")
    assert copy.would().nothing
    assert "up to date" in copy.dvc("status").text


def test_a_longer_study_keeps_its_chunks_and_a_shorter_one_its_lock(copy: Repository) -> None:
    lock, old = (
        copy.read("dvc.lock"),
        copy.files("results/states/reader", "results/marks/reader", "results/logs/reader"),
    )
    copy.edit("params.yaml", "cycles: 4", "cycles: 8")
    said = copy.dvc("repro", "train@reader")
    assert said.counts == Counter(build_schedule=1, train_chunk=1, write_curve=1)
    assert copy.dvc("repro", "train@reader").counts == {}
    new = copy.files("results/states/reader", "results/marks/reader", "results/logs/reader")
    assert {name: new[name] == content for name, content in old.items()} == dict.fromkeys(old, True)
    assert len(new) > len(old)

    copy.edit("params.yaml", "cycles: 8", "cycles: 4")
    said = copy.dvc("repro", "train@reader")
    assert said.counts == Counter(write_curve=1)
    assert copy.read("dvc.lock") == lock
    aside = {name.removeprefix("scratch/set_aside/") for name in copy.files("scratch/set_aside")}
    assert set(new) - set(old) <= aside


def test_a_learner_that_is_gone_is_set_aside_and_comes_back(copy: Repository) -> None:
    before = copy.files("results")
    line = next(line for line in copy.read("params.yaml").decode().splitlines() if line.startswith("  gpt:"))
    copy.edit("params.yaml", line + "\n", "")
    said = copy.dvc("repro")
    assert said.counts == TO_COMPARE + TO_REPORT
    assert not [name for name in copy.files("results") if "gpt" in name]
    aside = copy.files("scratch/set_aside")
    state = "results/states/gpt/spacing/shuffled/0/000000000004.safetensors"
    assert aside[f"scratch/set_aside/{state}"] == before[state]
    assert "up to date" in copy.dvc("status").text

    copy.git("checkout", "-q", ".")
    copy.dvc("checkout", "-q")
    assert copy.files("results") == before
    assert copy.would().nothing
    assert "up to date" in copy.dvc("status").text


def test_a_study_without_a_base_is_recorded_too(copy: Repository) -> None:
    """DVC asks for every folder that a stage names."""
    line = next(line for line in copy.read("params.yaml").decode().splitlines() if line.startswith("  gpt:"))
    copy.edit("params.yaml", line + "\n", "")
    copy.edit("params.yaml", "marker: relation", "init: random")
    shutil.rmtree(copy.folder / "data/derived/bases")
    assert copy.dvc("repro", "bases").counts == {}
    assert "up to date" in copy.dvc("status", "bases").text


def test_a_clone_with_the_cache_is_up_to_date(study: Repository, tmp_path: Path) -> None:
    study.git("clone", "-q", str(study.folder), str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone")
    assert clone.would().counts["train_chunk"] == 4, "without its data a clone computes"
    clone.dvc("cache", "dir", "--local", str(study.folder / ".dvc/cache"))
    clone.dvc("checkout", "-q")
    assert "up to date" in clone.dvc("status").text
    assert clone.would().nothing
    assert clone.files("results") == study.files("results")


def test_results_without_a_record_of_what_made_them_are_not_trusted(copy: Repository) -> None:
    shutil.rmtree(copy.folder / ".snakemake")
    said = copy.would()
    assert said.code == 1
    assert "git checkout -- .snakemake/metadata" in said.text
    assert "Traceback" not in said.text
    copy.git("checkout", "--", ".snakemake/metadata")
    assert copy.would().nothing
