"""Planted networks go through the whole pipeline, and every verdict on them comes out as it must.

A reciter, a copier, a cipher, a network that knows nothing, a transformer whose hidden states turn by a known rotation,
and its twin, whose states move as far by noise: tokens, schedules, bases, training, marks, snapshots, evaluations,
experiments, measures, tables and verdicts, all by the jobs that Snakemake plans.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from pipeline.planting import EXACT, MOVED, jobs_for, judging, plant, run_in_one_process
from pipeline.repository import Repository

JUDGED = ("recites", "copies", "translation", "topology")
"""Claims of which these networks are the truth."""

VERDICTS = {
    "reciter": ("supported", "refuted", "refuted", "not identifiable"),
    "copier": ("refuted", "supported", "not identifiable", "not identifiable"),
    "cipher": ("undecided", "supported", "supported", "not identifiable"),
    "uniform": ("undecided", "refuted", "not identifiable", "not identifiable"),
}
"""Of `JUDGED`. Nothing that stands still has a topology, and who starts from fresh weights need not translate. The
cipher and the uniform network have three seeds, with which a confirmatory claim is undecided."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The planted study, planned by Snakemake and run, with each of its networks in all roles of a subject."""
    repository = Repository.of_this_project(tmp_path_factory.mktemp("planted") / "study")
    plant(repository)
    jobs = jobs_for(repository, "results/verdicts.json")
    for learner in (*EXACT, *MOVED):
        roles = {claim: {"learner": learner} for claim in JUDGED}
        roles["translation"]["versions"] = "cipher"
        jobs.append(judging(jobs[-1], roles, learner))
    run_in_one_process(repository, jobs)
    return repository


@pytest.fixture(scope="module")
def verdicts(study: Repository) -> dict[str, dict[str, dict[str, Any]]]:
    """By learner and claim."""
    return {
        learner: {claim["name"]: claim for claim in json.loads(study.read(f"verdicts/{learner}.json"))["claims"]}
        for learner in (*EXACT, *MOVED)
    }


def table(study: Repository, family: str, measure: str, cycle: int = 2) -> pd.DataFrame:
    """A measure of all runs at a cycle."""
    rows = pd.read_parquet(study.folder / f"results/tables/{family}.parquet")
    return rows[(rows["measure"] == measure) & (rows["cycle"] == cycle)]


@pytest.mark.parametrize("learner", EXACT)
def test_every_verdict_on_a_network_that_is_a_table_comes_out_right(
    verdicts: dict[str, dict[str, dict[str, Any]]], learner: str
) -> None:
    found = tuple(verdicts[learner][claim]["verdict"] for claim in JUDGED)
    why = {claim: verdicts[learner][claim]["why"] for claim in JUDGED}
    assert found == VERDICTS[learner], why


def test_each_claim_is_supported_by_the_network_in_which_it_is_planted(study: Repository) -> None:
    told = {claim["name"]: claim for claim in json.loads(study.read("results/verdicts.json"))["claims"]}
    assert {name for name, claim in told.items() if claim["verdict"] == "supported"} == set(JUDGED), told
    assert told["recites"]["effect"]["p_holm"] < 0.05


def test_nothing_is_known_of_what_was_not_measured(verdicts: dict[str, dict[str, dict[str, Any]]]) -> None:
    others = {claim["verdict"] for told in verdicts.values() for name, claim in told.items() if name not in JUDGED}
    assert others == {"undecided"}


def test_a_reciter_fails_what_a_copier_passes_and_the_other_way_round(study: Repository) -> None:
    shares = {
        name: table(study, "probes", f"{name}_share").groupby("learner", observed=True)["value"].agg(["min", "max"])
        for name in ("store", "follow")
    }
    assert set(shares["store"].loc["reciter"]) == set(shares["follow"].loc["copier"]) == {1.0}
    assert set(shares["follow"].loc["reciter"]) == set(shares["store"].loc["copier"]) == {0.0}
    assert set(shares["follow"].loc["uniform"]) == set(shares["store"].loc["uniform"]) == {0.0}


def test_who_knows_nothing_fails_the_positive_control(verdicts: dict[str, dict[str, dict[str, Any]]]) -> None:
    assert verdicts["uniform"]["recites"]["control"]["outcome"] == "failed"
    assert [verdicts[name]["recites"]["control"]["value"] for name in EXACT[:3]] == [1.0] * 3


def test_only_the_cipher_follows_a_name_into_the_other_text(study: Repository) -> None:
    followed, sham, changed = (
        table(study, "anchors", name).groupby("learner", observed=True)["value"].agg(["min", "max"])
        for name in ("follow_share", "follow_share_sham", "follow_sham")
    )
    assert set(followed.loc["cipher"]) == {1.0}
    assert set(followed.loc["reciter"]) == set(followed.loc["copier"]) == set(followed.loc["uniform"]) == {0.0}
    assert set(sham.loc["cipher"]) == {0.0}
    assert changed.loc["cipher"].abs().max() < 1e-6


def test_a_rotation_is_found_and_noise_of_its_size_is_not_taken_for_one(
    study: Repository, verdicts: dict[str, dict[str, dict[str, Any]]]
) -> None:
    assert verdicts["turned"]["topology"]["verdict"] == "supported", verdicts["turned"]["topology"]["why"]
    assert verdicts["noisy"]["topology"]["verdict"] in ("undecided", "refuted")
    share, drift = (
        table(study, "similarity", name).groupby("learner", observed=True)["value"].agg(["min", "max"])
        for name in ("rotation_share", "drift_pair")
    )
    assert share.loc["turned", "min"] > 0.999
    assert share.loc["noisy"].abs().max() < 0.05
    assert drift.loc["noisy", "max"] / drift.loc["turned", "max"] == pytest.approx(1, abs=0.3)


def test_later_layers_can_use_what_is_turned_and_cannot_use_noise(study: Repository) -> None:
    recovered = table(study, "stitching", "divergence_recovery")
    restored = table(study, "stitching", "divergence_restored").groupby("learner", observed=True)["value"]
    assert recovered[recovered["learner"] == "turned"]["value"].min() > 0.99
    assert restored.min()["turned"] > 0.99
    assert restored.max()["noisy"] < 0.5


def test_what_runs_in_one_process_is_what_snakemake_runs(
    study: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = Repository.of_this_project(tmp_path_factory.mktemp("planned") / "study")
    plant(copy)
    file = "results/evaluations/cipher/planted/shuffled/2/000000000002.parquet"
    said = copy.snakemake("--", file)
    assert said.code == 0, said.text
    made = copy.files("results", "data/derived")
    assert file in made
    assert {name for name, content in made.items() if content != study.read(name)} == set()
