"""The term in which two steps of the sampler become one, and the targets that it is made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import tiny
from torch import Generator, Tensor
from torch.nn.functional import kl_div

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.sampler_targets import sampler_targets, sub_steps
from resonance.networks.masked_diffusion import EPS, log_softmax, noised, subs
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

VOCABULARY = 40
MASK = VOCABULARY
NETWORK = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 4, "draws": 4}}
LOREFT = {"loreft": {"layers": [0, 1], "rank": 2, "positions": "all"}}


def made(train: object = "all", terms: object = None, lr: float = 1e-3, **settings: object) -> Learner:
    values = {"network": NETWORK, "train": train, "objective": terms or {"sdtt": settings}, "init": "random"}
    values |= {"optimizer": {"adamw": {"lr": lr}}}
    return Learner(type(tiny("gpt")).model_validate(values), VOCABULARY, seed=0, base=None)


def example(direction: str = "1>2", length: int = 30) -> Batch:
    draws = Generator().manual_seed(DIRECTIONS.index(direction))
    return Batch(torch.randint(VOCABULARY, (1, length), generator=draws), 12, direction, 0)


def visit(learner: Learner, cycle: int, batch: Batch, slot: int = 0) -> Tensor:
    """The term, as the training loop asks for it."""
    moment = Moment(0, cycle, slot)
    return learner.objectives["sdtt"].term(learner, batch, learner.read(batch, draws=moment.generator("mask")), moment)


def moved(learner: Learner, by: float, frozen: bool = True) -> Learner:
    """The same learner a little elsewhere, what is not trained of it included; not the rotations of LoReFT."""
    noise = Generator().manual_seed(4)
    tensors = {f"network/{name}": tensor for name, tensor in learner.network.named_parameters()} if frozen else {}
    with torch.no_grad():
        for name, parameter in (tensors | learner.trained()).items():
            if "rotate" not in name:
                parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=by)
    return learner


# ---- the targets -------------------------------------------------------------------------------------------------


def stub(shown_BN: Tensor) -> Tensor:
    """A teacher whose word depends on how much is masked and on its left neighbour: no network, no chance."""
    place_N = torch.arange(shown_BN.shape[1], dtype=torch.float64)
    word_V = torch.arange(VOCABULARY, dtype=torch.float64)
    count_B11 = (shown_BN == MASK).sum(1)[:, None, None]
    left_BN1 = shown_BN.roll(1, dims=1)[..., None]
    scores_BNV = torch.sin(0.37 * word_V * (1 + place_N[:, None]) + 0.9 * count_B11 + 0.11 * left_BN1)
    return subs(3 * scores_BNV, shown_BN, MASK)


def by_hand(shown_BN: Tensor, t_B: Tensor, dt: float, count: int, draws: Generator, quirk: bool) -> Tensor:
    """The targets one token at a time, from the same random numbers."""
    batch, length = shown_BN.shape
    target_BNV = torch.zeros(batch, length, VOCABULARY, dtype=torch.float64)
    now = shown_BN.tolist()
    for i in range(count):
        said_BNV = stub(torch.tensor(now))
        chance_BN = torch.rand(batch, length, generator=draws)
        clock_BNV = torch.rand(batch, length, VOCABULARY, generator=draws, dtype=torch.float64)
        for b in range(batch):
            t = float(t_B[b])
            start = t - i * dt
            if quirk:
                u = 1 - i / (count - 1)
                start = t * u + (1 - t) * (t - count * dt)
            start = max(start, 1e-5)
            kept = (1 - EPS) * max(start - dt, 0.0) / ((1 - EPS) * start)
            for n in range(length):
                if now[b][n] != MASK:
                    continue
                target_BNV[b, n] = said_BNV[b, n]
                if chance_BN[b, n] >= kept:
                    now[b][n] = int((said_BNV[b, n].exp() / -clock_BNV[b, n].log()).argmax())
    return target_BNV


@pytest.mark.parametrize("quirk", [False, True])
@pytest.mark.parametrize(("count", "dt"), [(2, 0.2), (3, 0.05), (2, 0.5)])
def test_targets_are_those_of_a_teacher_that_is_followed_token_by_token(count, dt, quirk):
    tokens_BN = torch.randint(VOCABULARY, (3, 20), generator=Generator().manual_seed(0))
    t_B = torch.tensor([0.95, 0.6, 0.04], dtype=torch.float64)
    shown_BN = noised(tokens_BN, t_B, MASK, Generator().manual_seed(1))
    asked: list[Tensor] = []

    def teacher(shown_BN: Tensor) -> Tensor:
        asked.append(shown_BN)
        return stub(shown_BN)

    found = sampler_targets(shown_BN, t_B, dt, count, teacher, MASK, Generator().manual_seed(2), quirk)
    wanted = by_hand(shown_BN, t_B, dt, count, Generator().manual_seed(2), quirk)
    masked_BN = shown_BN == MASK
    torch.testing.assert_close(found[masked_BN], wanted[masked_BN], rtol=0, atol=0)
    assert (found[~masked_BN] == 0).all()
    assert len(asked) == count
    assert torch.equal(asked[0], shown_BN)
    filled_BN = (asked[0] == MASK) & (asked[1] != MASK)
    assert 0 < filled_BN.sum() < masked_BN.sum(), "else one step would have done the same"
    assert torch.equal(found[filled_BN], stub(shown_BN)[filled_BN])


def test_the_steps_follow_each_other_and_end_at_zero():
    t_IB, s_IB = sub_steps(torch.tensor([0.5, 0.3], dtype=torch.float64), 0.25, 2)
    torch.testing.assert_close(t_IB, torch.tensor([[0.5, 0.3], [0.25, 0.05]], dtype=torch.float64))
    torch.testing.assert_close(s_IB[0], t_IB[1])
    assert torch.equal(s_IB[1], torch.zeros(2, dtype=torch.float64))
    t_IB, s_IB = sub_steps(torch.tensor([0.1]), 0.25, 2)
    assert (s_IB == 0).all(), "nothing is masked at 0, and there is nothing below"
    assert (t_IB > 0).all()


def test_the_published_interpolation_is_kept_as_a_switch():
    """Numbers of the published line of code at t = 0.5, dt = 1 / 1024: the paper has 0.5 and 0.499."""
    t_IB, s_IB = sub_steps(torch.tensor([0.5], dtype=torch.float64), 1 / 1024, 2, quirk=True)
    assert t_IB[:, 0].tolist() == pytest.approx([0.7490234375, 0.2490234375], abs=1e-12)
    assert (t_IB - s_IB)[:, 0].tolist() == pytest.approx([1 / 1024] * 2)


def test_as_many_tokens_stay_masked_as_after_one_step_of_twice_the_length():
    shown_BN, t_B = torch.full((200, 100), MASK), torch.full((200,), 0.8, dtype=torch.float64)
    seen: list[Tensor] = []

    def teacher(shown_BN: Tensor) -> Tensor:
        seen.append(shown_BN)
        return torch.zeros(*shown_BN.shape, 3).log_softmax(-1)

    sampler_targets(shown_BN, t_B, 0.2, 3, teacher, MASK, Generator().manual_seed(0))
    share = [float((x == MASK).double().mean()) for x in seen]
    assert share == pytest.approx([1.0, 0.75, 0.5], abs=0.01)


# ---- the term ----------------------------------------------------------------------------------------------------


def parts(learner: Learner, cycle: int, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """What is shown in a cycle [1, N], which of it is masked, and the student's log p [1, N, V]."""
    draws = Moment(0, cycle, 0).generator("mask")
    shown_BT, weight_BN = learner.network.masked(batch.tokens_BT, batch.prompt, draws)
    scores_BTV = learner.network(shown_BT, edit=learner.scope.edit(batch.prompt)).logits_BTV
    return shown_BT[:, batch.prompt :], weight_BN, log_softmax(batch.predictions(scores_BTV))


@pytest.mark.parametrize("kind", ["kl-bwd", "kl-fwd"])
@pytest.mark.parametrize("train", ["all", LOREFT])
def test_the_term_is_torchs_divergence_over_the_masked_tokens(kind, train):
    learner, batch = moved(made(train, divergence=kind, steps=4, least=2), 0.2), example()
    visit(learner, 1, batch)
    taught = moved(made(train), 0.2)
    taught.restore({name: tensor.clone() for name, tensor in learner.marked().items()})
    moved(learner, 0.1, frozen=False)
    cycle = next(c for c in range(2, 60) if 3 <= (parts(learner, c, batch)[1] > 0).sum() < 18)
    shown_BN, weight_BN, student_BNV = parts(learner, cycle, batch)
    masked_BN = shown_BN == MASK

    def teacher(shown_BN: Tensor) -> Tensor:
        return taught.network.denoised(batch.said(shown_BN).tokens_BT, batch.prompt, taught.scope.edit(batch.prompt))

    with torch.no_grad():
        t_B, draws = 1 / weight_BN.amax(1), Moment(0, cycle, 0).generator("sdtt")
        teacher_BNV = sampler_targets(shown_BN, t_B, 1 / 4, 2, teacher, MASK, draws)
        assert not torch.equal(teacher_BNV[masked_BN], teacher(shown_BN)[masked_BN]), "one step would do the same"
    student_MV, teacher_MV = student_BNV[masked_BN], teacher_BNV[masked_BN]
    pair = (teacher_MV, student_MV) if kind == "kl-bwd" else (student_MV, teacher_MV)
    wanted = kl_div(*pair, log_target=True, reduction="batchmean")
    assert wanted > 1e-3
    torch.testing.assert_close(visit(learner, cycle, batch), wanted, rtol=1e-6, atol=1e-6)


def test_what_a_learner_fills_first_it_has_nothing_to_learn_about():
    """Teacher = student: what its first step fills was said of the same text; that is all, where the step ends at 0."""
    learner, batch = moved(made(steps=2, least=2), 0.2), example()
    values = {}
    for cycle in range(1, 40):
        learner.objectives["sdtt"].round.fill_(-1)
        shown_BN, weight_BN, _ = parts(learner, cycle, batch)
        if (shown_BN == MASK).any():
            values[1 / float(weight_BN.max())] = float(visit(learner, cycle, batch).detach())
    early = [value for t, value in values.items() if t > 0.55]
    late = [value for t, value in values.items() if t < 0.5]
    assert len(early) > 5
    assert len(late) > 5
    assert max(late) < 1e-6
    assert max(early) > 1e-3


@pytest.mark.parametrize("kind", ["kl-bwd", "kl-fwd"])
def test_a_student_can_learn_to_do_two_steps_of_its_teacher_in_one(kind):
    """Where masks and steps are drawn once and for all: what the teacher does is then a function of what is shown."""
    learner, batch = moved(made(steps=2, least=2, divergence=kind), 0.2), example()
    optimizer = torch.optim.Adam(learner.network.parameters(), lr=3e-3)
    terms = []
    for _ in range(50):
        term = sum(visit(learner, cycle, batch) for cycle in range(1, 4)) / 3
        term.backward()
        optimizer.step()
        optimizer.zero_grad()
        terms.append(float(term.detach()))
    assert terms[0] > 0.05
    assert terms[-1] < terms[0] / 3


def test_gradients_reach_the_student_alone():
    learner, batch = moved(made(steps=4), 0.2), example()
    for cycle in (1, 2, 3):
        visit(learner, cycle, batch)
    moved(learner, 0.1)
    sum(visit(learner, cycle, batch) for cycle in range(4, 8)).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in learner.network.parameters())
    part = learner.objectives["sdtt"]
    assert not any(tensor.requires_grad for tensor in part.teacher.tensors.values())
    assert not any(tensor.requires_grad for tensor in part.saved().values())


def test_nothing_masked_is_no_loss_and_no_fault():
    learner, batch = made(), Batch(example(length=13).tokens_BT, 12, "1>2", 0)
    empty = [c for c in range(1, 40) if not (parts(learner, c, batch)[0] == MASK).any()]
    term = visit(learner, empty[0], batch)
    term.backward()
    assert term == 0
    assert all(torch.isfinite(parameter.grad).all() for parameter in learner.network.parameters())


# ---- rounds ------------------------------------------------------------------------------------------------------


def test_rounds_follow_from_the_absolute_cycle():
    part = made(start=10, every=5, steps=64, least=6).objectives["sdtt"]
    assert [part.round_of(cycle) for cycle in (1, 10, 11, 15, 16, 10**12)] == [-2, -1, 0, 0, 1, (10**12 - 11) // 5]
    assert [part.steps(number) for number in (0, 1, 2, 3, 4, 10**9)] == [64, 32, 16, 8, 6, 6]


def test_the_learner_of_the_end_of_a_round_is_the_teacher_of_the_next():
    trainer = Trainer(made(every=2))
    learner = trainer.learner
    part = learner.objectives["sdtt"]
    batches = [example(direction) for direction in DIRECTIONS]
    before = {0: {name: tensor.detach().clone() for name, tensor in learner.network.named_parameters()}}
    for cycle in range(1, 6):
        names, values = trainer.cycle(cycle, batches)
        before[cycle] = {name: tensor.detach().clone() for name, tensor in learner.network.named_parameters()}
        taught = before[(cycle - 1) // 2 * 2]
        assert all(torch.equal(part.teacher.tensors[f"network.{name}"], taught[name]) for name in taught)
        assert (values[:, names.index("sdtt.steps")] == 64 / 2 ** ((cycle - 1) // 2)).all()
    assert not torch.equal(before[0]["lm_head.weight"], before[4]["lm_head.weight"])


def test_before_the_first_round_it_is_masked_diffusion():
    batches = [example(direction) for direction in DIRECTIONS]
    found = []
    for terms in ({"lm": {}}, {"sdtt": {"start": 3}}, {"lm": {}, "sdtt": {"start": 3}}):
        trainer = Trainer(made(terms=terms))
        for cycle in (1, 2, 3):
            names, values = trainer.cycle(cycle, batches)
        found.append(trainer.learner.network.lm_head.weight.detach().clone())
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert (values[:, names.index("term.sdtt")] == 0).all()
    assert (values[:, names.index("sdtt.steps")] == 0).all()
    names, values = trainer.cycle(4, batches)
    assert (values[:, names.index("sdtt.steps")] == 64).all()
    total = values[:, names.index("term.lm")] + values[:, names.index("term.sdtt")]
    torch.testing.assert_close(values[:, names.index("loss")], values[:, names.index("term.lm")])
    assert (total >= values[:, names.index("loss")]).all()


def test_it_works_with_one_step_per_cycle_and_without_any():
    batches = [example(direction) for direction in DIRECTIONS]
    for train, update in (("all", "cycle"), ("nothing", "direction"), (LOREFT, "direction")):
        learner = made(train)
        learner.settings = learner.settings.model_copy(update={"update": update})
        trainer = Trainer(learner)
        for cycle in (1, 2):
            names, values = trainer.cycle(cycle, batches)
        assert values.isfinite().all()
        assert ("grad_norm" in names) == (train != "nothing")


@pytest.mark.parametrize("train", ["all", LOREFT])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_run_goes_on_as_if_it_had_never_stopped(train, stop):
    """Before the first round, in the middle of one, and at its end."""
    batches = [example(direction) for direction in DIRECTIONS]
    settings = {"start": 2, "every": 2, "steps": 8, "least": 2}
    whole = Trainer(made(train, **settings))
    for cycle in range(1, stop + 1):
        whole.cycle(cycle, batches)
    saved = {name: tensor.clone() for name, tensor in whole.saved().items()}
    again = Trainer(made(train, **settings))
    again.restore(saved)
    for cycle in range(stop + 1, stop + 4):
        found, wanted = again.cycle(cycle, batches), whole.cycle(cycle, batches)
        assert found[0] == wanted[0]
        assert torch.equal(found[1], wanted[1])
    assert again.saved().keys() == whole.saved().keys()
    assert all(torch.equal(again.saved()[name], tensor) for name, tensor in whole.saved().items())


def test_a_teacher_is_not_in_a_mark():
    learner = made()
    visit(learner, 1, example())
    assert any(name.startswith("objective/sdtt/teacher/") for name in learner.saved())
    assert not any("sdtt" in name for name in learner.marked())


def wrong(**values: object) -> Callable[[], Learner]:
    settings = type(tiny("gpt")).model_validate({"init": "random", "network": NETWORK} | values)
    return lambda: Learner(settings, VOCABULARY, seed=0, base=None)


def test_a_causal_network_cannot_do_it():
    with pytest.raises(UserError, match=r"objective.sdtt: .* set network: mdlm"):
        wrong(network="transformer", objective={"sdtt": {}})()


def test_fewer_steps_than_the_least_are_refused():
    with pytest.raises(UserError, match=r"objective.sdtt.least: 8 is more than the 4 steps"):
        wrong(objective={"sdtt": {"steps": 4, "least": 8}})()
