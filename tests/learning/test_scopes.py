from __future__ import annotations

import pytest
import torch
from conftest import tiny
from families import small
from torch import nn

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.scopes.all import All
from resonance.learning.scopes.layers import Layers
from resonance.learning.scopes.nothing import Nothing
from resonance.networks.causal_lm import CausalLM
from resonance.networks.network import Network
from resonance.networks.tensors import named
from resonance.training.step import Trainer

VOCABULARY = 60


def learner(name: str, **changes: object) -> Learner:
    return Learner(tiny(name, **changes), VOCABULARY, seed=0, base=None)


def example() -> Batch:
    tokens_BT = torch.randint(2, VOCABULARY, (1, 14), generator=torch.Generator().manual_seed(0))
    return Batch(tokens_BT, 6, "1>2", 0)


def of_layers(trained: Learner, layers: set[int]) -> set[str]:
    """Names of the parameters of some layers, found by identity, not by name."""
    blocks = trained.network.model.model.layers if hasattr(trained.network, "model") else trained.network.blocks
    chosen = {parameter for layer in layers for parameter in blocks[layer].parameters()}
    return {name for name, parameter in trained.network.named_parameters() if parameter in chosen}


def everything(trained: Learner) -> set[str]:
    return {name for name, _ in trained.network.named_parameters()}


CASES = {
    "gpt, all": ("gpt", {"train": "all"}, everything),
    "gpt, layer 0": ("gpt", {"train": {"layers": {"layers": [0]}}}, lambda each: of_layers(each, {0})),
    "gpt, layer 1": ("gpt", {"train": {"layers": {"layers": [1]}}}, lambda each: of_layers(each, {1})),
    "gpt, nothing": ("gpt", {"train": "nothing"}, lambda each: set()),
    "loreft": ("loreft", {}, lambda each: set()),
    "rwkv7, all": ("rwkv7", {"train": "all"}, everything),
    "rwkv7, layers 0 and 1": ("rwkv7", {"train": {"layers": {"layers": [1, 0]}}}, lambda each: of_layers(each, {0, 1})),
    "rwkv7, layer 1": ("rwkv7", {"train": {"layers": {"layers": [1]}}}, lambda each: of_layers(each, {1})),
    "reader": ("reader", {}, lambda each: set()),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_flow_and_weights_move_only_where_they_should(case):
    name, changes, expected = CASES[case]
    trained = learner(name, **changes)
    wanted = expected(trained)
    assert set(trained.network_parameters) == wanted
    assert {n for n, p in trained.network.named_parameters() if p.requires_grad} == wanted
    before = {n: tensor.clone() for n, tensor in (named(trained.network) | named(trained.scope)).items()}
    with_gradient = set()
    for n, parameter in trained.network.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda _parameter, n=n: with_gradient.add(n))
    trainer = Trainer(trained)
    for cycle in range(1, 5):
        trainer.cycle(cycle, [example()])
    after = named(trained.network) | named(trained.scope)
    moved = {n for n, tensor in after.items() if not torch.equal(tensor, before[n])}
    edits = {n for n in moved if n.startswith("edits.")}
    assert with_gradient == wanted - unread(trained)
    assert moved - edits == wanted - unread(trained)
    assert bool(edits) == (name == "loreft")


def unread(trained: Learner) -> set[str]:
    """Weights without influence on any loss: what a network keeps for the sake of its file format."""
    return {n for n, _ in trained.network.named_parameters() if n in {"blocks.0.att.v0", "blocks.0.att.v1"}}


def test_layers_of_a_published_model_are_found():
    for family, blocks in (("gpt-neox", "gpt_neox.layers"), ("gpt2", "transformer.h"), ("mamba", "backbone.layers")):
        network = CausalLM(small(family))
        scope = Layers(params.Layers(layers=(0, 2)), network, torch.Generator())
        chosen = scope.network_parameters(network)
        assert chosen
        wanted = {
            f"model.{blocks}.{layer}.{name}"
            for layer in (0, 2)
            for name, _ in network.model.get_submodule(f"{blocks}.{layer}").named_parameters()
        }
        assert set(chosen) == wanted


def test_numbers_further_down_in_a_name_are_not_layers():
    """Experts and the like are numbered too."""

    class Experts(Network):
        depth = 3

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.ModuleList(nn.Linear(1, 1) for _ in range(3)) for _ in range(3))

    network = Experts()
    chosen = Layers(params.Layers(layers=(1,)), network, torch.Generator()).network_parameters(network)
    assert set(chosen) == {f"layers.1.{expert}.{leaf}" for expert in range(3) for leaf in ("weight", "bias")}


@pytest.mark.parametrize("layers", [(3,), (0, 5)])
def test_layers_that_are_not_there_are_refused(layers):
    """The number of layers of a published model is known only once it is loaded."""
    with pytest.raises(UserError, match=rf"train\.layers\.layers: .* no layer {layers[-1]}; choose from 0 to 2\."):
        Layers(params.Layers(layers=layers), CausalLM(small("llama")), torch.Generator())


@pytest.mark.parametrize(
    "scope", [All(params.All(), Network(), torch.Generator()), Nothing(params.Nothing(), Network(), torch.Generator())]
)
def test_other_scopes_do_not_edit(scope):
    assert scope.edit(5) is None
    assert scope.following() is None
    assert scope.lowest is None
    assert scope.trained() == {}
