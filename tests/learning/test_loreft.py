from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pyreft
import pytest
import torch
from conftest import tiny
from families import VOCABULARY, WIDTH, small
from torch import Tensor, nn

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.scopes.loreft import Loreft, position_groups
from resonance.networks.causal_lm import CausalLM
from resonance.networks.tensors import named, read_sealed, write_sealed
from resonance.training.step import Trainer

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
VOCABULARY_OF_LEARNER = 60


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scope(network: CausalLM | None = None, **settings: object) -> Loreft:
    """Edits with all parameters away from where they start, so that no term of the formula is lost unseen."""
    chosen = params.Loreft.model_validate({"layers": [1], "rank": 3, "positions": "f2+l2", **settings})
    edits = Loreft(chosen, network or CausalLM(small("llama")), seeded(0))
    moved(edits)
    return edits


@torch.no_grad()
def moved(edits: nn.Module) -> None:
    """Add noise to everything but the signs of R, which torch keeps on a diagonal and no gradient changes."""
    noise = seeded(1)
    for name, parameter in edits.named_parameters():
        step = 0.3 * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype)
        parameter.add_(step.tril(-1) if name.endswith("original") else step)


def learner(**changes: object) -> Learner:
    return Learner(tiny("loreft", **changes), VOCABULARY_OF_LEARNER, seed=0, base=None)


def example(length: int = 20, prompt: int = 9) -> Batch:
    tokens_BT = torch.randint(2, VOCABULARY_OF_LEARNER, (1, length), generator=seeded(3))
    return Batch(tokens_BT, prompt, "1>2", 0)


# ---- the formula -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_an_edit_is_pyrefts_in_value_and_gradient(dtype):
    """pyreft's own class, built by the test, against the scope's edit of the first tokens and of the last."""
    edits = scope().to(dtype)
    hidden_BTD = torch.randn(2, 8, WIDTH, generator=seeded(2), dtype=dtype).requires_grad_()
    twin_BTD = hidden_BTD.detach().clone().requires_grad_()
    weights_BTD = torch.randn(2, 8, WIDTH, generator=seeded(4), dtype=dtype)
    theirs = {}
    for group in ("first", "last"):
        theirs[group] = pyreft.LoreftIntervention(embed_dim=WIDTH, low_rank_dimension=3, dtype=dtype).to(dtype)
        with torch.no_grad():
            for name, tensor in named(edits.edits[f"1-{group}"]).items():
                named(theirs[group])[name].copy_(tensor)
    ours_BTD = edits.edit(8)(1, hidden_BTD)
    expected_BTD = torch.cat([theirs["first"](twin_BTD[:, :2]), twin_BTD[:, 2:6], theirs["last"](twin_BTD[:, 6:])], 1)
    (ours_BTD * weights_BTD).sum().backward()
    (expected_BTD * weights_BTD).sum().backward()
    pairs = [(ours_BTD, expected_BTD), (hidden_BTD.grad, twin_BTD.grad)]
    for group, module in theirs.items():
        ours = dict(edits.edits[f"1-{group}"].named_parameters())
        assert len(ours) == 3
        pairs += [(ours[name].grad, parameter.grad) for name, parameter in module.named_parameters()]
    assert len(pairs) == 8
    for found, wanted in pairs:
        assert wanted.abs().max() > 1e-3
        assert (found - wanted).abs().max() <= TOLERANCE[dtype] * wanted.abs().max().clamp(min=1)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_an_edit_is_the_formula(dtype):
    """h + Rᵀ (W h + b − R h), written out for one token at a time, R taken from the rotate layer's columns."""
    edits = scope(positions="f1", rank=2).to(dtype)
    module = edits.edits["1-first"]
    R, W, b = module.rotate_layer.weight.T, module.learned_source.weight, module.learned_source.bias
    hidden_BTD = torch.randn(1, 4, WIDTH, generator=seeded(2), dtype=dtype)
    h = hidden_BTD[0, 0]
    expected_D = h + R.T @ (W @ h + b - R @ h)
    found_BTD = edits.edit(4)(1, hidden_BTD)
    assert (found_BTD[0, 0] - expected_D).abs().max() <= TOLERANCE[dtype] * 10
    assert torch.equal(found_BTD[:, 1:], hidden_BTD[:, 1:])
    assert (R @ found_BTD[0, 0] - (W @ h + b)).abs().max() <= 1e-5  # in the space of R only the source is left


# ---- the whole network, against pyvene's engine ------------------------------------------------------------------


def through_pyvene(edits: Loreft, tokens_BT: Tensor, prompt: int) -> Tensor:
    """Logits of the same edits in an untouched model, run by pyreft's own engine at pyreft's own positions.

    As in pyreft's data sets there is one token more at the start, hidden from attention, and all places are one later:
    where groups differ in length, or a prompt is short, pyreft fills up with place −1, which then is that token.
    """
    settings = edits.settings
    groups = ["tied"] if settings.tied else list(edits.groups)
    representations = [
        {
            "layer": layer,
            "component": "block_output",
            "low_rank_dimension": settings.rank,
            "intervention": edits.edits[f"{layer}-{group}"],
        }
        for group in groups
        for layer in settings.layers
    ]
    engine = pyreft.get_reft_model(small("llama"), pyreft.ReftConfig(representations=representations))
    places = pyreft.get_intervention_locations(
        last_position=prompt,
        positions=settings.positions,
        num_interventions=len(representations),
        share_weights=settings.tied,
    )
    padded_BT, mask_BT = (nn.functional.pad(each, (1, 0)) for each in (tokens_BT, torch.ones_like(tokens_BT)))
    _, output = engine(
        {"input_ids": padded_BT, "attention_mask": mask_BT},
        unit_locations={"sources->base": (None, [[[i + 1 for i in place]] * len(tokens_BT) for place in places])},
    )
    return output.logits[:, 1:]


@torch.no_grad()
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("positions", ["f2+l2", "f1+l3", "f4", "l1"])
@pytest.mark.parametrize("layers", [[1, 2], [0], [2, 0]], ids=str)
@pytest.mark.parametrize("prompt", [9, 2])
def test_logits_are_those_of_pyvenes_engine(tied, positions, layers, prompt):
    network = CausalLM(small("llama"))
    edits = scope(network, layers=layers, positions=positions, tied=tied)
    tokens_BT = torch.randint(2, VOCABULARY, (2, 14), generator=seeded(5))
    ours_BTV = network(tokens_BT, edit=edits.edit(prompt)).logits_BTV
    plain_BTV = network(tokens_BT).logits_BTV
    theirs_BTV = through_pyvene(edits, tokens_BT, prompt)
    assert (ours_BTV - theirs_BTV).abs().max() <= 1e-5 * theirs_BTV.std()
    assert (ours_BTV - plain_BTV).abs().max() > 0.01 * plain_BTV.std()


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_gradients_of_the_edits_are_those_of_pyvenes_engine(tied):
    network = CausalLM(small("llama"))
    edits = scope(network, layers=[1, 2], tied=tied)
    tokens_BT = torch.randint(2, VOCABULARY, (1, 14), generator=seeded(5))
    theirs = deepcopy(edits)
    network(tokens_BT, edit=edits.edit(9)).logits_BTV.logsumexp(-1).sum().backward()
    through_pyvene(theirs, tokens_BT, 9).logsumexp(-1).sum().backward()
    pairs = list(zip(edits.parameters(), theirs.parameters(), strict=True))
    assert len(pairs) == (6 if tied else 12)
    for ours, other in pairs:
        assert (ours.grad - other.grad).abs().max() <= 2e-5 * other.grad.abs().max()


# ---- where it acts -----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_only_the_chosen_positions_change_at_an_edited_layer():
    network = CausalLM(small("llama"))
    edits = scope(network, layers=[1])
    tokens_BT = torch.randint(2, VOCABULARY, (2, 14), generator=seeded(5))
    edited, plain = network(tokens_BT, edit=edits.edit(9)), network(tokens_BT)
    changed = [
        (a != b).any(-1).all(0).nonzero().flatten().tolist() for a, b in zip(edited.hidden, plain.hidden, strict=True)
    ]
    assert changed[:3] == [[], [], [0, 1, 7, 8]]
    assert changed[3][:2] == [0, 1]
    assert set(changed[3]) == set(range(14))


@pytest.mark.parametrize(
    ("positions", "prompt", "expected"),
    [
        ("f2+l2", 9, {"first": (0, 2), "last": (7, 9)}),
        ("f4+l4", 8, {"first": (0, 4), "last": (4, 8)}),
        ("f4+l4", 7, {"first": (0, 3), "last": (4, 7)}),
        ("f4+l1", 3, {"first": (0, 1), "last": (2, 3)}),
        ("f4+l4", 1, {"first": (0, 0), "last": (1, 1)}),
        ("f3", 5, {"first": (0, 2)}),
        ("l3", 5, {"last": (3, 5)}),
        ("all", 5, {"all": (0, None)}),
    ],
)
def test_positions(positions, prompt, expected):
    """A prompt that is too short is shared, as in pyreft: at most half of it to each side."""
    assert {name: group(prompt) for name, group in position_groups(positions).items()} == expected
    if positions != "all":
        theirs = pyreft.get_intervention_locations(
            last_position=prompt, positions=positions, num_interventions=2, share_weights=True
        )[0]
        ours = [place for start, stop in expected.values() for place in range(start, stop)]
        assert ours == [place for place in theirs if place >= 0]


@torch.no_grad()
@pytest.mark.parametrize("prompt", range(1, 5))
def test_a_prompt_shorter_than_the_positions_is_edited_once(prompt):
    network = CausalLM(small("llama"))
    edits = scope(network, positions="f4+l4")
    tokens_BT = torch.randint(2, VOCABULARY, (1, 8), generator=seeded(5))
    edited, plain = network(tokens_BT, edit=edits.edit(prompt)), network(tokens_BT)
    changed = (edited.hidden[2] != plain.hidden[2]).any(-1)[0].nonzero().flatten().tolist()
    half = prompt // 2
    assert changed == [*range(half), *range(prompt - half, prompt)]


@torch.no_grad()
@pytest.mark.parametrize(("positions", "tied"), [("all", False), ("all", True), ("f2+l2", False)])
def test_generation_is_that_of_full_passes(positions, tied):
    network = CausalLM(small("llama"))
    edits = scope(network, layers=[0, 2], positions=positions, tied=tied)
    prompt_BT = torch.randint(2, VOCABULARY, (1, 7), generator=seeded(5))
    whole_BT = prompt_BT
    for _ in range(8):
        logits_BTV = network(whole_BT, edit=edits.edit(7)).logits_BTV
        whole_BT = torch.cat([whole_BT, logits_BTV[:, -1:].argmax(-1)], dim=1)
    written_BT = network.generate(prompt_BT, 8, edit=edits.edit(7), following=edits.following())
    assert torch.equal(written_BT, whole_BT[:, 7:])
    assert (edits.following() is not None) == (positions == "all")


def test_tied_edits_are_shared_between_groups_and_untied_ones_are_not():
    assert set(scope(layers=[1, 2]).edits) == {"1-first", "1-last", "2-first", "2-last"}
    assert set(scope(layers=[1, 2], tied=True).edits) == {"1-tied", "2-tied"}
    assert set(scope(layers=[1], positions="l2").edits) == {"1-last"}
    count = sum(parameter.numel() for parameter in scope(layers=[1], rank=3, tied=True).parameters())
    assert count == 2 * WIDTH * 3 + 3


@pytest.mark.parametrize("layers", [[3], [1, 7]])
def test_a_layer_that_is_not_there_is_refused(layers):
    with pytest.raises(UserError, match=rf"train\.loreft\.layers: .* no layer {layers[-1]}; choose from 0 to 2"):
        scope(layers=layers)


def test_a_rank_above_the_width_is_refused():
    with pytest.raises(UserError, match=r"train\.loreft\.rank: 33 is more than the network's width 32"):
        scope(rank=33)
    scope(rank=32)


# ---- in training -------------------------------------------------------------------------------------------------


def test_edits_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = learner()
    torch.manual_seed(2)
    expected = torch.rand(2)
    torch.manual_seed(2)
    second = learner()
    assert torch.equal(torch.rand(2), expected)
    other = Learner(tiny("loreft"), VOCABULARY_OF_LEARNER, seed=1, base=None)
    weights = [named(each.scope) for each in (first, second, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    bases = [name for name in weights[0] if name.endswith(("base", "learned_source.weight"))]
    assert len(bases) == 8
    assert not any(torch.equal(weights[0][name], weights[2][name]) for name in bases)


def test_the_frozen_base_gets_no_gradient_and_does_not_move():
    trained = learner()
    before = {name: tensor.clone() for name, tensor in named(trained.network).items()}
    trainer = Trainer(trained)
    trainer.cycle(1, [example()] * 4)
    assert all(parameter.grad is None for parameter in trained.network.parameters())
    assert not any(parameter.requires_grad for parameter in trained.network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in named(trained.network).items())
    assert set(trained.trained()) == {f"scope/{name}" for name, _ in trained.scope.named_parameters()}


def test_what_lies_below_the_lowest_edit_is_computed_once(monkeypatch):
    trained = learner()
    calls = []
    below = trained.network.below
    monkeypatch.setattr(trained.network, "below", lambda tokens, layer: (calls.append(layer), below(tokens, layer))[1])
    batch = example()
    outputs = [trained.read(batch) for _ in range(3)]
    assert calls == [1]
    assert outputs[0].hidden[:2] == (None, None)
    whole = trained.read(batch, whole=True)
    assert torch.equal(outputs[0].logits_BTV, whole.logits_BTV)
    assert all(hidden is not None for hidden in whole.hidden)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_is_refused(optimizer):
    """The first step would turn R, and with it the edit, into zero for ever."""
    with pytest.raises(
        UserError, match=rf"optimizer\.{optimizer}\.weight_decay is 0\.01: set it to 0 with train: loreft"
    ):
        learner(optimizer={optimizer: {"weight_decay": 0.01}})
    edits = scope()
    for module in edits.edits.values():
        assert module.rotate_layer.weight.norm() > 1
        with torch.no_grad():
            module.rotate_layer.parametrizations.weight.original.mul_(0.999)
        assert module.rotate_layer.weight.norm() == 0
    Learner(tiny("gpt", optimizer={optimizer: {"weight_decay": 0.01}}), VOCABULARY_OF_LEARNER, seed=0, base=None)


def rotations(trained: Learner) -> dict[str, Tensor]:
    """R of every edit, its rows as columns: [D, r]."""
    return {key: module.rotate_layer.weight.detach() for key, module in trained.scope.edits.items()}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return all(torch.equal(found[key], wanted[key]) for key in wanted)


def off_orthonormal(trained: Learner) -> float:
    """max |RᵀR − I| over all edits."""
    eye = torch.eye(trained.settings.train.rank)
    return max(float((R.T @ R - eye).abs().max()) for R in rotations(trained).values())


def saved_and_read(trainer: Trainer, path: Path) -> dict[str, Tensor]:
    write_sealed(path, trainer.saved(), {"kind": "state"})
    return read_sealed(path)[0]


def test_r_stays_orthonormal_over_a_thousand_steps_and_over_a_stop(tmp_path):
    """A run that is saved, forgotten and taken up again after 600 steps ends in the same bytes as one that is not."""
    network = {"transformer": {"width": 16, "layers": 2, "heads": 2, "feedforward": 16}}
    scope = {"loreft": {"layers": [0, 1], "rank": 2, "positions": "f2+l2"}}
    batches = [example(length=9, prompt=5)] * 4
    whole = Trainer(learner(network=network, train=scope))
    start = rotations(whole.learner)
    assert off_orthonormal(whole.learner) <= 1e-6
    for cycle in range(1, 251):
        whole.cycle(cycle, batches)
        if cycle == 150:
            middle, turned = saved_and_read(whole, tmp_path / "middle.safetensors"), rotations(whole.learner)
    assert off_orthonormal(whole.learner) <= 1e-6
    distance = {key: float((R - start[key]).abs().max()) for key, R in rotations(whole.learner).items()}
    assert distance.pop("1-first") == 0  # above the last layer no token looks back at the first ones
    assert min(distance.values()) > 0.1

    resumed = Trainer(learner(network=network, train=scope))
    resumed.restore(middle)
    assert same(rotations(resumed.learner), turned)
    assert off_orthonormal(resumed.learner) <= 1e-6
    for cycle in range(151, 251):
        resumed.cycle(cycle, batches)
    saved_and_read(resumed, tmp_path / "resumed.safetensors")
    saved_and_read(whole, tmp_path / "whole.safetensors")
    assert (tmp_path / "resumed.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_a_mark_brings_the_edits_back():
    trained = Trainer(learner())
    trained.cycle(1, [example()])
    mark = {name: tensor.clone() for name, tensor in trained.learner.marked().items()}
    again = learner()
    again.restore(mark)
    batch = example()
    assert torch.equal(again.read(batch).logits_BTV, trained.learner.read(batch).logits_BTV)
    assert same(rotations(again), rotations(trained.learner))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_it_trains_in_both_precisions(precision):
    trained = Learner(tiny("loreft"), VOCABULARY_OF_LEARNER, seed=0, base=None, precision=precision)
    trainer = Trainer(trained)
    losses = []
    for cycle in range(1, 41):
        names, values = trainer.cycle(cycle, [example()])
        losses.append(float(values[0, names.index("loss")]))
    assert losses[-1] < 0.98 * losses[0]
    assert {parameter.dtype for parameter in trained.scope.parameters()} == {torch.float32}


def test_it_edits_a_recurrent_network_too():
    trained = Learner(
        tiny("rwkv7", train={"loreft": {"layers": [0, 1], "rank": 2, "positions": "f2+l2"}}),
        VOCABULARY_OF_LEARNER,
        seed=0,
        base=None,
    )
    names, values = Trainer(trained).cycle(1, [example()])
    assert values[0, names.index("grad_norm")] > 0
    batch = example()
    edited, plain = trained.read(batch, whole=True), trained.network(batch.tokens_BT)
    changed = (edited.hidden[1] != plain.hidden[1]).any(-1)[0].nonzero().flatten().tolist()
    assert changed == [0, 1, 7, 8]
