"""Named studies are whole parameter files that parse, and `default` is the one that ships."""

from pathlib import Path

import pytest

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
