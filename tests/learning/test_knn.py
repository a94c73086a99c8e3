"""Distillation from the nearest neighbours among the pair's own target tokens."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ARTICLE, META, tiny
from torch import Tensor
from torch.nn.functional import kl_div

from resonance.errors import UserError
from resonance.learning.batch import Batch, batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objectives.knn import Knn, rows
from resonance.networks.network import Output
from resonance.networks.tensors import named
from resonance.params import DIRECTIONS
from resonance.text.facts import facts
from resonance.text.pair import Pair
from resonance.text.prompt import prompt
from resonance.text.tokenizer import read_tokenizer
from resonance.text.tokens import Tokens, as_tokens, tokenize
from resonance.training.step import Trainer

MIXED = {"lm": 0.5, "knn": {"weight": 0.5, "every": 2, "neighbours": 8}}


def cut(tokens_file: Path, context: int) -> Tokens:
    """The first half of the tiny pair, in as many windows as a context makes."""
    tokenizer = read_tokenizer(tokens_file.with_name("tokenizer.json"))
    texts = {"1": ARTICLE[: len(ARTICLE) // 2], "2": META[: len(META) // 2]}
    table = tokenize(Pair("tiny", texts, {}, [], [], {}, []), tokenizer, context)
    return as_tokens(table, facts(table))


@pytest.fixture(scope="module")
def tokens(tokens_file: Path) -> Tokens:
    return cut(tokens_file, 512)


@pytest.fixture(scope="module")
def windowed(tokens_file: Path) -> Tokens:
    return cut(tokens_file, 32)


def made(tokens: Tokens, name: str = "gpt", objective: object = MIXED, **changes: object) -> Learner:
    return Learner(tiny(name, objective=objective, **changes), tokens.vocabulary, seed=0, base=None, tokens=tokens)


def examples(tokens: Tokens, window: int = 0) -> list[Batch]:
    cpu = torch.device("cpu")
    return [batch(prompt(tokens, direction, "relation", window), direction, window, cpu) for direction in DIRECTIONS]


def teacher(learner: Learner) -> Knn:
    part = learner.objectives["knn"]
    assert isinstance(part, Knn)
    return part


def term(learner: Learner, example: Batch, output: Output | None = None) -> Tensor:
    return teacher(learner).term(learner, example, output or learner.read(example), Moment(0, 1, 0))


# ---- what is taught ----------------------------------------------------------------------------------------------


def test_the_teacher_by_hand(tokens):
    """Keys, places, neighbours and weights in numpy, from nothing but the hidden states of four passes."""
    learner = made(tokens, objective={"knn": {"neighbours": 8, "temperature": 12.0}})
    keys, following, places = [], [], []
    first = {"1": 0, "2": 10_000}
    for example in examples(tokens):
        states = learner.read(example).hidden[-1][0, example.prompt - 1 : -1].detach().double().numpy()
        centred = states - states.mean(1, keepdims=True)
        keys.append(centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5))
        following += example.target_BT[0].tolist()
        places.append(first[example.direction[-1]] + np.arange(len(states)))
    key_RD, place_R = np.concatenate(keys), np.concatenate(places)
    start = 0
    for example in examples(tokens):
        term(learner, example)
        p_NV = teacher(learner).taught(example, tokens.vocabulary)
        for query in range(len(p_NV)):
            distance = ((key_RD - key_RD[start + query]) ** 2).sum(1)
            distance[place_R == place_R[start + query]] = np.inf
            nearest = np.argsort(distance)[:8]
            share = np.exp(-distance[nearest] / 12.0)
            wanted_V = np.zeros(tokens.vocabulary)
            np.add.at(wanted_V, np.array(following)[nearest], share / share.sum())
            np.testing.assert_allclose(p_NV[query].numpy(), wanted_V, atol=1e-5)
        start += len(p_NV)


def test_the_term_is_the_mean_divergence(tokens):
    learner, example = made(tokens), examples(tokens)[0]
    output = learner.read(example)
    found = term(learner, example, output)
    p_NV = teacher(learner).taught(example, tokens.vocabulary)
    log_q_NV = example.predictions(output.logits_BTV)[0].log_softmax(-1)
    torch.testing.assert_close(p_NV.sum(1), torch.ones(len(p_NV)))
    torch.testing.assert_close(found, kl_div(log_q_NV, p_NV, reduction="batchmean"), atol=1e-6, rtol=1e-6)


def test_a_learner_that_says_what_it_is_taught_has_nothing_to_learn(tokens):
    learner, example = made(tokens), examples(tokens)[0]
    term(learner, example)
    logits_BTV = torch.zeros(1, example.tokens_BT.shape[1], tokens.vocabulary)
    p_NV = teacher(learner).taught(example, tokens.vocabulary)
    logits_BTV[:, example.prompt - 1 : -1] = p_NV.clamp(min=1e-30).log()
    assert float(term(learner, example, Output((), logits_BTV))) == pytest.approx(0, abs=1e-6)


def test_its_gradient_is_what_is_said_minus_what_is_taught(tokens):
    learner, example = made(tokens), examples(tokens)[0]
    logits_BTV = learner.read(example).logits_BTV.detach().requires_grad_()
    term(learner, example, Output((), logits_BTV)).backward()
    p_NV = teacher(learner).taught(example, tokens.vocabulary)
    said_NV = example.predictions(logits_BTV.detach())[0].softmax(-1)
    torch.testing.assert_close(example.predictions(logits_BTV.grad)[0], (said_NV - p_NV) / len(p_NV))
    assert not any(buffer.requires_grad for buffer in teacher(learner).buffers())


def test_no_label_is_given_away(tokens):
    """A token that stands at one place only is never taught there, though its key stands in the datastore twice."""
    objective = {"lm": 1.0, "knn": {"weight": 0, "every": 5}}
    trainer = Trainer(made(tokens, objective=objective, optimizer={"adamw": {"lr": 0.01}}))
    for cycle in range(1, 21):
        trainer.cycle(cycle, examples(tokens))
    standing = torch.cat([example.target_BT[0] for example in examples(tokens)]).bincount(minlength=tokens.vocabulary)
    once, often = 0, []
    for example in examples(tokens):
        p_NV = teacher(trainer.learner).taught(example, tokens.vocabulary)
        label_N = p_NV.gather(1, example.target_BT[0][:, None])[:, 0]
        alone_N = standing[example.target_BT[0]] == 2
        assert label_N[alone_N].max() == 0
        once += int(alone_N.sum())
        often.append(label_N[~alone_N])
    assert once > 20
    assert torch.cat(often).mean() > 0.2, "others are found among tokens that stand elsewhere too"


def test_places_are_those_of_the_target_text(windowed):
    assert windowed.windows > 1
    own, place_R = rows(windowed)
    assert list(own) == [(direction, window) for direction in DIRECTIONS for window in range(windowed.windows)]
    assert sum(part.stop - part.start for part in own.values()) == len(place_R)
    for window in range(windowed.windows):
        for example in examples(windowed, window):
            part = own[example.direction, window]
            assert part.stop - part.start == example.target_BT.shape[1]
        assert torch.equal(place_R[own["1>2", window]], place_R[own["2>2", window]])
        assert torch.equal(place_R[own["2>1", window]], place_R[own["1>1", window]])
    assert place_R.unique().tolist() == place_R.sort().values[::2].tolist(), "every place stands twice"


def test_all_windows_are_in_the_datastore(windowed):
    learner = made(windowed)
    last = windowed.windows - 1
    term(learner, examples(windowed, last)[1])
    for window in range(windowed.windows):
        for example in examples(windowed, window):
            p_NV = teacher(learner).taught(example, windowed.vocabulary)
            torch.testing.assert_close(p_NV.sum(1), torch.ones(example.target_BT.shape[1]))


# ---- when it is taught -------------------------------------------------------------------------------------------


def test_the_first_teacher_is_the_untouched_learner(tokens):
    untouched, trained = made(tokens), made(tokens)
    teacher(untouched).rebuild(untouched)
    Trainer(trained).cycle(1, examples(tokens))
    assert torch.equal(teacher(trained).weight_RM, teacher(untouched).weight_RM)
    assert torch.equal(teacher(trained).token_RM, teacher(untouched).token_RM)
    teacher(trained).rebuild(trained)
    assert not torch.equal(teacher(trained).weight_RM, teacher(untouched).weight_RM)


def test_it_is_rebuilt_after_every_second_cycle(tokens):
    trainer = Trainer(made(tokens))
    seen = []
    for cycle in range(1, 6):
        trainer.cycle(cycle, examples(tokens))
        seen.append(teacher(trainer.learner).weight_RM)
    same = [torch.equal(*two) for two in pairwise(seen)]
    assert same == [False, True, False, True]


CASES = {
    "gpt": {},
    "cycle": {"name": "gpt", "update": "cycle"},
    "loreft": {"name": "loreft"},
    "carrying": {"name": "rwkv7", "carry": True},
    "reader": {"name": "reader"},
    "context": {"name": "gpt", "train": {"nothing": {"memory": "context", "window": 16}}},
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_as_if_it_had_never_stopped(tokens, case):
    whole = Trainer(made(tokens, **CASES[case]))
    for cycle in (1, 2, 3):
        whole.cycle(cycle, examples(tokens))
    saved = {name: tensor.clone() for name, tensor in whole.saved().items()}
    again = Trainer(made(tokens, **CASES[case]))
    again.restore(saved)
    for cycle in (4, 5):
        found, wanted = again.cycle(cycle, examples(tokens)), whole.cycle(cycle, examples(tokens))
        assert found[0] == wanted[0]
        assert torch.equal(found[1], wanted[1])
        assert found[1][:, found[0].index("term.knn")].min() > 0
    assert all(torch.equal(again.saved()[name], tensor) for name, tensor in whole.saved().items())


def test_what_is_minimised_is_the_weighted_sum(tokens):
    alone = {}
    for objective in ({"lm": 1.0}, {"knn": 1.0}, {"lm": 0.25, "knn": 2.0}):
        learner = made(tokens, objective=objective)
        example = examples(tokens)[0]
        output = learner.read(example)
        loss = sum(p.weight * p.term(learner, example, output, Moment(0, 1, 0)) for p in learner.objectives.values())
        loss.backward()
        alone[tuple(objective)] = torch.cat([p.grad.flatten() for p in learner.network.parameters()])
    torch.testing.assert_close(alone["lm", "knn"], 0.25 * alone[("lm",)] + 2 * alone[("knn",)], atol=1e-6, rtol=1e-4)


def test_where_nothing_is_trained_nothing_moves(tokens):
    trainer = Trainer(made(tokens, "gpt", train="nothing"))
    before = {name: tensor.clone() for name, tensor in named(trainer.learner.network).items()}
    values = [trainer.cycle(cycle, examples(tokens))[1] for cycle in (1, 2, 3)]
    assert torch.equal(values[0], values[2])
    assert all(torch.equal(tensor, before[name]) for name, tensor in named(trainer.learner.network).items())


def test_it_learns_what_it_is_taught(tokens):
    settings = {"knn": {"every": 1000, "neighbours": 4}}
    trainer = Trainer(made(tokens, objective=settings, optimizer={"adamw": {"lr": 0.01}}))
    seen = []
    for cycle in range(1, 31):
        names, values = trainer.cycle(cycle, examples(tokens))
        seen.append(float(values[:, names.index("term.knn")].mean()))
    assert seen[-1] < 0.25 * seen[0]


def test_a_mark_holds_no_teacher(tokens):
    trainer = Trainer(made(tokens))
    trainer.cycle(1, examples(tokens))
    assert not any("knn" in name for name in trainer.learner.marked())
    kept = {name for name in trainer.learner.saved() if "knn" in name}
    assert kept == {f"objective/knn/{name}" for name in ("token_RM", "weight_RM", "temperature")}


# ---- what is said of it ------------------------------------------------------------------------------------------


def test_what_stands_in_the_log(tokens):
    trainer = Trainer(made(tokens, objective={"lm": 0.5, "knn": {"neighbours": 32}}))
    names, values = trainer.cycle(1, examples(tokens))
    logged = {name: values[:, names.index(f"knn.{name}")] for name in ("label", "neighbours", "temperature")}
    for slot, example in enumerate(examples(tokens)):
        p_NV = teacher(trainer.learner).taught(example, tokens.vocabulary)
        label_N = p_NV[torch.arange(len(p_NV)), example.target_BT[0]]
        assert float(logged["label"][slot]) == pytest.approx(float(label_N.mean()), rel=1e-6)
    assert 5 < logged["neighbours"].median() < 7
    assert logged["temperature"].unique().tolist() == [float(teacher(trainer.learner).temperature)]


def test_a_given_temperature_stays(tokens):
    trainer = Trainer(made(tokens, objective={"knn": {"temperature": 16.0, "every": 1}}))
    for cycle in (1, 2):
        names, values = trainer.cycle(cycle, examples(tokens))
        assert values[:, names.index("knn.temperature")].tolist() == [16.0] * 4


def test_in_double_precision(tokens):
    learner = made(tokens)
    learner.network.double()
    found = term(learner, examples(tokens)[0])
    assert found.dtype == torch.float64
    assert found > 0


def test_half_precision_makes_a_teacher_in_full(tokens):
    settings = tiny("gpt", objective=MIXED)
    learner = Learner(settings, tokens.vocabulary, 0, None, precision="bf16", tokens=tokens)
    assert term(learner, examples(tokens)[0]).isfinite()
    assert teacher(learner).weight_RM.dtype == torch.float32


def test_a_network_that_fills_masks_has_no_such_teacher(tokens):
    network = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 4, "draws": 4}}
    with pytest.raises(UserError, match=r"objective\.knn: a network that fills masks"):
        made(tokens, "gpt", network=network)


def test_without_the_pair_there_is_nothing_to_look_up(tokens):
    with pytest.raises(ValueError, match="give its tokens"):
        Learner(tiny("gpt", objective=MIXED), tokens.vocabulary, seed=0, base=None)
