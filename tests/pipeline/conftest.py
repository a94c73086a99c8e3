"""One small study, run once by the real Snakemake and recorded by the real DVC; tests that change it take a copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline.repository import Made, Repository


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    repository = Repository.of_this_project(tmp_path_factory.mktemp("study") / "study")
    run = repository.snakemake()
    assert run.code == 0, run.text
    repository.git("init", "-q", "-b", "main")
    recorded = repository.dvc("repro")
    repository.git("add", "-A")
    repository.git("commit", "-q", "-m", "The study")
    return Made(repository, run, recorded)


@pytest.fixture(scope="session")
def study(made: Made) -> Repository:
    """The study, to look at."""
    return made.repository


@pytest.fixture
def copy(study: Repository, tmp_path: Path) -> Repository:
    """The study, to change."""
    return study.copy(tmp_path / "copy")
