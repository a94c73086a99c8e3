"""Later layers that go on from states of cycle 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny
from segmented import MARKERS, awake, pair
from snapshots.experiments.scenes import TOKENS, examples, learner
from torch import Tensor, nn

from resonance.learning.learner import Learner
from resonance.measures.stitching import shares
from resonance.networks.network import Below, Edit, Network, Output, State
from resonance.networks.tensors import named
from resonance.params import DIRECTIONS, Evaluation
from resonance.snapshots.experiments import stitching
from resonance.snapshots.experiments.scene import Scene
from resonance.snapshots.experiments.stitching import findings
from resonance.text.tokens import Rows, Tokens
from resonance.training.step import Trainer

MAPS = ("none", "shift", "rotation", "rotation_null", "affine")


def scene(start: Learner, now: Learner, cycle: int = 4) -> Scene:
    return Scene(now, start, cycle, TOKENS, examples(TOKENS), Evaluation(kept=2))


def values(of: Scene, kind: str = "pair") -> dict[str, float]:
    """Means over directions and layers, by what was put in."""
    found: dict[str, list[float]] = {}
    for finding in findings(of):
        if finding.quantity.startswith(f"{kind}_"):
            found.setdefault(finding.quantity.removeprefix(f"{kind}_"), []).append(finding.value)
    return {name: sum(each) / len(each) for name, each in found.items()}


def trained(seed: int) -> Learner:
    """A transformer of three layers that knows the pair."""
    network = {"transformer": {"width": 32, "layers": 3, "heads": 2, "feedforward": 48}}
    settings = tiny("gpt", network=network, optimizer={"adamw": {"lr": 0.02}})
    made = Learner(settings, TOKENS.vocabulary, seed=seed, base=None, tokens=TOKENS)
    trainer = Trainer(made)
    for cycle in range(1, 9):
        trainer.cycle(cycle, examples(TOKENS))
    return made


@pytest.fixture(scope="module")
def knowing() -> Learner:
    return trained(0)


def orthogonal(width: int) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(5), dtype=torch.float64)).Q


@torch.no_grad()
def turned(known: Learner) -> Learner:
    """The same network in other coordinates: hidden states are those of `known` times Q, the logits are its own."""
    settings = known.settings
    made = Learner(settings, TOKENS.vocabulary, seed=0, base=None, tokens=TOKENS)
    made.network.load_state_dict(known.network.state_dict())
    llama, Q = made.network.model.model, orthogonal(32)

    def reads(norm: nn.Module, *maps: nn.Linear) -> None:
        for each in maps:
            each.weight.copy_((each.weight * norm.weight).double() @ Q)
        norm.weight.fill_(1.0)

    def leaves(each: nn.Linear) -> None:
        each.weight.copy_(Q.T @ each.weight.double())

    llama.embed_tokens.weight.copy_(llama.embed_tokens.weight.double() @ Q)
    for layer in llama.layers:
        reads(layer.input_layernorm, layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
        leaves(layer.self_attn.o_proj)
        reads(layer.post_attention_layernorm, layer.mlp.gate_proj, layer.mlp.up_proj)
        leaves(layer.mlp.down_proj)
    reads(llama.norm, made.network.model.lm_head)
    return made


# ---- planted: what a network has become is known -----------------------------------------------------------------


class Codes(Network):
    """A code per token type, layers that leave it as it is, and a head that knows what follows each type."""

    depth, width, vocabulary = 3, 32, 380

    def __init__(self, codes_VD: Tensor) -> None:
        super().__init__()
        self.codes_VD = codes_VD

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        assert edit is not None or below is None
        start = 0 if below is None else below.layer
        hidden = [self.codes_VD[tokens_BT] if below is None else below.hidden_BTD]
        for layer in range(start, self.depth):
            hidden.append(hidden[-1] if edit is None else edit(layer, hidden[-1]))
        follows_VD = torch.zeros_like(self.codes_VD)
        for text in ("1", "2", "unrelated"):
            ids = torch.from_numpy(SPELLED.ids(text).copy())
            follows_VD[ids[1:]] = self.codes_VD[ids[:-1]]
        return Output((None,) * start + tuple(hidden), 20 * hidden[-1] @ follows_VD.T)


def spelled() -> Tokens:
    """Two texts and a probe of 120 tokens each, every one of another type."""
    order = np.random.default_rng(3).permutation(np.arange(len(MARKERS), len(MARKERS) + 360)).reshape(3, 120)
    texts = {
        name: Rows(ids, ids.astype(object), np.full(120, -1), np.zeros((120, 2), np.int64), np.array([0, 120]))
        for name, ids in zip(("1", "2", "unrelated"), order, strict=True)
    }
    return replace(pair(), vocabulary=Codes.vocabulary, texts=tuple(texts), rows=texts, links=[])


SPELLED = spelled()


def coded(change: Callable[[Tensor], Tensor]) -> Scene:
    """A network of codes, and what it has become: the same with changed codes, and a head that reads these."""
    draws = torch.Generator().manual_seed(1)
    codes_VD = torch.nn.functional.normalize(torch.randn(Codes.vocabulary, Codes.width, generator=draws), dim=1)
    start, now = learner(), learner()
    start.network, now.network = Codes(codes_VD), Codes(change(codes_VD))
    return Scene(now, start, 4, SPELLED, examples(SPELLED), Evaluation())


def noise_like(codes_VD: Tensor, seed: int) -> Tensor:
    noise = torch.randn(codes_VD.shape, generator=torch.Generator().manual_seed(seed))
    return noise * codes_VD.norm() / noise.norm()


PLANTED = {
    "rotation": lambda codes_VD: codes_VD @ orthogonal(32).float(),
    "rotation and shift": lambda codes_VD: codes_VD @ orthogonal(32).float() + 0.3,
    "stretched": lambda codes_VD: codes_VD * torch.logspace(-1, 0.5, 32),
    "noise": lambda codes_VD: codes_VD + 2**0.5 * noise_like(codes_VD, 2),
    "another seed": lambda codes_VD: noise_like(codes_VD, 2),
}


@pytest.mark.parametrize("kind", ["pair", "probe"])
@pytest.mark.parametrize("change", ["rotation", "rotation and shift"])
def test_a_planted_rotation_is_regained_whole(change: str, kind: str) -> None:
    found = values(coded(PLANTED[change]), kind)
    assert found["rotation"] == pytest.approx(found["own"], abs=1e-3)
    assert found["affine"] == pytest.approx(found["own"], abs=1e-3)
    assert found["rotation_divergence"] == pytest.approx(0, abs=1e-3)
    assert min(found[name] for name in ("none", "shift", "rotation_null")) > found["own"] + 5
    regained = shares(found)
    for name in ("stitch_recovery", "stitch_restored", "divergence_recovery", "divergence_restored"):
        assert regained[name] == pytest.approx(1, abs=1e-3)
    assert regained["stitch_recovery_null"] < 0.3
    assert regained["stitch_recovery_shift"] < 0.1


@pytest.mark.parametrize("kind", ["pair", "probe"])
def test_what_is_stretched_an_affine_map_regains_and_no_rotation(kind: str) -> None:
    found = values(coded(PLANTED["stretched"]), kind)
    assert found["affine_divergence"] < 0.01
    assert abs(shares(found)["divergence_restored"]) < 0.1
    assert abs(shares(found)["divergence_recovery"]) < 0.1


@pytest.mark.parametrize("change", ["noise", "another seed"])
def test_on_other_text_nothing_is_regained_of_noise_and_of_another_seed(change: str) -> None:
    found = values(coded(PLANTED[change]), "probe")
    regained = shares(found)
    for name in ("stitch_recovery", "stitch_restored", "divergence_recovery", "divergence_restored"):
        assert not regained[name] > 0.1, name
    assert found["none"] > found["own"] + 1


def test_on_the_tokens_of_the_fit_a_rotation_seems_to_regain_another_seed() -> None:
    """Directions are held out there, and tokens are not: the reason why probes are asked."""
    assert shares(values(coded(PLANTED["another seed"])))["stitch_recovery"] > 0.5


def test_a_transformer_with_a_rotation_folded_into_its_weights(knowing: Learner) -> None:
    made = turned(knowing)
    for kind in ("pair", "probe"):
        found = values(scene(knowing, made), kind)
        assert found["rotation"] == pytest.approx(found["own"], abs=2e-3)
        assert found["rotation_divergence"] == pytest.approx(0, abs=2e-3)
        assert shares(found)["divergence_restored"] == pytest.approx(1, abs=2e-3)
    pair = values(scene(knowing, made))
    assert pair["none"] > pair["own"] + 2
    assert shares(pair)["stitch_recovery"] == pytest.approx(1, abs=2e-3)


# ---- how it is put in --------------------------------------------------------------------------------------------

NETWORKS = {
    "gpt": {},
    "loreft": {},
    "rwkv7": {},
    "mdlm": {"network": {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}}},
    "feedback": {"network": {"feedback": {"width": 32, "layers": 2, "heads": 2}}},
    "memory": {"network": {"memory": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "memories": [0]}}},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_own_states_change_nothing(name: str) -> None:
    """A learner that has not moved goes on from states of cycle 0 as from its own, edits of its scope included."""
    made = awake(learner(name if name in ("loreft", "rwkv7") else "gpt", **NETWORKS[name]))
    found = list(findings(scene(made, made)))
    layers = range(1, made.network.depth)
    assert {finding.layer for finding in found} == set(layers)
    by = {(f.quantity, f.direction, f.layer, f.item): f.value for f in found}
    for (quantity, *place), value in by.items():
        kind, _, what = quantity.partition("_")
        if what in ("none", "shift", "rotation", "affine"):
            assert value == pytest.approx(by[f"{kind}_own", *place], abs=1e-4), (quantity, place)
        if what in ("none_divergence", "rotation_divergence"):
            assert value == pytest.approx(0, abs=1e-4)
    assert any(abs(by["pair_rotation_null", d, 1, None] - by["pair_own", d, 1, None]) > 1e-4 for d in DIRECTIONS)


def test_every_direction_and_probe_and_what_each_is(knowing: Learner) -> None:
    start = learner("gpt", network=knowing.settings.network.model_dump())
    found = list(findings(scene(start, knowing)))
    quantities = {name + end for name in MAPS for end in ("", "_divergence")} | {"own"}
    keys = {(f.quantity, f.direction, f.layer, f.item) for f in found}
    pair = {(f"pair_{q}", direction, layer, None) for q in quantities for direction in DIRECTIONS for layer in (1, 2)}
    probe = TOKENS.probes.index("unrelated")
    assert keys == pair | {(f"probe_{q}", "1>2", layer, probe) for q in quantities for layer in (1, 2)}
    assert len(found) == len(keys)
    for example in examples(TOKENS):
        with torch.no_grad():
            loss = float(example.loss(knowing.read(example)))
        own = [f.value for f in found if (f.quantity, f.direction) == ("pair_own", example.direction)]
        assert own == pytest.approx([loss, loss], rel=1e-5)


@torch.no_grad()
def test_the_later_layers_read_what_was_put_in(knowing: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a network that could read more from below is run as a whole, with the same result."""
    start = learner("gpt", network=knowing.settings.network.model_dump())
    seen = stitching.look(scene(start, knowing), examples(TOKENS)[0])
    found = stitching.log_p(knowing, seen, 1, seen.then[1])
    whole = knowing.network(seen.shown_BT, edit=lambda number, hidden_BTD: seen.then[1] if number == 0 else hidden_BTD)
    assert torch.equal(found, seen.asked.predictions(whole.logits_BTV).log_softmax(-1))
    kind = type(knowing.network)
    monkeypatch.setattr(kind, "below", lambda *args: Network.below(*args), raising=False)
    assert torch.equal(stitching.log_p(knowing, seen, 1, seen.then[1]), found)


def test_a_direction_does_not_teach_its_own_maps(knowing: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    taught = {}
    fitted = stitching.maps

    def spied(scene: Scene, looks: list, fold_N: Tensor, place: str) -> object:
        taught[place] = [look.asked.direction for look in looks]
        assert len(fold_N) == sum(look.shown_BT.numel() for look in looks)
        return fitted(scene, looks, fold_N, place)

    monkeypatch.setattr(stitching, "maps", spied)
    list(findings(scene(knowing, knowing)))
    others = {direction: [each for each in DIRECTIONS if each != direction] for direction in DIRECTIONS}
    assert taught == others | {"probe": list(DIRECTIONS)}


def test_a_learner_stays_as_it_was_and_the_numbers_come_again(knowing: Learner) -> None:
    start = learner("gpt", network=knowing.settings.network.model_dump())
    before = {name: tensor.clone() for name, tensor in named(knowing.network).items()}
    first = list(findings(scene(start, knowing)))
    assert first == list(findings(scene(start, knowing)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in named(knowing.network).items())
    other = list(findings(scene(start, knowing, cycle=5)))
    differ = {a.quantity for a, b in zip(first, other, strict=True) if a != b}
    assert differ == {f"{kind}_rotation_null{end}" for kind in ("pair", "probe") for end in ("", "_divergence")}


def test_nothing_at_cycle_0_and_of_learners_that_carry_something(knowing: Learner) -> None:
    assert not list(findings(scene(knowing, knowing, cycle=0)))
    reader = awake(learner("reader"))
    assert not list(findings(scene(reader, reader)))
