"""Networks that learn beside each other: peers (mutual), and branches on one trunk (ONE)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import tiny
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objectives.mutual import together
from resonance.learning.objectives.one import above
from resonance.networks.mdlm import Mdlm
from resonance.networks.network import Network
from resonance.networks.tensors import named
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

VOCABULARY = 60
RWKV7 = {"rwkv7": {"width": 32, "layers": 2, "head_size": 16, "chunk": 16}}
GLA = {"gla": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "gate_rank": 4}}
MDLM = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}}
FEEDBACK = {"feedback": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}}
MEMORY = {"memory": {"width": 32, "layers": 3, "heads": 2, "feedforward": 48, "memories": [1]}}
MUTUAL = {"lm": 1.0, "mutual": {"peers": 2}}
ONE = {"one": {"branches": 3, "trunk": 1, "ramp": 4}}
MOMENT = Moment(0, 2, 0)


def made(name: str, objective: object, **more: object) -> Learner:
    return Learner(tiny(name, objective=objective, **more), VOCABULARY, 0, None)


def awake(learner: Learner, scale: float = 0.1) -> Learner:
    """All weights moved: those of a fresh RWKV-7 ignore much of what they read."""
    noise = torch.Generator().manual_seed(9)
    parts = [learner.network, *learner.objectives.values()]
    with torch.no_grad():
        for tensor in [parameter for part in parts for parameter in part.parameters()]:
            tensor.add_(torch.randn(tensor.shape, generator=noise), alpha=scale)
    return learner


def example(direction: str = "1>2", length: int = 24) -> Batch:
    draws = torch.Generator().manual_seed(DIRECTIONS.index(direction))
    return Batch(torch.randint(VOCABULARY, (1, length), generator=draws), 12, direction, 0)


ALL = [example(direction) for direction in DIRECTIONS]


def run(trainer: Trainer, first: int, last: int, batches: list[Batch] = ALL) -> dict[str, Tensor]:
    """Cycles `first` to `last`: what the log got, by name, [cycles × slots]."""
    tables = [trainer.cycle(cycle, batches) for cycle in range(first, last + 1)]
    rows = torch.cat([values for _, values in tables])
    return {name: rows[:, column] for column, name in enumerate(tables[0][0])}


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def put(network: Network, tensors: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(tensors[name])


# ---- both --------------------------------------------------------------------------------------------------------


LEARNERS = {
    "mutual": ("gpt", MUTUAL, {}),
    "mutual, a step per cycle": ("gpt", MUTUAL, {"update": "cycle"}),
    "mutual of several kinds": ("gpt", {"lm": 1.0, "mutual": {"peers": 0, "others": [RWKV7, GLA]}}, {}),
    "mutual of edits and weights": ("loreft", MUTUAL, {}),
    "mutual, state carried": ("rwkv7", MUTUAL, {"carry": True}),
    "mutual of masked diffusion": ("gpt", MUTUAL, {"network": MDLM}),
    "one": ("gpt", ONE, {}),
    "one, a step per cycle": ("gpt", ONE, {"update": "cycle"}),
    "one, some layers": ("gpt", ONE, {"train": {"layers": {"layers": [1]}}}),
    "one, state carried": ("rwkv7", ONE, {"carry": True}),
}


@pytest.mark.parametrize("case", LEARNERS)
def test_a_run_goes_on_as_if_it_had_never_stopped(case):
    """Peers and branches, and what was kept of their gradients, are in the state; no mark holds them."""
    name, objective, more = LEARNERS[case]
    whole = Trainer(made(name, objective, **more))
    run(whole, 1, 3, ALL[:2])
    saved = copies(whole.saved())
    assert any(key.startswith(f"objective/{list(objective)[-1]}/") for key in saved)
    assert not any(key.startswith("objective/") for key in whole.learner.marked())
    again = Trainer(made(name, objective, **more))
    again.restore(saved)
    assert same(again.saved(), saved)
    theirs, ours = run(again, 4, 5, ALL[:2]), run(whole, 4, 5, ALL[:2])
    assert all(torch.equal(theirs[key], ours[key]) for key in ours)
    assert same(again.saved(), whole.saved())


@pytest.mark.parametrize("objective", [MUTUAL, ONE], ids=["mutual", "one"])
def test_a_network_that_only_reads_does_not_change(objective):
    trainer = Trainer(made("rwkv7", objective, train="nothing"))
    before, kept = copies(named(trainer.learner.network)), copies(trainer.learner.saved())
    run(trainer, 1, 2)
    assert same(named(trainer.learner.network), before)
    after = trainer.learner.saved()
    moved = [name for name in kept if not torch.equal(after[name], kept[name])]
    assert bool(moved) == ("mutual" in objective), "peers learn all the same; branches do not"
    assert all(name.startswith("objective/mutual/peers.") for name in moved)


@pytest.mark.parametrize("objective", [MUTUAL, ONE], ids=["mutual", "one"])
def test_all_that_is_fresh_depends_on_the_seed_alone(objective):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first = made("gpt", objective)
    assert torch.equal(torch.rand(2), expected)
    assert same(first.saved(), made("gpt", objective).saved())


# ---- mutual learning ---------------------------------------------------------------------------------------------


def test_the_term_is_torchs_divergence_from_the_peers():
    learner, batch = awake(made("gpt", {"lm": 1.0, "mutual": {"peers": 3}}), 0.3), ALL[1]
    part, output = learner.objectives["mutual"], learner.read(ALL[1])
    log_q_NV = batch.predictions(output.logits_BTV)[0].log_softmax(-1)
    wanted = []
    for peer in part.peers:
        p_NV = batch.predictions(peer(batch.tokens_BT).logits_BTV)[0].softmax(-1)
        wanted.append(kl_div(log_q_NV, p_NV, reduction="batchmean"))
    term = part.term(learner, batch, output, MOMENT)
    assert term > 0.1
    torch.testing.assert_close(term, sum(wanted) / 3, rtol=1e-6, atol=1e-6)
    for number, peer in enumerate(part.peers):
        loss = batch.loss(peer(batch.tokens_BT))
        torch.testing.assert_close(part.measured()[f"peer-{number}"], loss.detach())


def test_no_gradient_crosses_from_network_to_network():
    """Neither from the learner's term into a peer, nor from a peer's loss into the learner or another peer."""
    learner, batch = awake(made("gpt", MUTUAL)), ALL[0]
    part, output = learner.objectives["mutual"], learner.read(ALL[0])
    term = part.term(learner, batch, output, MOMENT)
    assert all(parameter.grad is None for parameter in learner.network.parameters())
    gradients = {name: parameter.grad.clone() for name, parameter in part.named_parameters()}
    found = torch.autograd.grad(term, list(part.parameters()), retain_graph=True, allow_unused=True)
    assert all(gradient is None for gradient in found)
    term.backward()
    assert all(parameter.grad is not None for parameter in learner.network.parameters())
    assert all(torch.equal(parameter.grad, gradients[name]) for name, parameter in part.named_parameters())
    # by hand, for the second peer: the others are numbers
    peer = part.peers[1]
    said = [batch.predictions(one.logits_BTV)[0] for one in (output, part.peers[0](batch.tokens_BT))]
    own_NV = batch.predictions(peer(batch.tokens_BT).logits_BTV)[0]
    pulls = [kl_div(own_NV.log_softmax(-1), z.detach().softmax(-1), reduction="batchmean") for z in said]
    loss = cross_entropy(own_NV, batch.target_BT[0]) + sum(pulls) / 2
    for name, parameter in peer.named_parameters():
        (wanted,) = torch.autograd.grad(loss, parameter, retain_graph=True)
        torch.testing.assert_close(gradients[f"peers.1.{name}"], wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("update", ["direction", "cycle"])
def test_a_peer_that_nobody_pulls_learns_as_a_learner_does(update):
    """The same start, the same optimizer, weight 0."""
    learner = made("gpt", {"lm": 1.0, "mutual": {"weight": 0.0, "lr": 2e-3}}, update=update)
    alone = made("gpt", {"lm": 1.0}, update=update, optimizer={"adamw": {"lr": 2e-3}})
    peer = learner.objectives["mutual"].peers[0]
    put(alone.network, copies(named(peer)))
    ours, theirs = run(Trainer(learner), 1, 3), run(Trainer(alone), 1, 3)
    torch.testing.assert_close(ours["mutual.peer-0"], theirs["loss"], rtol=1e-6, atol=0)
    for name, parameter in alone.network.named_parameters():
        torch.testing.assert_close(peer.get_parameter(name), parameter, rtol=1e-4, atol=1e-5)


def test_a_step_of_a_peer_is_on_the_mean_over_its_slots(monkeypatch):
    learner = made("gpt", {"lm": 1.0, "mutual": {"weight": 0.0}})
    part = learner.objectives["mutual"]
    peer, (stepper,) = part.peers[0], part.steppers
    loss = sum(batch.loss(peer(batch.tokens_BT)) for batch in ALL[:3]) / 3
    wanted = torch.autograd.grad(loss, list(peer.parameters()))
    seen: list[Tensor] = []
    monkeypatch.setattr(part, "clip", None)
    monkeypatch.setattr(stepper, "step", lambda: seen.extend(p.grad.clone() for p in peer.parameters()))
    for slot, batch in enumerate(ALL[:3]):
        part.term(learner, batch, learner.read(batch), Moment(0, 1, slot))
    part.after_step(learner, batch, Moment(0, 1, 2))
    for found, gradient in zip(seen, wanted, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-7)
    assert all(parameter.grad is None for parameter in peer.parameters())


def test_all_are_stepped_at_once():
    """Learner and peer exchanged give the exchanged run: neither sees what the other became in the same step."""
    first, second = (made("gpt", {"lm": 1.0, "mutual": {"weight": 2.0}}) for _ in range(2))
    peers = [learner.objectives["mutual"].peers[0] for learner in (first, second)]
    one, other = copies(named(first.network)), copies(named(peers[0]))
    put(second.network, other)
    put(peers[1], one)
    ours, theirs = run(Trainer(first), 1, 3), run(Trainer(second), 1, 3)
    torch.testing.assert_close(ours["mutual.peer-0"], theirs["loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(theirs["mutual.peer-0"], ours["loss"], rtol=1e-5, atol=0)
    assert (ours["loss"][1:] - theirs["loss"][1:]).abs().min() > 1e-3, "they are not alike"
    assert (ours["term.mutual"] > 0).all()


def test_learners_of_masked_diffusion_see_the_same_masks():
    learner = made("gpt", {"lm": 1.0, "mutual": {}}, network=MDLM)
    put(learner.objectives["mutual"].peers[0], named(learner.network))
    output = learner.read(ALL[0], draws=MOMENT.generator("mask"))
    term = learner.objectives["mutual"].term(learner, ALL[0], output, MOMENT)
    assert term == 0
    assert learner.objectives["mutual"].measured()["peer-0"] == ALL[0].loss(output)


def test_peers_can_be_of_other_kinds():
    learner = made("gpt", {"lm": 1.0, "mutual": {"peers": 1, "others": [RWKV7, "gla"]}})
    assert [type(peer).__name__ for peer in learner.objectives["mutual"].peers] == ["Transformer", "RWKV7", "GLA"]
    seen = run(Trainer(learner), 1, 10, ALL[:1])
    for number in range(3):
        losses = seen[f"mutual.peer-{number}"]
        assert losses[-1] < losses[0] - 0.1


def test_peers_start_from_weights_of_their_own():
    learner = made("gpt", {"lm": 1.0, "mutual": {"peers": 2}})
    networks = [learner.network, *learner.objectives["mutual"].peers]
    heads = {tuple(network.get_parameter("model.lm_head.weight")[0].tolist()) for network in networks}
    assert len(heads) == 3


def test_who_cannot_be_peers_is_told_so():
    with pytest.raises(UserError, match=r"objective\.mutual: there is nobody"):
        made("gpt", {"mutual": {"peers": 0}})
    with pytest.raises(UserError, match=r"objective\.mutual\.others: Mdlm and Transformer cannot teach each other"):
        made("gpt", {"mutual": {"others": [MDLM]}})
    networks = [Mdlm(params.Mdlm(width=32, heads=2), size, torch.Generator()) for size in (50, 60)]
    with pytest.raises(UserError, match=r"objective\.mutual\.others: Mdlm has 50 tokens and the learner's network 60"):
        together(*networks)


# ---- ONE ---------------------------------------------------------------------------------------------------------


def branch_of(learner: Learner, number: int) -> Network:
    """The network of a further branch, put together by hand: the learner's trunk, the branch's own upper part."""
    part = learner.objectives["one"]
    network = made("gpt", {"lm": 1.0}, network=learner.settings.network).network
    upper = {name.replace("/", "."): tensor for name, tensor in part.branches[number - 1].items()}
    assert upper
    put(network, {**named(learner.network), **upper})
    return network


@pytest.mark.parametrize("network", [None, RWKV7, GLA, MEMORY], ids=["transformer", "rwkv7", "gla", "memory"])
def test_the_term_is_the_published_sum(network):
    more = {} if network is None else {"network": network}
    learner, batch = awake(made("gpt", ONE, **more), 0.2), ALL[2]
    part, output = learner.objectives["one"], learner.read(ALL[2])
    term = part.term(learner, batch, output, MOMENT)
    z = [output.logits_BTV, *(branch_of(learner, number)(batch.tokens_BT).logits_BTV for number in (1, 2))]
    z_NV = [batch.predictions(one)[0] for one in z]
    h_ND = batch.predictions(output.hidden[1])[0]
    scaled_ND = (h_ND - h_ND.mean(-1, keepdim=True)) / (h_ND.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    g_NE = (part.gate(scaled_ND * part.norm.weight + part.norm.bias)).clamp(min=0).softmax(-1)
    ensemble_NV = sum(g_NE[:, [i]] * z_NV[i] for i in range(3))
    hard = sum(cross_entropy(one_NV, batch.target_BT[0]) for one_NV in [*z_NV, ensemble_NV])
    p_NV = (ensemble_NV / 3).softmax(-1)
    soft = sum(kl_div((one_NV / 3).log_softmax(-1), p_NV, reduction="batchmean") for one_NV in z_NV)
    assert soft > 0.05
    torch.testing.assert_close(term, hard + torch.exp(torch.tensor(-5 / 4)) * 9 * soft, rtol=1e-5, atol=0)
    said = part.measured()
    for number in (1, 2):
        alone = cross_entropy(z_NV[number], batch.target_BT[0]).detach()
        torch.testing.assert_close(said[f"branch-{number}"], alone)
    torch.testing.assert_close(said["ensemble"], cross_entropy(ensemble_NV, batch.target_BT[0]).detach())
    torch.testing.assert_close(said["share"], g_NE[:, 0].mean().detach())


def gradients(learner: Learner, batch: Batch = ALL[0]) -> dict[str, Tensor]:
    learner.objectives["one"].term(learner, batch, learner.read(batch), MOMENT).backward()
    return {name: parameter.grad for name, parameter in learner.trained().items()}


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_a_shared_trunk_and_one_that_is_read_again_are_the_same(name):
    """Values and gradients; the first form is the cheaper one, and not every network has it."""
    found = {}
    for shared in (True, False):
        learner = awake(made("gpt", ONE, **({"network": GLA} if name == "rwkv7" else {})))
        assert learner.objectives["one"].shared
        learner.objectives["one"].shared = shared
        found[shared] = gradients(learner)
    for key, gradient in found[True].items():
        torch.testing.assert_close(gradient, found[False][key], rtol=1e-4, atol=1e-6)
    assert made(name, ONE).objectives["one"].shared is (name == "gpt")


def test_all_branches_train_the_trunk_and_only_themselves_above_it():
    learner = awake(made("gpt", ONE))
    found = gradients(learner)
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in found.values())
    part, batch = learner.objectives["one"], ALL[0]
    loss = batch.loss(type(learner.read(batch))((), part.read(learner, batch, learner.read(batch), part.branches[0])))
    weights = learner.trained()
    reached = {
        key
        for key, gradient in zip(
            weights, torch.autograd.grad(loss, list(weights.values()), allow_unused=True), strict=True
        )
        if gradient is not None
    }
    trunk = {f"network/{key}" for key in named(learner.network) if "layers.0." in key or "embed_tokens" in key}
    own = {f"objective/one/branches.0.{key}" for key in part.branches[0]}
    assert reached == trunk | own


def test_the_ensemble_is_a_teacher_without_a_gradient():
    """What the gate gets is the gradient of the ensemble's own cross-entropy alone."""
    learner, batch = awake(made("gpt", ONE), 0.3), ALL[0]
    part, output = learner.objectives["one"], learner.read(ALL[0])
    (found,) = torch.autograd.grad(part.term(learner, batch, output, MOMENT), part.gate.weight, retain_graph=True)
    z_NV = [batch.predictions(output.logits_BTV)[0].detach()]
    z_NV += [batch.predictions(branch_of(learner, n)(batch.tokens_BT).logits_BTV)[0].detach() for n in (1, 2)]
    g_NE = part.shares(batch.predictions(output.hidden[1]).detach())[0]
    loss = cross_entropy(sum(g_NE[:, [i]] * z_NV[i] for i in range(3)), batch.target_BT[0])
    torch.testing.assert_close(found, torch.autograd.grad(loss, part.gate.weight)[0], rtol=1e-4, atol=1e-7)


def test_branches_that_say_the_same_have_nothing_to_tell_each_other():
    learner, batch = made("gpt", ONE), ALL[0]
    part = learner.objectives["one"]
    with torch.no_grad():
        for branch in part.branches:
            for name, tensor in branch.items():
                tensor.copy_(learner.network.get_parameter(name.replace("/", ".")))
        part.gate.weight.zero_()
    output = learner.read(batch)
    term = part.term(learner, batch, output, MOMENT)
    assert part.measured()["share"] == pytest.approx(1 / 3)
    torch.testing.assert_close(term, 4 * batch.loss(output), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_a_later_token_changes_nothing_before_it(name):
    learner, batch = awake(made(name, ONE)), ALL[0]
    part = learner.objectives["one"]
    place = 18
    changed_BT = batch.tokens_BT.clone()
    changed_BT[0, place] = (changed_BT[0, place] + 1) % VOCABULARY
    seen = []
    for tokens_BT in (batch.tokens_BT, changed_BT):
        now = Batch(tokens_BT, batch.prompt, batch.direction, 0)
        output = learner.read(now)
        said = [part.read(learner, now, output, branch) for branch in part.branches]
        seen.append([output.logits_BTV, *said, part.shares(output.hidden[1])])
    for before, after in zip(*seen, strict=True):
        assert torch.equal(before[:, :place], after[:, :place])
        assert not torch.equal(before[:, place:], after[:, place:])


def test_what_the_learner_says_is_what_its_own_branch_says():
    learner = made("gpt", ONE)
    run(Trainer(learner), 1, 3)
    again = made("gpt", {"lm": 1.0})
    again.restore({name: tensor.clone() for name, tensor in learner.marked().items()})
    assert torch.equal(again.read(ALL[0]).logits_BTV, learner.read(ALL[0]).logits_BTV)


def test_branches_and_ensemble_learn():
    seen = run(Trainer(made("gpt", ONE, optimizer={"adamw": {"lr": 3e-3}})), 1, 12, ALL[:2])
    for name in ("loss", "one.branch-1", "one.branch-2", "one.ensemble"):
        assert seen[name][-1] < seen[name][0] - 0.5


@pytest.mark.parametrize(
    ("network", "trunk", "upper"),
    [
        (None, 1, {"model.model.layers.1", "model.model.norm", "model.lm_head"}),
        (RWKV7, 1, {"blocks.1", "ln_out", "head"}),
        (GLA, 1, {"model.layers.1", "model.norm", "lm_head"}),
        (MEMORY, 2, {"blocks.2", "norm", "head"}),
    ],
    ids=["transformer", "rwkv7", "gla", "memory"],
)
def test_what_stands_above_a_trunk(network, trunk, upper):
    made_network = made("gpt", {"lm": 1.0}, **({} if network is None else {"network": network})).network
    wanted = {name for name in named(made_network) if any(name.startswith(f"{part}.") for part in upper)}
    assert set(above(made_network, trunk)) == wanted


def test_what_has_no_trunk_is_told_so():
    cases: list[tuple[dict[str, Any], str]] = [
        ({"network": MDLM}, "objective.one: Mdlm fills masks"),
        ({"network": FEEDBACK}, "objective.one: in Feedback lower layers read what upper ones made"),
        ({"objective": {"one": {"trunk": 2}}}, "objective.one.trunk is 2, and the network has 2 layers"),
    ]
    for changes, match in cases:
        with pytest.raises(UserError, match=match):
            Learner(tiny("gpt", **{"objective": ONE, **changes}), VOCABULARY, 0, None)
    learner = made("loreft", ONE)
    with pytest.raises(UserError, match=r"objective\.one: train: loreft edits a frozen network"):
        Trainer(learner).cycle(1, ALL)


def test_branches_hold_no_second_trunk():
    learner = made("gpt", ONE)
    part = learner.objectives["one"]
    sizes = {key: tensor.numel() for key, tensor in part.saved().items()}
    upper = sum(learner.network.get_parameter(name).numel() for name in above(learner.network, 1))
    assert sum(size for key, size in sizes.items() if key.startswith("branches.")) == 2 * upper
