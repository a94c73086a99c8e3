"""All claims together: corrected for each other, written down, the same bytes from the same tables."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from claims.planted import FALSE, PLANTS, TRUE, Plant, planted, study

from resonance import claims
from resonance.claims import NAMES
from resonance.claims.judge import judge_all, judge_claims, load_claim
from resonance.errors import UserError
from resonance.params import Params
from resonance.storage import write_json

KEYS = {"id", "name", "title", "primary", "verdict", "why", "endpoint", "effect", "also", "control", "runs"} | {
    *("secondary", "traps", "figure", "would_change", "scope")
}
ALONE = ("recites", "copies", "critic", "structure")
"""Claims whose tables do not overlap."""


def some(of: Params, **effects: float) -> dict[str, pd.DataFrame]:
    plant = Plant(of)
    for name, effect in effects.items():
        PLANTS[name](plant, effect)
    return {
        family: rows.drop_duplicates([*rows.columns[:-4], "learner", "schedule", "measure"])
        for family, rows in plant.tables().items()
    }


def written(folder: Path, of: Params, tables: dict[str, pd.DataFrame]) -> tuple[dict[str, Any], str]:
    paths = folder / "verdicts.json", folder / "verdicts.md"
    judge_claims(of.model_dump(mode="json"), tables, *paths)
    return json.loads(paths[0].read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON")), paths[
        1
    ].read_text()


def test_a_study_is_judged_and_written_down(tmp_path: Path) -> None:
    record, text = written(tmp_path, study(), some(study(), recites=TRUE["recites"], critic=FALSE["critic"]))
    assert [each["name"] for each in record["claims"]] == list(NAMES)
    assert all(set(each) == KEYS for each in record["claims"])
    words = {each["name"]: each["verdict"] for each in record["claims"]}
    assert (words["recites"], words["critic"], words["depth"]) == ("supported", "refuted", "undecided")
    recites = record["claims"][0]
    assert recites["endpoint"]["sesoi"] == 0.9
    assert recites["effect"]["n"] == len(recites["effect"]["values"]) == 7
    assert recites["effect"]["p_holm"] == pytest.approx(3 * 2 / 2**7)
    assert recites["runs"]["subject"] == [f"gpt/spacing/shuffled/{seed}" for seed in range(7)]
    assert recites["control"]["outcome"] == "passed"
    assert "| C1a | An ordinary language model trained this way overfits" in text
    assert "**supported**" in text
    assert text.index("| C12 |") < text.index("## C1a recites: supported")
    assert "## C4 critic: refuted°" in text


def test_equal_tables_give_equal_bytes_in_any_order_of_rows(tmp_path: Path) -> None:
    tables = some(study(), recites=TRUE["recites"], structure=TRUE["structure"])
    mixed = {family: rows.sample(frac=1, random_state=3) for family, rows in reversed(tables.items())}
    for folder, given in (("a", tables), ("b", mixed)):
        written(tmp_path / folder, study(), given)
    for name in ("verdicts.json", "verdicts.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    write_json(tmp_path / "again.json", json.loads((tmp_path / "a/verdicts.json").read_text()))
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "a/verdicts.json").read_bytes()


def test_a_verdict_does_not_depend_on_the_machine(tmp_path: Path) -> None:
    elsewhere = study().model_copy(update={"compute": study().compute.model_copy(update={"device": "cuda"})})
    assert written(tmp_path / "here", study(), {}) == written(tmp_path / "there", elsewhere, {})


def test_nothing_measured_leaves_all_undecided_with_a_reason(tmp_path: Path) -> None:
    record, _ = written(tmp_path, study(), {})
    assert {each["verdict"] for each in record["claims"]} == {"undecided"}
    assert all(each["why"].endswith(".") for each in record["claims"])
    assert all(each["effect"] is None for each in record["claims"])


def test_a_study_without_the_learners_says_what_to_add(tmp_path: Path) -> None:
    one = study().model_copy(update={"learners": {"rwkv7": study().learners["gpt"]}})
    record, _ = written(tmp_path, one, {})
    assert all("add it to params.yaml" in each["why"] for each in record["claims"])


def test_holm_counts_all_primary_claims() -> None:
    tables = some(study(), recites=TRUE["recites"])
    alone, *_ = judge_all(study(), tables, ("recites",))
    among, *_ = judge_all(study(), tables)
    assert (alone.adjusted, among.adjusted) == pytest.approx((2 / 2**7, 6 / 2**7))
    assert [name for name in NAMES if load_claim(name).CLAIM.primary] == ["recites", "calibration", "permutations"]


def test_exploratory_claims_are_corrected_for_each_other() -> None:
    """An interval just beyond the bound holds alone, and not among others that do not."""
    tables = some(study(4), copies=0.53, critic=FALSE["critic"], structure=FALSE["structure"])
    copies = tables["probes"]["measure"] == "follow_share"
    gpt = copies & (tables["probes"]["learner"] == "gpt")
    shares = dict(zip(range(4), (0.51, 0.52, 0.55, 0.54), strict=True))
    tables["probes"].loc[gpt, "value"] = tables["probes"].loc[gpt, "seed"].map(shares)
    (alone,) = judge_all(study(4), tables, ("copies",))
    among = {each.claim.name: each for each in judge_all(study(4), tables)}["copies"]
    assert alone.verdict == "supported"
    assert among.verdict == "undecided"
    assert among.adjusted == pytest.approx(3 * alone.adjusted)
    assert "corrected for the other claims" in among.why


def test_another_pair_is_told_beside_the_verdict() -> None:
    two = study(7, 2)
    tables = some(two, recites=TRUE["recites"])
    rows = tables["probes"]
    rows.loc[(rows["pair"] == "pair-1") & (rows["measure"] == "store_share"), "value"] = 0.1
    (found,) = judge_all(two, tables, ("recites",))
    assert found.verdict == "supported"
    (line,) = [line for line in found.ruling.secondary if "stored" in line.text and "pair-1" in line.text]
    assert line.effect is not None
    assert line.effect.value == pytest.approx(0.1)
    assert found.scope.startswith("on the pair spacing")


def test_six_pairs_are_units_and_widen_the_scope() -> None:
    (found,) = judge_all(study(2, 7), some(study(2, 7), recites=TRUE["recites"]), ("recites",))
    assert (found.verdict, found.unit, found.ruling.criteria[0].effect.n) == ("supported", "pair", 7)
    assert found.scope.startswith("for pairs like these 7")


def test_a_value_that_is_no_number_decides_nothing() -> None:
    tables = planted("calibration", TRUE["calibration"])
    rows = tables["confidence"]
    rows.loc[(rows["learner"] == "ema") & (rows["cycle"] == 64) & (rows["seed"] == 2), "value"] = np.nan
    (found,) = judge_all(study(), tables, ("calibration",))
    assert found.verdict == "undecided"
    assert "Not a number" in found.why


@pytest.mark.parametrize(
    ("roles", "says"),
    [({"recital": {"learner": "gpt"}}, "claims.recital"), ({"recites": {"lerner": "gpt"}}, "claims.recites.lerner")],
)
def test_roles_that_are_not_there_are_said(roles: dict[str, dict[str, str]], says: str) -> None:
    with pytest.raises(UserError, match=says):
        judge_all(study().model_copy(update={"claims": roles}), {})


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_is_declared_in_one_short_file(name: str) -> None:
    case = load_claim(name)
    assert case.CLAIM.name == name
    assert case.CLAIM.traps
    assert "learner" in case.CLAIM.roles or name == "correspondence"
    file = Path(import_module(f"resonance.claims.{name}").__file__ or "")
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 85


def test_every_claim_has_an_id_of_its_own() -> None:
    ids = [load_claim(name).CLAIM.id for name in NAMES]
    assert ids == ["C1a", "C1b", "C1c", *(f"C{n}" for n in range(2, 13))]
    assert claims.__doc__
