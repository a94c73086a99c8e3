"""Learners that are taught by what they were: a running mean, the last visit, the last generation."""

from __future__ import annotations

import pytest
import torch
from conftest import tiny
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner, new_network
from resonance.learning.moment import Moment
from resonance.learning.substitute import trained
from resonance.networks.tensors import named
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

VOCABULARY = 60
MDLM = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}}
EMA = {"lm": 1.0, "ema": {"weight": 0.5, "decay": 0.9, "temperature": 2.0, "ramp": 4}}
BORN = {"lm": 1.0, "born-again": {"every": 2, "temperature": 2.0}}


def made(name: str, objective: object, seed: int = 0, base: dict[str, Tensor] | None = None, **more: object) -> Learner:
    return Learner(tiny(name, objective=objective, **more), VOCABULARY, seed, base)


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


# ---- all three ---------------------------------------------------------------------------------------------------


LEARNERS = {
    "ema": ("gpt", EMA, {}),
    "ema of edits": ("loreft", EMA, {}),
    "ema, state carried": ("rwkv7", EMA, {"carry": True}),
    "ema of masked diffusion": ("gpt", EMA, {"network": MDLM}),
    "ema of some layers, a step per cycle": ("gpt", EMA, {"train": {"layers": {"layers": [1]}}, "update": "cycle"}),
    "ps-kd": ("gpt", {"ps-kd": {"horizon": 3}}, {}),
    "ps-kd of edits": ("loreft", {"ps-kd": {"horizon": 3}}, {}),
    "ps-kd, a step per cycle": ("rwkv7", {"ps-kd": {"horizon": 3}}, {"update": "cycle"}),
    "born again": ("gpt", BORN, {}),
    "edits born again": ("loreft", BORN, {}),
    "born again, state carried": ("rwkv7", BORN, {"carry": True}),
    "masked diffusion born again": ("gpt", BORN, {"network": MDLM}),
}


@pytest.mark.parametrize(
    ("case", "cut"), [(case, cut) for case in LEARNERS for cut in ((2, 3) if "born" in case else (3,))]
)
def test_a_run_goes_on_as_if_it_had_never_stopped(case, cut):
    """Cut in the middle of a generation, and where it ends. A teacher is in the state, but in no mark."""
    name, objective, more = LEARNERS[case]
    whole = Trainer(made(name, objective, **more))
    run(whole, 1, cut, ALL[:2])
    saved = copies(whole.saved())
    kept = any(key.startswith("objective/") for key in saved)
    assert kept or cut == 2, "the first generation has no teacher"
    assert not any(key.startswith("objective/") for key in whole.learner.marked())
    again = Trainer(made(name, objective, **more))
    again.restore(saved)
    assert same(again.saved(), saved)
    theirs, ours = run(again, cut + 1, 5, ALL[:2]), run(whole, cut + 1, 5, ALL[:2])
    assert all(torch.equal(theirs[key].nan_to_num(-1), ours[key].nan_to_num(-1)) for key in ours)
    assert same(again.saved(), whole.saved())


@pytest.mark.parametrize("objective", [EMA, {"ps-kd": {}}, BORN], ids=["ema", "ps-kd", "born-again"])
def test_where_nothing_is_trained_nothing_breaks(objective):
    trainer = Trainer(made("rwkv7", objective, train="nothing"))
    before = copies(named(trainer.learner.network))
    seen = run(trainer, 1, 5)
    assert same(named(trainer.learner.network), before)
    if "ps-kd" not in objective:
        assert (seen[f"term.{list(objective)[1]}"] == 0).all(), "the teacher is the learner"


def test_the_total_is_the_weighted_sum():
    learner = made("gpt", {"lm": 0.25, "ema": {"weight": 3.0}, "ps-kd": {"weight": 0.5}})
    trainer = Trainer(learner)
    run(trainer, 1, 2)
    total, row = trainer._measure(ALL[0], learner.read(ALL[0]), Moment(0, 3, 0))
    assert row["term.ema"] > 0
    assert row["term.ps-kd"] != row["term.lm"]
    torch.testing.assert_close(total, 0.25 * row["term.lm"] + 3 * row["term.ema"] + 0.5 * row["term.ps-kd"])


# ---- mean teacher ------------------------------------------------------------------------------------------------


def test_after_many_steps_the_mean_is_that_of_torch():
    """`AveragedModel` has no (s + 1) at its beginning, so that ours is set to be long past it."""
    learner = made("gpt", {"lm": 1.0, "ema": {"decay": 0.9}})
    part, trainer = learner.objectives["ema"], Trainer(learner)
    part.steps.fill_(10**6)
    theirs = AveragedModel(learner.network, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    theirs.update_parameters(learner.network)  # the first call copies
    for cycle in range(1, 4):
        for slot, batch in enumerate(ALL):
            trainer._slot(batch, Moment(0, cycle, slot), 1.0)
            trainer.update(cycle)
            part.after_step(learner, batch, Moment(0, cycle, slot))
            theirs.update_parameters(learner.network)
    for name, mean in theirs.module.named_parameters():
        torch.testing.assert_close(part.teacher.tensors[f"network.{name}"], mean, rtol=0, atol=1e-7)
        assert not torch.equal(mean, learner.network.get_parameter(name))


@pytest.mark.parametrize("name", ["gpt", "loreft"])
def test_at_first_the_mean_is_that_of_all_weights_so_far(name):
    learner = made(name, {"lm": 1.0, "ema": {"decay": 0.999}})
    weights, seen = trained(learner), [copies(trained(learner))]
    trainer = Trainer(learner)
    for cycle in range(1, 6):
        trainer.cycle(cycle, ALL[:1])
        seen.append(copies(weights))
    teacher = learner.objectives["ema"].teacher.tensors
    for key in weights:
        torch.testing.assert_close(teacher[key], sum(past[key] for past in seen) / 6)
    assert [learner.objectives["ema"].share(step) for step in (1, 5, 998, 10**9)] == [0.5, 5 / 6, 998 / 999, 0.999]


def test_a_scalar_by_the_closed_form():
    """θ_s = s: the mean is Σ θ_s (1 − a) a^(n − s), with the share a of steps that are long past the beginning."""
    learner = made("gpt", {"lm": 1.0, "ema": {"decay": 0.8}})
    part, batch = learner.objectives["ema"], ALL[0]
    weight = learner.network.get_parameter("model.model.norm.weight")
    with torch.no_grad():
        weight.zero_()
    part.term(learner, batch, learner.read(batch), Moment(0, 1, 0))
    part.steps.fill_(1000)
    for step in range(1, 21):
        with torch.no_grad():
            weight.fill_(step)
        part.after_step(learner, batch, Moment(0, step, 0))
    wanted = sum(step * 0.2 * 0.8 ** (20 - step) for step in range(1, 21))
    torch.testing.assert_close(part.teacher.tensors["network.model.model.norm.weight"], torch.full((32,), wanted))


@pytest.mark.parametrize("name", ["gpt", "loreft"])
def test_the_term_is_the_divergence_from_a_learner_with_the_mean_weights(name):
    learner = made(name, EMA)
    run(Trainer(learner), 1, 3)
    part = learner.objectives["ema"]
    other = made(name, EMA)
    weights = trained(other)
    with torch.no_grad():
        for key, parameter in weights.items():
            parameter.copy_(part.teacher.tensors[key])
    batch, before = ALL[1], copies(trained(learner))
    output = learner.read(batch)
    term = part.term(learner, batch, output, Moment(0, 3, 1))
    p_NV = (batch.predictions(other.read(batch).logits_BTV)[0] / 2).softmax(-1)
    log_q_NV = (batch.predictions(output.logits_BTV)[0] / 2).log_softmax(-1)
    wanted = 4 * kl_div(log_q_NV, p_NV, reduction="batchmean")
    assert wanted > 1e-4
    torch.testing.assert_close(term, wanted * torch.exp(torch.tensor(-5 / 16)))
    torch.testing.assert_close(part.measured()["kl"], wanted)
    torch.testing.assert_close(part.measured()["teacher"], batch.loss(other.read(batch)))
    assert same(copies(trained(learner)), before), "the learner's own stand where they stood"


def test_no_gradient_reaches_the_teacher():
    learner = made("gpt", EMA)
    run(Trainer(learner), 1, 2)
    part, batch = learner.objectives["ema"], ALL[0]
    asked = {key: tensor.requires_grad_() for key, tensor in part.teacher.tensors.items()}
    part.term(learner, batch, learner.read(batch), Moment(0, 3, 0)).backward()
    assert not any(tensor.grad is not None for tensor in asked.values())
    assert all(parameter.grad is not None for parameter in learner.network.parameters())


def test_the_signs_of_edits_survive_a_thousand_steps():
    """R is made through a cast to whole numbers: a sign of 0.9999999 in its place would make the edit zero."""
    learner = made("loreft", {"lm": 1.0, "ema": {"decay": 0.999}})
    part, batch = learner.objectives["ema"], ALL[0]
    part.term(learner, batch, learner.read(batch), Moment(0, 1, 0))
    for step in range(1, 1001):
        part.after_step(learner, batch, Moment(0, step, 0))
    assert same({key: part.teacher.tensors[key] for key in trained(learner)}, copies(trained(learner)))


def test_masked_diffusion_is_taught_at_the_masks_that_it_sees():
    learner = made("gpt", {"lm": 1.0, "ema": {}}, network=MDLM)
    part, batch, moment = learner.objectives["ema"], ALL[0], Moment(0, 1, 0)
    assert part.term(learner, batch, learner.read(batch, draws=moment.generator("mask")), moment) == 0
    run(Trainer(learner), 1, 2)
    output = learner.read(batch, draws=moment.generator("mask"))
    one = part.term(learner, batch, output, moment)
    with torch.no_grad():
        visible_BT = torch.cat([output.weight_BN == 0, torch.zeros(1, 1, dtype=torch.bool)], dim=1)
        output.logits_BTV[:, batch.prompt - 1 :][visible_BT] = 7.0
    torch.testing.assert_close(part.term(learner, batch, output, moment), one)
    assert one > 0


# ---- the last visit ----------------------------------------------------------------------------------------------


def test_the_first_visit_is_plain_cross_entropy():
    ours, theirs = run(Trainer(made("gpt", {"ps-kd": {}})), 1, 1), run(Trainer(made("gpt", {"lm": 1.0})), 1, 1)
    assert torch.equal(ours["term.ps-kd"], theirs["term.lm"])
    assert torch.equal(ours["grad_norm"], theirs["grad_norm"])
    assert (ours["ps-kd.truth"] == 1).all()


def test_later_visits_ask_for_what_was_said_before_the_last_step():
    learner = made("gpt", {"ps-kd": {"alpha": 0.8, "horizon": 4}}, optimizer={"adamw": {"lr": 0.01}})
    trainer, batch = Trainer(learner), ALL[2]
    before = learner.read(batch).logits_BTV.detach()
    trainer.cycle(1, [batch])
    p_NV = batch.predictions(before)[0].softmax(-1)
    hard_NV = torch.eye(VOCABULARY)[batch.target_BT[0]]
    for cycle, share in ((2, 0.4), (4, 0.8), (10**6, 0.8)):
        part = learner.objectives["ps-kd"]
        part.memory["2>1/0"] = p_NV.half()
        part.memory["1>1/0"] = p_NV.half()
        target_NV = (1 - share) * hard_NV + share * p_NV
        output = learner.read(batch)
        term = part.term(learner, batch, output, Moment(0, cycle, 0))
        wanted = cross_entropy(batch.predictions(output.logits_BTV)[0], target_NV)
        torch.testing.assert_close(term, wanted, rtol=2e-4, atol=0, msg="P is kept in half precision")
        last_NV = p_NV.half().float()
        exact_NV = (1 - share) * hard_NV + share * last_NV / last_NV.sum(-1, keepdim=True)
        torch.testing.assert_close(term, cross_entropy(batch.predictions(output.logits_BTV)[0], exact_NV))
        assert part.measured()["alpha"] == pytest.approx(share)
        torch.testing.assert_close(part.measured()["truth"], exact_NV[hard_NV.bool()].mean())
        said_NV = batch.predictions(output.logits_BTV)[0].softmax(-1)
        assert torch.equal(part.memory[f"{batch.direction}/0"], said_NV.detach().half())


def test_where_it_says_what_it_said_the_gradient_is_a_share_of_that_of_cross_entropy():
    """P = p: the gradient of the scores is (1 − α)(p − onehot) / N."""
    learner, batch = made("gpt", {"ps-kd": {"alpha": 0.8, "horizon": 1}}), ALL[0]
    part = learner.objectives["ps-kd"]
    scores_BTV = learner.read(batch).logits_BTV.detach().requires_grad_()
    output = type(learner.read(batch))((), scores_BTV)
    part.term(learner, batch, output, Moment(0, 1, 0))
    (gradient_BTV,) = torch.autograd.grad(part.term(learner, batch, output, Moment(0, 2, 0)), scores_BTV)
    p_NV = batch.predictions(scores_BTV.detach())[0].softmax(-1)
    wanted_NV = 0.2 * (p_NV - torch.eye(VOCABULARY)[batch.target_BT[0]]) / len(p_NV)
    difference = batch.predictions(gradient_BTV)[0] - wanted_NV
    assert difference.abs().max() <= 1e-3 * wanted_NV.abs().max(), "half precision has 11 bits"
    assert torch.equal(gradient_BTV[:, : batch.prompt - 1], torch.zeros_like(gradient_BTV[:, : batch.prompt - 1]))


def test_every_direction_remembers_its_own_last_visit():
    learner = made("gpt", {"ps-kd": {}})
    run(Trainer(learner), 1, 2)
    memory = learner.objectives["ps-kd"].memory
    assert set(memory) == {f"{direction}/0" for direction in DIRECTIONS}
    assert all(tensor.shape == (12, VOCABULARY) and tensor.dtype == torch.float16 for tensor in memory.values())


def test_once_all_is_known_by_heart_it_is_cross_entropy_again():
    learner = made("gpt", {"ps-kd": {"alpha": 0.8, "horizon": 1}}, optimizer={"adamw": {"lr": 0.01}})
    trainer = Trainer(learner)
    tables = [trainer.cycle(cycle, ALL[:1]) for cycle in range(1, 81)]
    early, late = (dict(zip(names, values[0].tolist(), strict=True)) for names, values in (tables[1], tables[-1]))
    assert early["ps-kd.truth"] < 0.5 < 0.95 < late["ps-kd.truth"]
    assert abs(late["term.ps-kd"] - late["loss"]) < 0.2 < 2 < early["term.ps-kd"]


def test_predictions_from_other_masks_are_no_target():
    with pytest.raises(UserError, match=r"objective\.ps-kd: a network that fills masks"):
        made("gpt", {"ps-kd": {}}, network=MDLM)


# ---- generations -------------------------------------------------------------------------------------------------


def test_generations_follow_each_other():
    seen = run(Trainer(made("gpt", BORN)), 1, 6)
    assert seen["born-again.generation"].tolist() == [1.0] * 8 + [2.0] * 8 + [3.0] * 8
    assert (seen["term.born-again"][:8] == 0).all()
    assert (seen["term.born-again"][8:] > 0).all()
    assert seen["born-again.teacher"].isnan().tolist() == [True] * 8 + [False] * 16
    assert seen["loss"][8] > seen["loss"][7] + 0.05, "what was learned is gone"


def test_the_end_of_a_generation_can_be_seen_and_becomes_the_teacher():
    trainer = Trainer(made("gpt", BORN))
    run(trainer, 1, 2)
    learned = copies(trainer.learner.marked())
    saved = trainer.saved()
    assert any(key.startswith("optimizer/") for key in saved)
    run(trainer, 3, 3)
    learner = trainer.learner
    teacher = learner.objectives["born-again"].teacher.tensors
    assert all(torch.equal(teacher[key.replace("network/", "network.")], learned[key]) for key in learned)
    batch, output = ALL[1], learner.read(ALL[1])
    term = learner.objectives["born-again"].term(learner, batch, output, Moment(0, 4, 0))
    other = made("gpt", BORN)
    other.restore(learned)
    p_NV = (batch.predictions(other.read(batch).logits_BTV)[0] / 2).softmax(-1)
    log_q_NV = (batch.predictions(output.logits_BTV)[0] / 2).log_softmax(-1)
    torch.testing.assert_close(term, 4 * kl_div(log_q_NV, p_NV, reduction="batchmean"))


@pytest.mark.parametrize("name", ["gpt", "loreft"])
def test_fresh_starts_differ_from_generation_to_generation_and_depend_on_the_seed(name):
    def starts(seed: int) -> list[dict[str, Tensor]]:
        learner = made(name, BORN, seed)
        part, found = learner.objectives["born-again"], [copies(trained(learner))]
        for cycle in (3, 5):
            assert part.begins(learner, cycle)
            found.append(copies(trained(learner)))
        return found

    first, again, other = starts(0), starts(0), starts(1)
    assert all(same(mine, theirs) for mine, theirs in zip(first, again, strict=True))
    matrices = [key for key, tensor in first[0].items() if tensor.ndim == 2 and len(tensor.unique()) > 40]
    assert matrices
    for key in matrices:
        assert len({tuple(start[key].flatten().tolist()) for start in [*first, *other]}) == 6


def test_with_a_base_a_generation_starts_from_it_and_the_optimizer_forgets():
    """Without a teacher's weight every generation is then the first one again, to the bit."""
    base = copies(named(new_network(tiny("gpt"), VOCABULARY, 7, None)))
    objective = {"lm": 1.0, "born-again": {"weight": 0.0, "every": 3}}
    seen = run(Trainer(made("gpt", objective, base=base, init="base")), 1, 9)
    for generation in (1, 2):
        for name in ("loss", "grad_norm", "update_norm"):
            assert torch.equal(seen[name][12 * generation : 12 * generation + 12], seen[name][:12])


def test_only_what_is_trained_begins_anew():
    learner = made("gpt", BORN, train={"layers": {"layers": [1]}})
    before = copies(named(learner.network))
    learner.objectives["born-again"].begins(learner, 3)
    changed = {name for name, tensor in named(learner.network).items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in learner.network_parameters if name.endswith("proj.weight")}


def test_edits_that_are_born_again_are_whole():
    learner = made("loreft", BORN)
    run(Trainer(learner), 1, 3)
    for edit in learner.scope.edits.values():
        R_DR = edit.rotate_layer.weight
        torch.testing.assert_close(R_DR.mT @ R_DR, torch.eye(2))
    frozen = made("loreft", BORN)
    assert same(named(frozen.network), named(learner.network))


def test_nothing_is_carried_into_a_generation():
    learner = made("rwkv7", BORN, carry=True)
    trainer = Trainer(learner)
    run(trainer, 1, 2)
    assert learner.carried is not None
    learner.objectives["born-again"].begins(learner, 3)
    assert learner.carried is None


def test_parameters_of_other_parts_are_not_forgotten():
    """The branches of `one` do not begin anew, and neither does what their optimizer remembers of them."""
    learner = made("gpt", {**BORN, "one": {"branches": 2, "trunk": 1}})
    trainer = Trainer(learner)
    run(trainer, 1, 2)
    trainer._forget()
    remembered = {id(parameter) for parameter in trainer.optimizer.state}
    ours = {id(parameter) for parameter in learner.objectives["one"].parameters()}
    assert remembered
    assert remembered <= ours


def test_the_first_generation_needs_something_to_learn_from():
    learner = made("gpt", {"born-again": {}})
    with pytest.raises(UserError, match=r"objective\.born-again: .* add lm: 1\.0 beside it"):
        Trainer(learner).cycle(1, ALL)


def test_no_gradient_reaches_the_last_generation():
    learner = made("gpt", BORN)
    run(Trainer(learner), 1, 3)
    part, batch = learner.objectives["born-again"], ALL[0]
    asked = [tensor.requires_grad_() for tensor in part.teacher.tensors.values()]
    part.term(learner, batch, learner.read(batch), Moment(0, 4, 0)).backward()
    assert all(isinstance(tensor, nn.Parameter) is False and tensor.grad is None for tensor in asked)
    assert all(parameter.grad is not None for parameter in learner.network.parameters())
