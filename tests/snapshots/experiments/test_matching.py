from __future__ import annotations

import numpy as np
import pytest
import torch
from snapshots.experiments.scenes import TOKENS, learner, scene

from resonance.snapshots.experiments.matching import clauses, findings, question
from resonance.text.shown import hidden_links


def scores(made) -> dict[str, np.ndarray]:
    found = [finding for finding in findings(scene(made)) if finding.quantity == "score"]
    table = {direction: np.full((5, 5), np.nan) for direction in ("1>2", "2>1")}
    for finding in found:
        table[finding.direction][finding.item, finding.other] = finding.value
    return table


@pytest.mark.parametrize("name", ["gpt", "rwkv7", "loreft"])
def test_a_score_is_what_one_pass_over_the_two_clauses_gives(name: str) -> None:
    made = learner(name)
    if name == "loreft":  # at first a LoReFT edit changes nothing
        with torch.no_grad():
            for parameter in made.scope.trained().values():
                parameter.add_(0.1 * torch.arange(parameter.numel()).view(parameter.shape).cos())
    with torch.no_grad():
        found = scores(made)
        for direction, (item, other) in (("1>2", (0, 3)), ("2>1", (4, 1))):
            read, due = clauses(TOKENS, direction[0])[item], clauses(TOKENS, direction[-1])[other]
            asked = question(scene(made), direction, read, due)
            nll_N = asked.nll(made.read(asked, whole=True).logits_BTV)[: -asked.end]
            assert found[direction][item, other] == pytest.approx(-float(nll_N.mean()), abs=1e-5)


def test_hidden_links_are_told_both_ways() -> None:
    made = learner(shown={"hidden": {"fold": 1, "folds": 2}})
    with torch.no_grad():
        found = [f for f in findings(scene(made)) if f.quantity == "hidden"]
    links = hidden_links(TOKENS.links, made.settings.shown)
    assert {(f.item, f.other) for f in found if f.direction == "1>2"} == set(links)
    assert {(f.other, f.item) for f in found if f.direction == "2>1"} == set(links)


def test_nothing_of_a_reader() -> None:
    assert not list(findings(scene(learner("reader"))))
