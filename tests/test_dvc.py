"""dvc.yaml names all that its stages run, read and write: what is missing there DVC would not see change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resonance.housekeeping import OWNED
from resonance.measures import FAMILIES
from resonance.params import Params, load
from resonance.plan import Study
from resonance.provenance import closure, file_of

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
RULES = {
    rule[1]: (file.name, rule[2])
    for file in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for rule in re.finditer(r"^rule (\w+):\n((?:(?: .*)?\n)*)", file.read_text(), re.MULTILINE)
}
"""Every rule: the file it stands in, and its text."""
STUDY = Study(load(ROOT / "params.yaml"))


def body(stage: str) -> dict[str, Any]:
    return STAGES[stage].get("do", STAGES[stage])


def rules_of(stage: str) -> list[str]:
    allowed = re.search(r"--allowed-rules (.*?) -- ", body(stage)["cmd"])
    assert allowed
    return allowed[1].split()


def outs_of(stage: str, learner: str) -> list[str]:
    """The paths that a stage writes, for one learner where it has one each."""
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in body(stage).get(kind, [])]
    return [next(iter(entry)).replace("${key}", learner) for entry in entries]


def modules(rule: str) -> set[str]:
    """What a rule's `code` names, for every learner and family."""
    text = RULES[rule][1]
    found = set()
    for name in re.findall(r'"(resonance\.[\w.{}]+)"', text):
        found |= {name.replace("{family}", family) for family in FAMILIES}
    if "run_modules" in text or "training_code" in text:
        found |= {name for learner in STUDY.params.learners for name in STUDY.run_modules(learner)}
    if "base_modules" in text:
        found |= {name for network in STUDY.networks().values() for name in STUDY.base_modules(network)}
    return found


def covered(path: str, deps: list[str]) -> bool:
    return any(path == dep or path.startswith(f"{dep}/") for dep in deps)


def test_every_rule_runs_in_one_stage() -> None:
    staged = [rule for stage in STAGES for rule in rules_of(stage)]
    assert sorted(staged) == sorted(RULES)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ("texts", "bases")])
def test_every_rule_names_its_code_and_its_log(rule: str) -> None:
    assert modules(rule)
    assert all(file_of(name) for name in modules(rule))
    assert "    log:\n" in RULES[rule][1]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_that_its_rules_run(stage: str) -> None:
    deps = [dep.replace("${key}", "gpt") for dep in body(stage)["deps"]]
    files = {file_of(name) for rule in rules_of(stage) for name in closure(*modules(rule))}
    needed = {file.relative_to(ROOT).as_posix() for file in files if file}
    needed |= {f"workflow/rules/{RULES[rule][0]}" for rule in rules_of(stage)}
    assert sorted(path for path in needed if not covered(path, deps)) == []


def test_a_stage_depends_on_nothing_that_is_not_there() -> None:
    made = [out for stage in STAGES for learner in STUDY.params.learners for out in outs_of(stage, learner)]
    for stage in STAGES:
        for dep in body(stage)["deps"]:
            dep = dep.replace("${key}", "gpt")
            assert (ROOT / dep).exists() or covered(dep, made) or any(out.startswith(f"{dep}/") for out in made), dep


def test_dvc_records_exactly_what_the_study_owns() -> None:
    outs = {out for stage in STAGES for learner in STUDY.params.learners for out in outs_of(stage, learner)}
    wanted = STUDY.wanted()
    assert sorted(path for path in wanted if not covered(path, list(outs))) == []
    assert sorted(out for out in outs if not any(covered(path, [out]) for path in wanted)) == []


def test_no_two_stages_write_the_same() -> None:
    outs = [out for stage in STAGES for learner in ("a", "b") for out in outs_of(stage, learner)]
    per_learner = [out for stage in STAGES if "foreach" in STAGES[stage] for out in outs_of(stage, "a")]
    assert all("a" in re.split(r"[/.]", out) for out in per_learner)
    assert not [(one, other) for one in outs for other in outs if one != other and covered(one, [other])]


def test_what_is_set_aside_is_what_dvc_records() -> None:
    outs = {out for stage in STAGES for out in outs_of(stage, "gpt")}
    folders = {out for out in outs if Path(out).parent != Path("results") or not Path(out).suffix}
    assert all(covered(out, list(OWNED)) for out in folders)
    assert all(any(covered(out, [top]) for out in folders) for top in OWNED)


def test_outs_stay_in_place() -> None:
    """Without `persist` DVC deletes them before a stage runs, and Snakemake makes everything again."""
    for stage in STAGES:
        for kind in ("outs", "metrics", "plots"):
            for entry in body(stage).get(kind, []):
                assert next(iter(entry.values()))["persist"] is True


def test_parameters_of_a_stage_are_those_of_the_study() -> None:
    known = set(Params.model_fields)
    named = {stage: {key.split(".")[0] for key in body(stage)["params"]} for stage in STAGES}
    assert set().union(*named.values()) == known
    assert all(keys <= known for keys in named.values())
