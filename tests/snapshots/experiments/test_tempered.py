from __future__ import annotations

import pytest
import torch
from snapshots.experiments.scenes import TOKENS, learner, scene

from resonance.learning.batch import batch
from resonance.snapshots.experiments.tempered import QUARTERS, findings, nll
from resonance.text.prompt import prompt


def test_temperature_one_is_the_loss_itself() -> None:
    made = learner()
    with torch.no_grad():
        found = [f for f in findings(scene(made)) if f.quantity == "nll:target:unrelated"]
        asked = batch(
            prompt(TOKENS, "1>2", "relation", target_ids=TOKENS.ids("unrelated")), "1>2", 0, torch.device("cpu")
        )
        whole = made.answer(asked).nll_N[: -asked.end].sum()
    one = [f.value for f in found if f.other == 0]
    assert sum(one) == pytest.approx(float(whole), rel=1e-5)
    assert len(found) == 2 * len(QUARTERS)


def test_a_temperature_divides_the_scores() -> None:
    log_p_NV = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    target_N = torch.tensor([0, 1, 2, 3, 4])
    expected = torch.nn.functional.cross_entropy(log_p_NV / 2, target_N, reduction="none")
    assert torch.allclose(nll(log_p_NV, target_N, 2.0), expected)
