"""NoReFT, DiReFT and ConsReFT: pyreft's own interventions at this project's places."""

from __future__ import annotations

import pytest
import torch
from conftest import tiny
from families import WIDTH, small
from torch import Tensor, nn

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.scopes.consreft import Consreft
from resonance.learning.scopes.direft import Direft
from resonance.learning.scopes.loreft import Loreft
from resonance.learning.scopes.noreft import Noreft
from resonance.networks.causal_lm import CausalLM
from resonance.training.step import Trainer

FAMILY = {
    "noreft": (Noreft, params.Noreft),
    "direft": (Direft, params.Direft),
    "consreft": (Consreft, params.Consreft),
}
VOCABULARY = 60


def scope(tag: str, dtype: torch.dtype = torch.float64) -> Loreft:
    """Edits of the first and last two tokens of layer 1, away from where they start."""
    kind, settings = FAMILY[tag]
    chosen = settings(layers=(1,), rank=3, positions="f2+l2")
    edits = kind(chosen, CausalLM(small("llama")), torch.Generator().manual_seed(0)).to(dtype)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in edits.named_parameters():
            step = 0.3 * torch.randn(parameter.shape, generator=noise, dtype=dtype)
            parameter.add_(step.tril(-1) if name.endswith("original") else step)
    return edits


def formula(module: nn.Module, tag: str, h: Tensor) -> Tensor:
    """One token by the book."""
    if tag == "consreft":
        R, b = module.rotate_layer.weight.T, module.learned_source
        return h + R.T @ (b - R @ h)
    W1, b, W2 = module.learned_source.weight, module.learned_source.bias, module.proj_layer.weight
    difference = W1 @ h + b - (W2 @ h if tag == "noreft" else 0)
    return h + W2.T @ difference


@pytest.mark.parametrize("tag", FAMILY)
def test_an_edit_is_the_formula(tag):
    edits = scope(tag)
    hidden_BTD = torch.randn(1, 8, WIDTH, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found_BTD = edits.edit(8)(1, hidden_BTD)
    for place, group in ((0, "first"), (1, "first"), (6, "last"), (7, "last")):
        expected_D = formula(edits.edits[f"1-{group}"], tag, hidden_BTD[0, place])
        assert (expected_D - hidden_BTD[0, place]).abs().max() > 0.01
        assert (found_BTD[0, place] - expected_D).abs().max() <= 1e-12
    assert torch.equal(found_BTD[:, 2:6], hidden_BTD[:, 2:6])
    assert torch.equal(edits.edit(8)(0, hidden_BTD), hidden_BTD)


@pytest.mark.parametrize("tag", FAMILY)
def test_only_the_edits_learn_and_a_run_goes_on_to_the_same_bits(tag):
    settings = {"layers": [1, 2], "rank": 2, "positions": "all"}

    def trainer() -> Trainer:
        return Trainer(Learner(tiny("loreft", train={tag: settings}), VOCABULARY, 0, None))

    draws = torch.Generator().manual_seed(3)
    batch = Batch(torch.randint(VOCABULARY, (1, 20), generator=draws), 9, "1>2", 0)
    whole = trainer()
    before = {name: tensor.clone() for name, tensor in whole.learner.network.named_parameters()}
    losses = []
    for cycle in range(1, 31):
        names, values = whole.cycle(cycle, [batch])
        losses.append(float(values[0, names.index("loss")]))
        if cycle == 10:
            saved = {name: tensor.clone() for name, tensor in whole.saved().items()}
    assert losses[-1] < losses[0] - 0.05
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.learner.network.named_parameters())
    again = trainer()
    again.restore(saved)
    for cycle in range(11, 31):
        again.cycle(cycle, [batch])
    assert all(torch.equal(again.saved()[name], tensor) for name, tensor in whole.saved().items())


@pytest.mark.parametrize(("tag", "decays"), [("noreft", True), ("direft", True), ("consreft", False)])
def test_weight_decay_is_refused_where_rows_must_stay_orthonormal(tag, decays):
    optimizer = {"adamw": {"weight_decay": 0.1}}
    train = {tag: {"layers": [1], "rank": 2}}
    if decays:
        Learner(tiny("loreft", train=train, optimizer=optimizer), VOCABULARY, 0, None)
    else:
        with pytest.raises(UserError, match=f"train: {tag}"):
            Learner(tiny("loreft", train=train, optimizer=optimizer), VOCABULARY, 0, None)


def test_a_rank_above_the_width_names_the_member():
    with pytest.raises(UserError, match=r"train\.direft\.rank: 40"):
        Learner(tiny("loreft", train={"direft": {"layers": [1], "rank": 40}}), VOCABULARY, 0, None)
