"""Learners that compute with rounded weights, and are taught by their own full precision (BitDistiller)."""

from __future__ import annotations

import re

import pytest
import torch
from conftest import tiny
from learning.every_network import NETWORKS
from torch import Tensor, nn
from torch.nn.functional import kl_div

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch, batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.quantisation import clipped, moments, quantised
from resonance.learning.scopes.quantised import Quantised
from resonance.networks.network import Network, Output
from resonance.networks.tensors import named
from resonance.params import DIRECTIONS
from resonance.text.prompt import prompt
from resonance.text.tokens import Tokens, read_tokens
from resonance.training.step import Trainer

VOCABULARY = 60
GROUP = 12
ROUNDED = {
    "transformer": r"model\.model\.layers\.\d\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)",
    "rwkv7": r"blocks\.\d\.(att\.(receptance|key|value|output)|ffn\.(key|value))",
    "gla": r"model\.layers\.\d\.(attn\.([qkvgo]_proj|gk_proj\.[01])|mlp\.(gate|up|down)_proj)",
    "mdlm": r"layers\.\d\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)",
    "feedback": r"reader\.(key|value)|layers\.\d\.(query|output|inner|outer)",
    "memory": r"blocks\.\d\.(mixing\.[qkvo]_proj|mlp\.(gate|up|down)_proj)",
}
CAKLD = {"cakld": {"lead": 2, "clip": False}}


def made(
    network: str = "transformer",
    objective: object = None,
    train: object = None,
    tokens: Tokens | None = None,
    **more: object,
) -> Learner:
    settings = tiny(
        "gpt",
        network=NETWORKS[network],
        objective={"lm": 1.0} if objective is None else objective,
        train={"quantised": {"group": GROUP}} if train is None else train,
        **more,
    )
    return Learner(settings, VOCABULARY if tokens is None else tokens.vocabulary, 0, None, tokens=tokens)


def awake(learner: Learner, seed: int = 9) -> Learner:
    """All weights moved: those of a fresh RWKV-7 ignore much of what they read."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in learner.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.1)
    return learner


def example(direction: str = "1>2", length: int = 24) -> Batch:
    draws = torch.Generator().manual_seed(DIRECTIONS.index(direction))
    return Batch(torch.randint(VOCABULARY, (1, length), generator=draws), 12, direction, 0)


ALL = [example(direction) for direction in DIRECTIONS]


def run(trainer: Trainer, first: int, last: int, batches: list[Batch] = ALL) -> dict[str, Tensor]:
    """Cycles `first` to `last`: what the log got, by name, [cycles × slots]."""
    tables = [trainer.cycle(cycle, batches) for cycle in range(first, last + 1)]
    names = tables[0][0]
    assert all(found == names for found, _ in tables), "the log has the same columns in every cycle"
    rows = torch.cat([values for _, values in tables])
    return {name: rows[:, column] for column, name in enumerate(names)}


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def replaced(learner: Learner, kind: str = "int2") -> Learner:
    """A learner that trains all weights, with the rounded weights of another one as its own."""
    plain = made(next(name for name in NETWORKS if name == learner.settings.network.tag), train="all")
    tensors = copies(named(learner.network))
    for name in learner.scope.maps:
        tensors[f"{name}.weight"] = quantised(tensors[f"{name}.weight"], kind, GROUP)
    plain.restore({f"network/{name}": tensor for name, tensor in tensors.items()})
    return plain


# ---- the scope -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_keep_their_names_and_values(network):
    rounded, plain = made(network), made(network, train="all")
    assert same(copies(named(rounded.network)), copies(named(plain.network)))
    assert rounded.network_parameters.keys() == plain.network_parameters.keys()
    assert rounded.marked().keys() == plain.marked().keys()
    assert rounded.saved().keys() == plain.saved().keys()
    state = rounded.network.state_dict()
    assert state.keys() == plain.network.state_dict().keys()
    assert all(torch.equal(state[name], parameter) for name, parameter in rounded.network_parameters.items())


@pytest.mark.parametrize("network", NETWORKS)
def test_every_linear_map_but_the_output_matrix_is_rounded(network):
    """The low-rank maps of RWKV-7 are no linear modules, and stay what they are."""
    maps = made(network).scope.maps
    assert all(re.fullmatch(ROUNDED[network], name) for name in maps)
    linear = [name for name, module in made(network).network.named_modules() if isinstance(module, nn.Linear)]
    assert set(linear) - set(maps) == {name for name in linear if re.search("head$", name)}
    assert len(linear) == len(maps) + 1


@pytest.mark.parametrize("network", NETWORKS)
def test_all_passes_see_rounded_weights(network):
    """The same bits as a network that holds them."""
    learner = awake(made(network))
    plain, given = replaced(learner), example()
    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    if network == "mdlm":
        found, wanted = (each.read(given, draws=d) for each, d in zip((learner, plain), draws, strict=True))
    else:
        found, wanted = learner.read(given), plain.read(given)
    assert torch.equal(found.logits_BTV, wanted.logits_BTV)
    assert all(torch.equal(x, y) for x, y in zip(found.hidden, wanted.hidden, strict=True))
    assert torch.equal(learner.answer(given).nll_N, plain.answer(given).nll_N)
    assert torch.equal(learner.say(given, 6), plain.say(given, 6))
    assert not torch.equal(found.logits_BTV, awake(made(network, train="all")).read(given).logits_BTV)
    if learner.network.recurrent:
        assert same(found.state, wanted.state)
    if learner.together(ALL):
        for x, y in zip(learner.read_together(ALL), plain.read_together(ALL), strict=True):
            assert torch.equal(x.logits_BTV, y.logits_BTV)


@pytest.mark.parametrize("kind", ["int3", "nf3"])
def test_the_format_is_that_of_the_settings(kind):
    learner = awake(made(train={"quantised": {"format": kind, "group": GROUP}}))
    given = example()
    assert torch.equal(learner.read(given).logits_BTV, replaced(learner, kind).read(given).logits_BTV)


def test_what_was_said_is_said_with_the_weights_of_then():
    """All weights are rounded once for a text, and anew for the next one."""
    learner, given = awake(made("rwkv7")), example()
    before = learner.say(given, 8)
    awake(learner, seed=4)
    assert not torch.equal(learner.say(given, 8), before)
    assert torch.equal(learner.say(given, 8), replaced(learner).say(given, 8))
    with pytest.raises(IndexError):
        learner.network.generate(given.tokens_BT + VOCABULARY, 2)
    awake(learner, seed=5)
    assert torch.equal(learner.read(given).logits_BTV, replaced(learner).read(given).logits_BTV)


def test_a_text_is_said_with_one_rounding_of_each_weight(monkeypatch):
    learner, counted = awake(made("rwkv7")), []

    def count(*given: object) -> Tensor:
        counted.append(given)
        return quantised(*given)

    monkeypatch.setattr("resonance.learning.scopes.quantised.quantised", count)
    learner.say(example(), 6)
    assert len(counted) == len(learner.scope.maps)


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_reach_every_weight(network):
    learner = awake(made(network))
    sum(
        learner.read(each, draws=torch.Generator().manual_seed(1)).logits_BTV.square().mean() for each in ALL
    ).backward()
    for name in learner.scope.maps:
        gradient = learner.network_parameters[f"{name}.weight"].grad
        assert (gradient != 0).float().mean() > 0.5, name


@pytest.mark.filterwarnings("default")
def test_compiled_maps_see_rounded_weights():
    """Without a break in the graph, and with torch's own operations, so that no bit changes."""
    plain, compiled = (awake(made("rwkv7")) for _ in range(2))
    for layer in compiled.network.compilable():
        layer.ffn.compile(dynamic=False, backend="eager", fullgraph=True)
    given = example()
    for cycle in (1, 2):
        gradients = []
        for learner in (plain, compiled):
            learner.network.zero_grad()
            given.loss(learner.read(given)).backward()
            gradients.append({name: p.grad for name, p in learner.network_parameters.items() if p.grad is not None})
        assert same(*gradients)
        for learner in (plain, compiled):
            awake(learner, seed=cycle)
    assert torch.equal(compiled.say(given, 3), plain.say(given, 3))


def test_derivatives_with_respect_to_a_state_are_those_of_the_rounded_network():
    learner = awake(made("rwkv7"))
    plain, tokens_BT = replaced(learner), example().tokens_BT
    state = {name: tensor + 0.1 for name, tensor in learner.network.empty_state(1).items()}
    found, wanted = (
        torch.func.jvp(lambda s, n=network: n(tokens_BT, s).logits_BTV, (state,), (state,))[1]
        for network in (learner.network, plain.network)
    )
    torch.testing.assert_close(found, wanted)
    assert found.abs().max() > 0


def test_the_error_is_the_share_of_the_weights_that_rounding_changes():
    learner = awake(made())
    change = norm = 0.0
    for name in learner.scope.maps:
        weight = learner.network_parameters[f"{name}.weight"].detach()
        change += float((quantised(weight, "int2", GROUP) - weight).square().sum())
        norm += float(weight.square().sum())
    assert float(learner.scope.error(learner.network)) == pytest.approx((change / norm) ** 0.5, rel=1e-5)
    assert 0.2 < (change / norm) ** 0.5 < 0.5


def test_a_teacher_of_its_own_mean_is_rounded_as_well():
    """Tensors in the place of others (ema) are rounded where they stand."""
    learner = made(objective={"lm": 1.0, "ema": {"decay": 0.5}})
    run(Trainer(learner), 1, 2)
    part, given = learner.objectives["ema"], example()
    other = made(train={"quantised": {"group": GROUP}})
    other.restore({name.replace("network.", "network/", 1): t for name, t in part.teacher.tensors.items()})
    assert torch.equal(part.teacher.read(learner, given, Moment(0, 3, 0)).logits_BTV, other.read(given).logits_BTV)


class Bare(Network):
    """An embedding and an output matrix, nothing between."""

    def __init__(self) -> None:
        super().__init__()
        self.depth, self.width, self.vocabulary = 0, 4, 9
        self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(4, 9)


def test_a_network_without_linear_maps_is_refused():
    with pytest.raises(UserError, match=r"train.quantised: Bare has no linear map"):
        Quantised(params.Quantised(), Bare(), torch.Generator())


# ---- the term ------------------------------------------------------------------------------------------------------


def term(learner: Learner, given: Batch, gamma: float | None = None, cycle: int = 3) -> tuple[Tensor, Output]:
    """The term, where it is wished with another γ, and the output that it is of."""
    part = learner.objectives["cakld"]
    output = learner.read(given, draws=Moment(0, cycle, 0).generator("mask"))
    if gamma is not None:
        part.confidence.fill_(gamma * 1e15)
        part.tokens_read.fill_(10**15)
    return part.term(learner, given, output, Moment(0, cycle, 0)), output


@pytest.mark.parametrize("network", ["transformer", "rwkv7", "gla", "mdlm"])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_the_term_is_that_of_torchs_divergences(network, gamma):
    """γ = 0: KL(teacher ‖ learner); γ = 1: KL(learner ‖ teacher); the mean over the target."""
    learner = awake(made(network, {"cakld": {"clip": False}}))
    given, part = ALL[1], learner.objectives["cakld"]
    cycle = 4  # in which some tokens are masked, and some are not
    value, output = term(learner, given, gamma, cycle)
    tokens_BT = given.tokens_BT
    if network == "mdlm":
        tokens_BT, _ = learner.network.masked(tokens_BT, given.prompt, Moment(0, cycle, 0).generator("mask"))
    log_t_NV = given.predictions(part.teacher(tokens_BT).logits_BTV)[0].log_softmax(-1).double()
    log_s_NV = given.predictions(output.logits_BTV)[0].log_softmax(-1).double()
    weight_N = torch.ones(12) if output.weight_BN is None else output.weight_BN[0]
    assert weight_N.count_nonzero() > 3
    forward_N = kl_div(log_s_NV, log_t_NV, log_target=True, reduction="none").sum(-1)
    reverse_N = kl_div(log_t_NV, log_s_NV, log_target=True, reduction="none").sum(-1)
    wanted = ((gamma * reverse_N + (1 - gamma) * forward_N) * weight_N).mean()
    assert (reverse_N - forward_N).abs().max() > 1e-3
    torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-6)
    seen = part.measured()
    torch.testing.assert_close(seen["reverse"].double(), (reverse_N * weight_N).mean(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(seen["forward"].double(), (forward_N * weight_N).mean(), rtol=1e-5, atol=1e-6)
    assert float(seen["gamma"]) == pytest.approx(gamma, abs=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_of_a_learner_that_says_what_its_teacher_says_nothing_is_asked(gamma):
    learner = awake(made(objective={"cakld": {"clip": False}}))
    part = learner.objectives["cakld"]
    part.teacher.load_state_dict(replaced(learner).network.state_dict())
    value, _ = term(learner, example(), gamma)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-6)
    assert all(p.grad.abs().max() < 1e-5 for p in learner.network_parameters.values())


def test_gamma_is_the_mean_confidence_over_what_was_read():
    """p(token) under the teacher, over all target tokens so far; a learner that is read again changes nothing."""
    learner = awake(made(objective={"cakld": {"clip": False}}))
    part, confidence = learner.objectives["cakld"], []
    awake_teacher = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in part.teacher.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=awake_teacher), alpha=0.2)
    for round_ in range(2):
        for given in (example("1>2"), example("2>1", 33)):
            term(learner, given)
            p_NV = given.predictions(part.teacher(given.tokens_BT).logits_BTV)[0].detach().softmax(-1)
            confidence.append(p_NV.gather(1, given.target_BT.T)[:, 0])
            assert float(part.gamma) == pytest.approx(float(torch.cat(confidence).mean()), rel=1e-5)
        if round_ == 0:
            once = float(part.gamma)
    assert float(part.gamma) == pytest.approx(once, rel=1e-9)
    assert 0 < once < 1


def test_gamma_never_leaves_its_range():
    """A teacher that is certain, and never right or always right; masked diffusion where nothing is masked."""
    learner = made(objective={"cakld": {"clip": False}})
    part, given = learner.objectives["cakld"], example()
    sure_1NV = torch.full((1, 12, VOCABULARY), -50.0).scatter(2, given.target_BT.unsqueeze(-1), 50.0)
    part._look(sure_1NV.log_softmax(-1), given.target_BT, None)
    assert 0.999999 < part.gamma <= 1
    part.confidence += 1e-3
    assert part.gamma == 1
    part.confidence.zero_()
    part.tokens_read.zero_()
    part._look(sure_1NV.log_softmax(-1), given.target_BT, torch.zeros(1, 12))
    assert part.gamma == 0
    part._look(sure_1NV.roll(1, 2).log_softmax(-1), given.target_BT, None)
    assert 0 <= part.gamma < 1e-6


def test_the_teacher_reads_from_what_the_learner_carries():
    learner = awake(made("rwkv7", {"cakld": {"clip": False}}, carry=True))
    part, given = learner.objectives["cakld"], example("2>1")
    part.teacher.load_state_dict(learner.network.state_dict())
    learner.carry_on(ALL[0], learner.read(ALL[0]))
    value, output = term(learner, given, 0.0)
    terms = []
    for state in (learner.carried, None):
        log_t_NV = given.predictions(part.teacher(given.tokens_BT, state).logits_BTV)[0].log_softmax(-1)
        log_s_NV = given.predictions(output.logits_BTV)[0].log_softmax(-1)
        terms.append(kl_div(log_s_NV, log_t_NV, log_target=True, reduction="batchmean"))
    torch.testing.assert_close(value, terms[0], rtol=1e-5, atol=1e-6)
    assert abs(terms[0] - terms[1]) > 1e-4


def test_gradients_reach_the_learner_alone():
    learner = awake(made("gla", {"cakld": {"clip": False}}))
    term(learner, example())[0].backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in learner.network_parameters.values())
    assert all(parameter.grad is None for parameter in learner.objectives["cakld"].teacher.parameters())


def test_the_total_is_the_weighted_sum():
    learner = awake(made(objective={"lm": 0.25, "cakld": {"weight": 3.0, "clip": False}}))
    total, row = Trainer(learner)._measure(ALL[0], learner.read(ALL[0]), Moment(0, 3, 0))
    assert row["term.cakld"] > 1e-3
    torch.testing.assert_close(total, 0.25 * row["term.lm"] + 3 * row["term.cakld"])
    gamma = row["cakld.gamma"]
    mixed = gamma * row["cakld.reverse"] + (1 - gamma) * row["cakld.forward"]
    torch.testing.assert_close(row["term.cakld"], mixed)


def test_a_learner_in_full_precision_is_refused():
    with pytest.raises(UserError, match=r"objective.cakld: .* set train: quantised"):
        made(objective=CAKLD, train="all")


def test_a_clipping_needs_the_pair():
    with pytest.raises(ValueError, match="give the tokens"):
        made(objective={"cakld": {}})


# ---- who learns when -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["transformer", "rwkv7"])
@pytest.mark.parametrize(
    ("more", "update"),
    [({}, "direction"), ({"lm": 1.0}, "direction"), ({}, "cycle")],
    ids=["alone", "beside lm", "cycle"],
)
def test_in_the_lead_the_teacher_learns_as_a_plain_learner_and_is_followed(network, more, update):
    objective = {"cakld": {"lead": 3, "clip": False, "lr": 0.004}, **more}
    trainer = Trainer(made(network, objective, update=update))
    plain = Trainer(made(network, train="all", optimizer={"adamw": {"lr": 0.004, "warmup": 0}}, update=update))
    for cycle in (1, 2, 3):
        found, wanted = run(trainer, cycle, cycle), run(plain, cycle, cycle)
        torch.testing.assert_close(found["cakld.teacher"], wanted["loss"], rtol=1e-6, atol=1e-6)
        assert (found["term.cakld"] == 0).all()
        assert found["cakld.gamma"].isnan().all()
        teacher = copies(dict(trainer.learner.objectives["cakld"].teacher.named_parameters()))
        assert same(copies(trainer.learner.network_parameters), teacher)
        assert found["cakld.error"].unique().numel() == 1
    torch.testing.assert_close(teacher, copies(plain.learner.network_parameters), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("update", "batches"), [("direction", ALL[:1]), ("cycle", ALL)])
def test_the_teacher_steps_on_the_mean_over_the_sequences_of_a_step(update, batches, monkeypatch):
    """Clipped gradients and Adam would hide a wrong factor."""
    learner = made(objective=CAKLD, update=update)
    part, found = learner.objectives["cakld"], {}
    wanted = torch.autograd.grad(
        sum(given.loss(part.teacher(given.tokens_BT)) for given in batches) / len(batches),
        list(part.teacher.parameters()),
    )
    part.norm = None
    monkeypatch.setattr(
        part.stepper, "step", lambda: found.update(copies({n: p.grad for n, p in part.teacher.named_parameters()}))
    )
    Trainer(learner).cycle(1, batches)
    assert len(found) == len(wanted)
    for (name, gradient), true in zip(found.items(), wanted, strict=True):
        torch.testing.assert_close(gradient, true, rtol=1e-4, atol=1e-7, msg=name)


def test_after_the_lead_the_teacher_is_frozen_and_the_learner_begins_anew():
    trainer = Trainer(made(objective=CAKLD))
    learner, part = trainer.learner, trainer.learner.objectives["cakld"]
    run(trainer, 1, 2)
    taught = copies(dict(part.teacher.named_parameters()))
    assert part.begins(learner, 3), "its optimizer forgets"
    assert same(copies(learner.network_parameters), taught), "without a clipping it starts where its teacher ends"
    found = run(trainer, 3, 5)
    assert same(copies(dict(part.teacher.named_parameters())), taught)
    assert not same(copies(learner.network_parameters), taught)
    assert not part.stepper.state
    assert found["cakld.teacher"].view(3, 4).std(0).max() == 0
    assert (found["term.cakld"] > 0).all()
    steps = {int(state["step"]) for state in trainer.optimizer.state.values()}
    assert steps == {12}, "the optimizer has taken the steps since cycle 3"


def test_without_a_lead_the_teacher_is_the_network_as_it_starts():
    learner = made(objective={"cakld": {"clip": False}})
    start = copies(named(made(train="all").network))
    assert same(copies(named(learner.objectives["cakld"].teacher)), start)
    run(Trainer(learner), 1, 2)
    assert same(copies(named(learner.objectives["cakld"].teacher)), start)
    assert not same(copies(named(learner.network)), start)


# ---- clipping ------------------------------------------------------------------------------------------------------

MULTIPLIED = {
    "transformer": r".*\.self_attn\.[qk]_proj",
    "rwkv7": r".*\.att\.(receptance|key)",
    "gla": r".*\.attn\.[qk]_proj",
    "mdlm": r".*\.self_attn\.[qk]_proj",
    "memory": r".*\.mixing\.[qk]_proj",
}


@pytest.fixture(scope="module")
def pair(tokens_file) -> Tokens:
    return read_tokens(tokens_file)


@pytest.mark.parametrize("network", MULTIPLIED)
def test_the_clipping_is_tried_on_the_pair_in_full_precision(network, pair):
    """Of every map alone: what its inputs become is never further from the truth than without a clipping."""
    learner = made(network, {"cakld": {}}, {"quantised": {"group": 128}}, pair)
    part = learner.objectives["cakld"]
    noise = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in part.teacher.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise).pow(3), alpha=0.05)
    assert not part.begins(learner, 1), "nothing was learned that an optimizer would have to forget"
    truth, inputs = dict(part.teacher.named_parameters()), {}
    for name in learner.scope.maps:

        def look(_: nn.Module, given: tuple[Tensor, ...], name: str = name) -> None:
            inputs.setdefault(name, []).append(given[0].flatten(0, -2))

        part.teacher.get_submodule(name).register_forward_pre_hook(look)
    with torch.no_grad():
        if network == "mdlm":
            part._read_all(learner)
        else:
            for direction in DIRECTIONS:
                form = prompt(pair, direction, learner.settings.marker)
                part.teacher(batch(form, direction, 0, learner.device).tokens_BT)
    gained = 0
    for name in learner.scope.maps:
        held, true = learner.network_parameters[f"{name}.weight"], truth[f"{name}.weight"]
        if re.fullmatch(MULTIPLIED[network], name):
            assert torch.equal(held, true), name
            continue
        assert not torch.equal(held, true), name
        x_NI = torch.cat(inputs[name]).double()
        assert torch.equal(held, clipped(true, moments(x_NI, 128), "int2", 128)), "on all four texts"
        error = [((quantised(w, "int2", 128) - true).double() @ x_NI.mT).square().sum() for w in (true, held)]
        assert error[1] <= error[0] * (1 + 1e-6), name
        gained += bool(error[1] < 0.8 * error[0])
    assert gained > 3
    others = {name: p for name, p in learner.network_parameters.items() if name.removesuffix(".weight") not in inputs}
    assert all(torch.equal(parameter, truth[name]) for name, parameter in others.items())


def test_maps_that_are_not_called_are_not_clipped(pair):
    """The Feedback Transformer multiplies with what it makes of their weights."""
    learner = made("feedback", {"cakld": {}}, tokens=pair)
    learner.objectives["cakld"].begins(learner, 1)
    teacher = copies(named(learner.objectives["cakld"].teacher))
    assert same(copies(named(learner.network)), teacher)


def test_a_clipping_helps(pair):
    """After the lead, over the whole pair: nearer to the teacher than rounding alone."""
    found = {}
    for clip in (False, True):
        trainer = Trainer(made(objective={"cakld": {"lead": 6, "lr": 0.01, "clip": clip}}, tokens=pair))
        learner = trainer.learner
        batches = [batch(prompt(pair, d, learner.settings.marker), d, 0, learner.device) for d in DIRECTIONS]
        run(trainer, 1, 6, batches)
        learner.objectives["cakld"].begins(learner, 7)
        found[clip] = sum(float(term(learner, given, 0.0, 7)[0].detach()) for given in batches)
    assert found[True] < found[False]


# ---- a run ---------------------------------------------------------------------------------------------------------

LEARNERS = {
    "transformer": ("transformer", {}),
    "rwkv7, state carried": ("rwkv7", {"carry": True}),
    "gla, a step per cycle": ("gla", {"update": "cycle"}),
    "masked diffusion": ("mdlm", {}),
}


@pytest.mark.parametrize("case", LEARNERS)
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_run_goes_on_as_if_it_had_never_stopped(case, cut):
    """Cut while the teacher learns, when it is done, and after."""
    network, more = LEARNERS[case]
    objective = {**CAKLD, "lm": 0.5}
    whole = Trainer(made(network, objective, **more))
    run(whole, 1, cut, ALL[:2])
    saved = copies(whole.saved())
    assert any(name.startswith("objective/cakld/teacher.") for name in saved)
    assert any(name.startswith("objective/cakld/adamw/") for name in saved) == (cut < 3)
    assert not any(name.startswith("objective/") for name in whole.learner.marked())
    again = Trainer(made(network, objective, **more))
    again.restore(saved)
    assert same(again.saved(), saved)
    theirs, ours = run(again, cut + 1, 4, ALL[:2]), run(whole, cut + 1, 4, ALL[:2])
    assert all(torch.equal(theirs[name].nan_to_num(-1), ours[name].nan_to_num(-1)) for name in ours)
    assert same(again.saved(), whole.saved())


def test_a_clipped_run_goes_on_as_if_it_had_never_stopped(pair):
    whole, again = (Trainer(made(objective={"cakld": {"lead": 1}}, tokens=pair)) for _ in range(2))
    run(whole, 1, 1)
    again.restore(copies(whole.saved()))
    run(again, 2, 3)
    run(whole, 2, 3)
    assert same(again.saved(), whole.saved())


@pytest.mark.parametrize(("kind", "more"), [("int2", {}), ("nf3", {}), ("int2", {"lm": 1.0})])
def test_a_rounded_learner_learns(kind, more):
    """What its teacher says, who knows nothing of the texts; beside lm, the texts."""
    train = {"quantised": {"format": kind}}
    learner = awake(made("transformer", {"cakld": {"clip": False}, **more}, train, optimizer={"adamw": {"lr": 0.003}}))
    learner.objectives["cakld"].teacher.load_state_dict(learner.network.state_dict())
    seen = run(Trainer(learner), 1, 20, ALL[:2])
    first, last = ({name: float(seen[name][rows].mean()) for name in seen} for rows in (slice(2), slice(-2, None)))
    if more:
        assert last["loss"] < 0.5 * first["loss"]
    else:
        assert last["term.cakld"] < 0.25 * first["term.cakld"]
        assert abs(last["loss"] - last["cakld.teacher"]) < 0.5 * abs(first["loss"] - first["cakld.teacher"])


GOLDEN = {
    "loss": 4.053866,
    "term.cakld": 0.0205981,
    "cakld.gamma": 0.0215707,
    "cakld.teacher": 3.916177,
    "cakld.reverse": 0.0199469,
    "cakld.forward": 0.0206124,
    "cakld.error": 0.3138568,
}


def test_golden_numbers():
    """Three cycles of this case. Sums of other machines differ in their last bits, and a weight that lies halfway
    between two levels may then be rounded the other way: 1 %."""
    seen = run(Trainer(made(objective={**CAKLD, "lm": 0.5}, optimizer={"adamw": {"lr": 0.01}})), 1, 3)
    found = {name: float(values[-1]) for name, values in seen.items() if name in GOLDEN}
    assert found == pytest.approx(GOLDEN, rel=0.01)
