"""The whole study: all that the contracts name is there, opens in one line, and comes out the same again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pipeline.repository import Made, Repository

from resonance.measures import BETWEEN
from resonance.measures import FAMILIES as ALL_FAMILIES

RUNS = [f"{learner}/spacing/shuffled/0" for learner in ("gpt", "reader")]
CHUNKS = ["000000000002", "000000000004"]
FAMILIES = [family for family in ALL_FAMILIES if family != "topology"]
"""What the study does not leave out."""

TABLES = {
    "data/derived/corpus.parquet": {"package", "module", "name", "text"},
    "data/derived/tokens/spacing/pair/tokens.parquet": {"text", "position", "token", "piece", "segment", "start"},
    **{f"data/derived/schedules/spacing/pair/shuffled/0/{chunk}.parquet": {"cycle", "order"} for chunk in CHUNKS},
    **{
        f"results/{kind}/{run}/{chunk}.parquet": columns
        for run in RUNS
        for chunk in CHUNKS
        for kind, columns in {
            "logs": {"cycle", "direction", "loss", "loss_min", "loss_max", "loss_last", "cosine.0", "norm.0"},
            "snapshots": {"cycle", "layer", "direction", "side", "text", "position", "token", "vector"},
            "evaluations": {"cycle", "condition", "direction", "position", "token", "nll", "correct"},
            "generations": {"cycle", "direction", "prefix", "output", "reference", "match", "steps", "draw"},
            "stability": {"cycle", "quantity", "value", "low", "high", "tokens", "method"},
            "critiques": {"cycle", "head", "source", "token", "estimate", "error"},
            "interventions": {"cycle", "experiment", "direction", "layer", "item", "other", "quantity", "value"},
        }.items()
    },
    **{f"results/transfer/{run}/steps.parquet": {"cycle", "quantity", "step", "direction", "value"} for run in RUNS},
    **{
        path: {"learner", "pair", "schedule", "seed", "cycle", "layer", "measure", "value", "low", "high"}
        for family in FAMILIES
        for path in [f"results/tables/{family}.parquet", *(f"results/measures/{run}/{family}.parquet" for run in RUNS)]
    },
    **{
        path: {"learner", "pair", "schedule", "seed", "cycle", "layer", "condition", "measure", "value", "low", "high"}
        for path in [
            "results/between/spacing/shuffled/pair/0.parquet",
            *(f"results/tables/{f}.parquet" for f in BETWEEN),
        ]
    },
}
"""Every Parquet file of the study and columns that it must have."""

EMPTY = {
    "gpt/spacing/shuffled/0/reader": "only readers carry a state",
    "stability/gpt": "only readers carry a state",
    "decoding": "nobody fills masks",
    "critiques": "nobody has a head",
    "critics": "nobody has a head",
    "selective": "nobody has a head",
    "edits": "nobody edits hidden states",
    "anchors": "the pair has two windows",
    "patching": "the pair has two windows",
    "changes": "four cycles are too few for two pieces",
    "reversal": "every direction is shown",
    "transfer/reader": "the reader takes no step",
    "reader/spacing/shuffled/0/transfer": "the reader takes no step",
    "reader/spacing/shuffled/0/recency": "the reader takes no step",
    "reader/spacing/shuffled/0/stitching": "the reader carries a memory",
    "reader/spacing/shuffled/0/matching": "the reader carries a memory",
}
"""Files without a row: a part of their name, and why."""


@pytest.mark.parametrize("name", TABLES)
def test_every_table_opens_in_one_line_and_says_what_made_it(study: Repository, name: str) -> None:
    table = pd.read_parquet(study.folder / name)
    assert set(table.columns) >= TABLES[name]
    reasons = [reason for part, reason in EMPTY.items() if part in name]
    if reasons:
        assert table.empty, reasons[0]
    else:
        assert len(table)
    assert "kind" in json.loads(pq.read_schema(study.folder / name).metadata[b"resonance"])


def test_there_is_no_other_table(study: Repository) -> None:
    assert {name for name in study.files("results", "data/derived") if name.endswith(".parquet")} == set(TABLES)


@pytest.mark.parametrize("run", RUNS)
def test_all_that_a_run_leaves_bears_its_fingerprint(study: Repository, run: str) -> None:
    names = dict(zip(("learner", "pair", "schedule", "seed"), [*run.split("/")[:3], 0], strict=True))
    seals = [json.loads(study.read(f"results/states/{run}/{chunk}.json")) for chunk in CHUNKS]
    assert [seal["cycle"] for seal in seals] == [2, 4]
    for seal in seals:
        assert names.items() <= seal.items()
        assert set(seal) >= {"tensors", "versions", "device"}
    said = [
        json.loads(pq.read_schema(study.folder / f"results/{kind}/{run}/{chunk}.parquet").metadata[b"resonance"])
        for kind in ("logs", "snapshots", "evaluations", "generations", "stability", "critiques")
        for chunk in CHUNKS
    ]
    assert {one["run"] for one in [*seals, *said]} == {seals[0]["run"]}


def test_the_snapshots_hold_every_layer_of_every_direction_at_log_spaced_cycles(study: Repository) -> None:
    parts = [pd.read_parquet(study.folder / f"results/snapshots/{RUNS[0]}/{chunk}.parquet") for chunk in CHUNKS]
    table = pd.concat(parts)
    assert [sorted(part["cycle"].unique()) for part in parts] == [[0, 1, 2], [4]]
    assert sorted(table["layer"].unique()) == [0, 1, 2]
    assert {"1>2", "2>1", "1>1", "2>2"} <= set(table["direction"])
    assert set(table["side"]) == {"input", "target"}
    assert table["vector"].iloc[0].dtype == "float32"
    assert table["vector"].iloc[0].shape == (32,)


def test_figures_the_report_and_what_dvc_shows(study: Repository) -> None:
    figures = {Path(name) for name in study.files("results/figures")}
    assert {path.suffix for path in figures} == {".svg", ".png"}
    assert len(figures) == 2 * len({path.stem for path in figures}) > 2
    for path in figures:
        if path.suffix == ".png":
            Image.open(study.folder / path).verify()
    report = study.read("results/report.html").decode()
    assert "gpt" in report
    assert "reader" in report
    for learner in ("gpt", "reader"):
        curve = pd.read_csv(study.folder / f"results/curves/{learner}.tsv", sep="\t")
        assert list(curve["cycle"]) == [1, 2, 3, 4]
        assert json.loads(study.read(f"results/metrics/{learner}.json"))["cycles"] == 4


def test_no_tracked_file_names_a_folder_of_this_machine(study: Repository) -> None:
    here = str(study.folder).encode()
    assert not [name for name, content in study.files("results", "data/derived").items() if here in content]


def test_a_second_call_finds_nothing_to_do(study: Repository) -> None:
    assert study.would().nothing


def test_every_job_ran_once(made: Made) -> None:
    rules = {rule for rule in made.run.counts if rule != "all"}
    known = {
        line.split()[1].rstrip(":")
        for path in sorted((made.repository.folder / "workflow/rules").glob("*.smk"))
        for line in path.read_text().splitlines()
        if line.startswith("rule ")
    }
    assert rules == known - {"all", "texts", "bases", "tokenize_pair_as_published"}
    assert max(made.run.counts[rule] for rule in ("extract_corpus", "tokenize_pair", "render_report")) == 1
    assert made.run.counts["train_chunk"] == len(RUNS) * len(CHUNKS)


def test_a_clean_run_elsewhere_gives_the_same_bytes(study: Repository, tmp_path: Path) -> None:
    """Without git and DVC, in a folder with a space in its name; one learner of the two, and one file of each kind."""
    again = Repository.of_this_project(tmp_path / "an other place" / "study")
    shutil.rmtree(again.folder / ".dvc")
    (again.folder / "dvc.yaml").unlink()
    run, (first, last) = RUNS[1], CHUNKS
    said = again.snakemake(
        "--",
        *(f"results/states/{run}/{last}.safetensors", f"results/snapshots/{run}/{first}.parquet"),
        *(f"results/measures/{run}/memorisation.parquet", "results/curves/reader.tsv"),
    )
    assert said.code == 0, said.text
    made = again.files("results", "data/derived")
    assert {name.split("/")[1] for name in made} >= {"derived", "states", "logs", "marks", "snapshots", "evaluations"}
    assert {name: content == study.read(name) for name, content in made.items()} == dict.fromkeys(made, True)


def test_the_linter_is_content(study: Repository) -> None:
    said = study.snakemake("--lint")
    assert said.code == 0, said.text
    assert "good condition" in said.text
