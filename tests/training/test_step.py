"""One cycle: what is stepped, what is measured."""

from __future__ import annotations

import pytest
import torch
from conftest import TINY, tiny

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.params import DIRECTIONS, Adamw
from resonance.training.optimizer import new_optimizer, set_rate
from resonance.training.step import Trainer

VOCABULARY = 60


def batches() -> list[Batch]:
    draws = torch.Generator().manual_seed(0)
    return [Batch(torch.randint(VOCABULARY, (1, 30), generator=draws), 14, each, 0) for each in DIRECTIONS]


def trainer(name: str, **changes: object) -> Trainer:
    return Trainer(Learner(tiny(name, **changes), VOCABULARY, 0, None))


@pytest.mark.parametrize("name", TINY)
def test_everything_is_measured(name):
    learner = trainer(name)
    for cycle in (1, 2):
        names, values = learner.cycle(cycle, batches())
    row = dict(zip(names, values[0].tolist(), strict=True))
    depth = learner.learner.network.depth
    assert {"loss", *(f"{q}.{layer}" for q in ("cosine", "norm") for layer in range(depth + 1))} <= row.keys()
    assert values.shape == (4, len(names))
    assert torch.isfinite(values).all()
    assert ("update_norm" in row) == (name != "reader")
    assert ("state_change" in row) == (name == "reader")
    if name != "reader":
        assert row["term.lm"] == row["loss"]
        assert row["update_norm"] > 0


def test_the_self_check_starts_at_one_and_frozen_layers_stay_there():
    learner = trainer("loreft")
    names, first = learner.cycle(1, batches())
    checks = [index for index, name in enumerate(names) if name.split(".")[0] in ("cosine", "norm")]
    torch.testing.assert_close(first[0, checks], torch.ones(len(checks), dtype=torch.float64))
    for cycle in range(2, 6):
        names, last = learner.cycle(cycle, batches())
    row = dict(zip(names, last[0].tolist(), strict=True))
    assert row["cosine.0"] == row["cosine.1"] == 1, "below the lowest edit nothing moves"
    assert row["cosine.3"] < 1


def test_update_per_cycle_is_one_step_on_the_mean_gradient():
    per_cycle = trainer("gpt", update="cycle", optimizer={"sgd": {"lr": 0.5}})
    by_hand = Learner(tiny("gpt"), VOCABULARY, 0, None)
    sum(by_hand.read(batch).logits_BTV.new_tensor(0) + batch.nll(by_hand.read(batch).logits_BTV).mean() / 4
        for batch in batches()).backward()  # fmt: skip
    with torch.no_grad():
        for parameter in by_hand.network.parameters():
            parameter -= 0.5 * parameter.grad
    names, values = per_cycle.cycle(1, batches())
    for mine, other in zip(per_cycle.learner.network.parameters(), by_hand.network.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
    column = names.index("update_norm")
    assert (values[:, column] == values[0, column]).all()


def test_clipping_scales_the_step_down():
    free = trainer("gpt", optimizer={"sgd": {"lr": 1.0}}).cycle(1, batches()[:1])
    held = trainer("gpt", optimizer={"sgd": {"lr": 1.0, "clip": 0.01}}).cycle(1, batches()[:1])
    index = free[0].index("update_norm")
    assert free[1][0, index] > 0.02
    assert held[1][0, index] == pytest.approx(0.01, rel=1e-3)
    assert held[1][0, held[0].index("grad_norm")] == free[1][0, free[0].index("grad_norm")]


def test_the_rate_depends_on_the_absolute_cycle():
    settings = Adamw(lr=0.1, warmup=10)
    optimizer = new_optimizer(settings, [torch.nn.Parameter(torch.zeros(1))])
    seen = []
    for cycle in (1, 5, 10, 1000):
        set_rate(optimizer, settings, cycle)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.01, 0.05, 0.1, 0.1])


def test_a_reader_changes_no_weight():
    reader = trainer("reader")
    before = {name: t.clone() for name, t in reader.learner.network.state_dict().items()}
    reader.cycle(1, batches())
    assert reader.optimizer is None
    assert all(torch.equal(t, before[name]) for name, t in reader.learner.network.state_dict().items())
    assert reader.learner.carried is not None
