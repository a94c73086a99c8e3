"""Additive updates of low rank on a frozen network."""

from __future__ import annotations

import pytest
import torch
from conftest import tiny
from families import small
from learning.every_network import NETWORKS
from pydantic import ValidationError
from torch import Tensor, nn

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.scopes.lora import Lora, Update
from resonance.learning.substitute import trained
from resonance.networks.causal_lm import CausalLM
from resonance.networks.network import Network, Output
from resonance.networks.tensors import named
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

VOCABULARY = 60
LORA = {"lora": {"rank": 3, "alpha": 6.0}}


def made(network: str = "transformer", train: object = None, seed: int = 0, **more: object) -> Learner:
    settings = tiny("gpt", network=NETWORKS[network], train=LORA if train is None else train, **more)
    return Learner(settings, VOCABULARY, seed, None)


def awake(learner: Learner, dtype: torch.dtype = torch.float32) -> Learner:
    """Weights and both factors of every update moved: those of a fresh RWKV-7 ignore much of what they read."""
    noise = torch.Generator().manual_seed(9)
    learner.network.to(dtype)
    learner.scope.to(dtype)
    with torch.no_grad():
        for parameter in [*learner.network.parameters(), *learner.scope.parameters()]:
            parameter.add_(torch.randn(parameter.shape, generator=noise, dtype=dtype), alpha=0.1)
    return learner


def merged(learner: Learner) -> Learner:
    """A learner that trains all weights, the updates being in them."""
    tag = learner.settings.network.tag
    plain = made(tag, train="all")
    plain.network.to(next(learner.network.parameters()).dtype)
    tensors = copies(named(learner.network))
    for name, update in learner.scope.updates.items():
        rank = len(update.A)
        product = sum(torch.outer(update.B[:, each], update.A[each]) for each in range(rank))
        tensors[f"{name.replace('/', '.')}.weight"] += (6.0 / rank * product).detach()
    plain.restore({f"network/{name}": tensor for name, tensor in tensors.items()})
    return plain


def example(direction: str = "1>2", length: int = 24) -> Batch:
    draws = torch.Generator().manual_seed(DIRECTIONS.index(direction))
    return Batch(torch.randint(VOCABULARY, (1, length), generator=draws), 12, direction, 0)


ALL = [example(direction) for direction in DIRECTIONS]


def shown(learner: Learner, batch: Batch) -> Output:
    """A pass; of masked diffusion with the same masks every time."""
    return learner.read(batch, draws=torch.Generator().manual_seed(0))


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("network", NETWORKS)
def test_untouched_it_says_what_the_frozen_network_says(network):
    """Every hidden state, every score, and what is written, to the byte."""
    learner, plain = made(network), made(network, train="nothing")
    assert same(copies(named(learner.network)), copies(named(plain.network)))
    ours, theirs = shown(learner, ALL[0]), shown(plain, ALL[0])
    for one, other in zip((*ours.hidden, ours.logits_BTV), (*theirs.hidden, theirs.logits_BTV), strict=True):
        assert one.detach().numpy().tobytes() == other.detach().numpy().tobytes()
    assert torch.equal(learner.say(ALL[0], 6), plain.say(ALL[0], 6))


@pytest.mark.parametrize("network", NETWORKS)
def test_merged_weights_give_the_same_scores(network):
    learner = awake(made(network), torch.float64)
    plain, given = merged(learner), ALL[1]
    ours, theirs = shown(learner, given), shown(plain, given)
    scale = theirs.logits_BTV.std()
    assert (ours.logits_BTV - theirs.logits_BTV).abs().max() <= 1e-9 * scale
    assert torch.equal(learner.say(given, 6), plain.say(given, 6))
    with torch.no_grad():
        for update in learner.scope.updates.values():
            update.B.zero_()
    assert (shown(learner, given).logits_BTV - ours.logits_BTV).abs().max() > 0.01 * scale, "updates are seen"


@pytest.mark.parametrize("network", NETWORKS)
def test_merged_weights_give_the_same_scores_in_single_precision(network):
    learner = awake(made(network))
    ours, theirs = (shown(each, ALL[2]).logits_BTV for each in (learner, merged(learner)))
    assert (ours - theirs).abs().max() <= 2e-6 * theirs.abs().max()


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_of_the_factors_follow_from_that_of_the_weight(network):
    """∂L/∂B = s G Aᵀ and ∂L/∂A = s Bᵀ G, with G that of the merged weight."""
    learner = awake(made(network), torch.float64)
    plain = merged(learner)
    for each in (learner, plain):
        shown(each, ALL[3]).logits_BTV.square().mean().backward()
    for name, update in learner.scope.updates.items():
        G = plain.network.get_parameter(f"{name.replace('/', '.')}.weight").grad
        A, B = update.A.detach(), update.B.detach()
        for found, wanted in ((update.A.grad, 2.0 * B.T @ G), (update.B.grad, 2.0 * G @ A.T)):
            assert wanted.abs().max() > 0
            assert (found - wanted).abs().max() <= 1e-9 * wanted.abs().max()
    assert all(parameter.grad is None for parameter in learner.network.parameters())


@pytest.mark.parametrize("network", ["transformer", "rwkv7", "feedback"])
def test_the_trunk_stays_and_the_factors_move(network):
    trainer = Trainer(made(network, optimizer={"adamw": {"lr": 0.01}}))
    learner = trainer.learner
    before, factors = copies(named(learner.network)), copies(named(learner.scope))
    for cycle in range(1, 4):
        trainer.cycle(cycle, ALL)
    assert same(copies(named(learner.network)), before)
    assert not any(torch.equal(tensor, factors[name]) for name, tensor in named(learner.scope).items())
    assert learner.marked().keys() == {f"scope/{name}" for name in factors}


def test_it_learns():
    trainer = Trainer(made(optimizer={"adamw": {"lr": 0.02}}, train={"lora": {"rank": 8, "alpha": 8.0}}))
    losses = [float(trainer.cycle(cycle, ALL[:1])[1][0, 0]) for cycle in range(1, 61)]
    assert losses[-1] < losses[0] - 0.2, "as far as a few numbers bring a network that was never trained"


EMA = {"lm": 1.0, "ema": {"decay": 0.9}}
LEARNERS = {
    "alone": ("transformer", {}),
    "state carried": ("rwkv7", {"carry": True}),
    "masked diffusion": ("mdlm", {}),
    "with a teacher": ("transformer", {"objective": EMA}),
    "born again": ("transformer", {"objective": {"lm": 1.0, "born-again": {"every": 2}}}),
    "a step per cycle": ("gla", {"update": "cycle"}),
}


@pytest.mark.parametrize("case", LEARNERS)
def test_a_run_goes_on_as_if_it_had_never_stopped(case):
    network, more = LEARNERS[case]

    def trained_to(trainer: Trainer, first: int, last: int) -> list[Tensor]:
        return [trainer.cycle(cycle, ALL[:2])[1].nan_to_num(-1) for cycle in range(first, last + 1)]

    whole = Trainer(made(network, **more))
    trained_to(whole, 1, 3)
    saved = copies(whole.saved())
    again = Trainer(made(network, **more))
    again.restore(saved)
    assert same(copies(again.saved()), saved)
    pairs = zip(trained_to(whole, 4, 5), trained_to(again, 4, 5), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert same(copies(again.saved()), copies(whole.saved()))


def test_a_teacher_has_factors_of_its_own():
    learner = made(objective=EMA, optimizer={"adamw": {"lr": 0.02}})
    trainer = Trainer(learner)
    for cycle in range(1, 4):
        trainer.cycle(cycle, ALL)
    teacher = learner.objectives["ema"].teacher
    other = made(objective=EMA)
    with torch.no_grad():
        for name, parameter in trained(other).items():
            parameter.copy_(teacher.tensors[name])
    said = teacher.read(learner, ALL[0], Moment(0, 4, 0)).logits_BTV
    assert torch.equal(said, other.read(ALL[0]).logits_BTV)
    assert not torch.equal(said, learner.read(ALL[0]).logits_BTV)


def test_the_start_depends_on_the_seed_alone():
    starts = [copies(named(made(seed=seed).scope)) for seed in (0, 0, 1)]
    assert same(starts[0], starts[1])
    for name, tensor in starts[0].items():
        assert torch.equal(tensor, starts[2][name]) == name.endswith(".B")
        assert name.endswith(".A") or not tensor.any()


def test_a_is_normal_with_the_variance_of_the_published_code():
    A = Update(256, 8, 400, 1.0, torch.Generator().manual_seed(0)).A.detach()
    assert A.mean().abs() < 4 * (3 * 256 * A.numel()) ** -0.5
    assert A.var() * 3 * 256 == pytest.approx(1, abs=0.03)
    assert (A.abs() > 2 * A.std()).float().mean() == pytest.approx(0.0455, abs=0.005)


def test_alpha_over_rank_is_the_factor():
    update = Update(5, 4, 2, 3.0, torch.Generator().manual_seed(0))
    nn.init.ones_(update.B)
    torch.testing.assert_close(update(), 1.5 * update.A.sum(0).expand(4, 5))


CHOSEN = {
    "all": ({}, 14),
    "one layer": ({"layers": [1]}, 7),
    "attention": ({"maps": ["self_attn"]}, 8),
    "queries and values": ({"maps": ["q_proj", "v_proj"]}, 4),
    "one map": ({"layers": [0], "maps": ["down_proj"]}, 1),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_maps_are_chosen_by_layer_and_name(case):
    keys, count = CHOSEN[case]
    maps = made(train={"lora": keys}).scope.maps
    assert len(maps) == count
    for name in maps:
        assert not keys.get("layers") or f".{keys['layers'][0]}." in name
        assert not keys.get("maps") or set(keys["maps"]) & set(name.split("."))


SIZES = [
    ({"width": 64, "layers": 2, "heads": 2, "feedforward": 192}, (0, 1), 8, 4096, 4128),
    ({"width": 128, "layers": 4, "heads": 4, "feedforward": 344}, (2, 3), 16, 16384, 16448),
]


@pytest.mark.parametrize(("sizes", "layers", "rank", "lora", "loreft"), SIZES)
def test_the_controls_of_the_studies_are_as_large_as_their_loreft(sizes, layers, rank, lora, loreft):
    """LoReFT at first and last tokens, LoRA on queries and values: one rank, one set of layers, a size within 1 %."""
    scopes = (
        {"lora": {"layers": layers, "maps": ["q_proj", "v_proj"], "rank": rank, "alpha": rank}},
        {"loreft": {"layers": layers, "rank": rank, "positions": "f64+l64"}},
    )
    learners = [Learner(tiny("gpt", network={"transformer": sizes}, train=train), 300, 0, None) for train in scopes]
    # the orthonormal base of R is a buffer, its factor [D, r] is what is trained
    found = [sum(parameter.numel() for parameter in learner.trained().values()) for learner in learners]
    assert found == [lora, loreft]


def test_published_models_are_updated():
    network = CausalLM(small("llama"))
    scope = Lora(params.Lora(layers=(1,), maps=("q_proj",)), network, torch.Generator().manual_seed(0))
    assert scope.maps == ("model.model.layers.1.self_attn.q_proj",)


def test_a_network_in_half_precision_stays_in_it():
    network = CausalLM(small("llama").to(torch.bfloat16))
    scope = Lora(params.Lora(), network, torch.Generator().manual_seed(0))
    tokens_BT = ALL[0].tokens_BT
    before = network(tokens_BT).logits_BTV
    assert before.dtype == torch.bfloat16
    nn.init.normal_(scope.updates["model/model/layers/1/self_attn/v_proj"].B, 0, 0.5, torch.Generator().manual_seed(0))
    assert not torch.equal(network(tokens_BT).logits_BTV, before)
    assert {parameter.dtype for parameter in scope.parameters()} == {torch.float32}


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UserError, match=r"train\.lora\.maps: .* called query, key; choose from .*q_proj"):
        made(train={"lora": {"maps": ["query", "v_proj", "key"]}})
    with pytest.raises(UserError, match=r"train\.lora\.rank: 40 is more than model\..* \[32, 32\] can have"):
        made(train={"lora": {"rank": 40}})
    with pytest.raises(ValidationError, match="the network has layers 0 to 1, not 5"):
        made(train={"lora": {"layers": [5]}})
    with pytest.raises(UserError, match=r"train\.lora\.layers: the network has no layer 3"):
        Lora(params.Lora(layers=(3,)), CausalLM(small("llama")), torch.Generator())


def test_a_network_without_linear_maps_is_refused():
    class Bare(Network):
        depth, width, vocabulary = 1, 4, 9

    with pytest.raises(UserError, match=r"train\.lora: Bare has no linear map"):
        Lora(params.Lora(), Bare(), torch.Generator())
