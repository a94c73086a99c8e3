"""Named studies are whole parameter files that parse, and `default` is the one that ships."""

from pathlib import Path

import pytest

from resonance.claims import NAMES
from resonance.claims.evidence import Evidence, Missing
from resonance.claims.judge import load_claim
from resonance.params import load
from resonance.plan import Study

ROOT = Path(__file__).parent.parent
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_is_whole(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = Study(load(path))
    study.check()
    assert study.edges[-1] == study.params.cycles
    assert len(study.edges) <= {"default": 4, "full": 16}.get(path.stem, 8)


def test_the_default_study_is_the_default():
    assert load(ROOT / "params.yaml") == load(ROOT / "studies/default.yaml")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_who_plays_a_role_is_run_where_the_claim_looks(path):
    """A control that is run on another schedule than its claim is judged on would never be found."""
    study = load(path)
    reasons = [
        f"{claim.name}: {reason}"
        for claim in (load_claim(name).CLAIM for name in NAMES)
        for role in claim.roles
        if (reason := why_missing(Evidence(study, {}, claim), role))
    ]
    assert not [reason for reason in reasons if "is not run on the schedule" in reason]


def why_missing(evidence, role):
    try:
        evidence.place(role)
    except Missing as reason:
        return str(reason)
    return ""
