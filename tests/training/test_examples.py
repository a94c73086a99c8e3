from __future__ import annotations

from pathlib import Path

import anchored
import pytest
import torch
from conftest import tiny

from resonance.params import Run
from resonance.training.examples import Examples
from resonance.training.run import Run as Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    learner = tiny("gpt", shown={"versions": {"count": 3}})
    return Job(
        Run.model_validate({"learner": learner.model_dump(), "order": "shuffled", "seed": 0}),
        anchored.write(tmp_path),
        None,
    )


def test_versions_come_in_turn_and_say_so(job: Job) -> None:
    examples = Examples(job, torch.device("cpu"))
    batches = [examples.at(cycle)["1>2", 0] for cycle in range(1, 7)]
    assert [batch.condition for batch in batches] == ["clean", "version:1", "version:2"] * 2
    for cycle in range(3):
        assert torch.equal(batches[cycle].tokens_BT, batches[cycle + 3].tokens_BT)
        assert not torch.equal(batches[cycle].tokens_BT, batches[(cycle + 1) % 3].tokens_BT)


def test_a_run_that_is_cut_goes_on_with_the_version_that_is_due(train, tmp_path: Path) -> None:
    learner = tiny("gpt", shown={"versions": {"count": 3}})
    file = anchored.write(tmp_path)
    whole, cut = (train(learner, edges, folder=str(edges), tokens=file) for edges in ([7], [2, 7]))
    assert whole.state == cut.state
    assert whole.marks == cut.marks
