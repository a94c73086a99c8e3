from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from math import log

import anchored
import pytest
import torch
from snapshots.experiments.scenes import TOKENS, learner, planted, scene
from torch import Tensor

from resonance.snapshots.experiments import induction
from resonance.snapshots.experiments.induction import findings, ordinary, questions
from resonance.text.tokenizer import SPECIALS

TOKENIZER = anchored.tokenizer()
CPU = torch.device("cpu")
V = TOKENS.vocabulary


def rows() -> tuple[Tensor, Tensor]:
    """The rows and their controls without [BOS], [8, 2R]."""
    made, controls = questions(TOKENS, TOKENIZER, CPU)
    return tuple(torch.cat([row.tokens_BT[:, 1:] for row in each]) for each in (made, controls))  # type: ignore[return-value]


def means(found) -> dict[str, float]:
    values = defaultdict(list)
    for one in found:
        values[one.quantity].append(one.value)
    return {quantity: sum(each) / len(each) for quantity, each in values.items()}


def test_ordinary_tokens_stand_for_their_own_text() -> None:
    found = list(ordinary(TOKENIZER, torch.Generator().manual_seed(0)))
    assert len(set(found)) == len(found) > 100
    assert {TOKENIZER.entry(name) for name in SPECIALS}.isdisjoint(found)
    texts = [TOKENIZER.decode([token]) for token in found]
    assert TOKENIZER.encode_many(texts) == [[token] for token in found]
    assert "\ufffd" not in "".join(texts)
    assert not any("UNUSED" in text for text in texts)


def test_rows_are_written_twice_and_controls_end_alike() -> None:
    same, control = rows()
    half = induction.HALF
    assert same.shape == control.shape == (induction.ROWS, 2 * half)
    assert torch.equal(same[:, :half], same[:, half:])
    assert torch.equal(same[:, half:], control[:, half:])
    for row, other in zip(same.tolist(), control.tolist(), strict=True):
        assert len(set(row)) == half
        assert set(row).isdisjoint(other[:half])
    assert len(set(same.flatten().tolist())) > 3 * half, "every row has tokens of its own"


def test_what_is_asked_depends_on_the_tokenizer_alone() -> None:
    """Not on the pair's texts, nor on learner or mark."""
    renamed = replace(TOKENS, name="other", rows={}, texts=())
    again, other = (questions(tokens, TOKENIZER, CPU)[0] for tokens in (renamed, replace(TOKENS, tokenizer="another")))
    assert torch.equal(torch.cat([row.tokens_BT[:, 1:] for row in again]), rows()[0])
    assert not torch.equal(torch.cat([row.tokens_BT[:, 1:] for row in other]), rows()[0])


def test_rows_fit_the_longest_sequence() -> None:
    made, _ = questions(replace(TOKENS, context=20), TOKENIZER, CPU)
    assert [row.tokens_BT.shape[1] for row in made] == [19] * induction.ROWS
    assert questions(replace(TOKENS, context=3), TOKENIZER, CPU) == ([], [])
    tiny = scene(learner())
    assert list(findings(replace(tiny, tokens=replace(TOKENS, context=3)))) == []


def continues(tokens_T: Tensor) -> Tensor:
    """Says, with nine tenths, what stood behind the last occurrence of a token; without one, everything alike."""
    logits_TV = torch.zeros(len(tokens_T), V)
    for place, token in enumerate(tokens_T.tolist()):
        before = (tokens_T[:place] == token).nonzero()
        if len(before):
            logits_TV[place, tokens_T[before[-1, 0] + 1]] = log(9 * (V - 1))
    return logits_TV


def repeats_what_is_near(tokens_T: Tensor) -> Tensor:
    """Thinks the token of one place before the likeliest: never right here, and the same in both halves."""
    return torch.nn.functional.one_hot(tokens_T, V) * 5.0


def later(tokens_T: Tensor) -> Tensor:
    """Grows less sure of a wrong token with every place, whatever it reads."""
    logits_TV = torch.zeros(len(tokens_T), V)
    logits_TV[:, 0] = 8 * 0.9 ** torch.arange(len(tokens_T))
    return logits_TV


def test_a_planted_copier_has_the_closed_form() -> None:
    found = means(findings(scene(planted(continues))))
    assert found["first"] == pytest.approx(log(V))
    assert found["other"] == pytest.approx(log(V))
    assert found["second"] == pytest.approx(-log(0.9), rel=1e-5)
    assert found["accuracy"] == 1


def test_who_does_not_look_back_has_nothing() -> None:
    found = means(findings(scene(planted(repeats_what_is_near))))
    assert found["first"] == pytest.approx(found["second"])
    assert found["accuracy"] == 0


def test_what_the_place_does_is_in_the_control_too() -> None:
    found = means(findings(scene(planted(later))))
    assert found["first"] - found["second"] > 0.1
    assert found["other"] == pytest.approx(found["second"])


def test_the_heads_of_a_transformer_are_there_by_layer() -> None:
    made = learner()
    found = [one for one in findings(scene(made)) if one.quantity == "prefix_matching"]
    assert [(one.layer, one.item) for one in found] == [(layer, head) for layer in (1, 2) for head in (0, 1)]
    assert all(0.005 < one.value < 0.06 for one in found), "fresh heads look everywhere"
    assert {one.quantity for one in findings(scene(learner("rwkv7")))} == {"first", "second", "other", "accuracy"}


def test_every_row_alone_gives_the_same() -> None:
    made = learner()
    row = questions(TOKENS, TOKENIZER, CPU)[0][3]
    with torch.no_grad():
        nll_N = made.answer(row).nll_N
    (found,) = (one.value for one in findings(scene(made)) if (one.quantity, one.item) == ("second", 3))
    assert found == pytest.approx(float(nll_N[1:].mean()), rel=1e-5)


def test_what_is_carried_stands_before_every_row_and_stays() -> None:
    made = learner("reader")
    with torch.no_grad():
        for parameter in made.network.parameters():  # a fresh RWKV-7 does not heed its state yet
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9))
        fresh = means(findings(scene(made)))
        at = scene(made)
        made.carry_on(at.examples[0], made.read(at.examples[0]))
        kept = {name: tensor.clone() for name, tensor in made.carried.items()}
        behind, again = means(findings(at)), means(findings(at))
    assert behind["first"] != pytest.approx(fresh["first"], rel=1e-6)
    assert behind == again
    assert all(torch.equal(made.carried[name], tensor) for name, tensor in kept.items())


def test_of_networks_that_are_not_causal_there_is_nothing() -> None:
    small = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 4, "draws": 4}}
    assert list(findings(scene(learner(network=small)))) == []


def test_edits_are_part_of_the_learner() -> None:
    made = learner("loreft")
    before = means(findings(scene(made)))
    with torch.no_grad():
        for parameter in made.scope.parameters():
            parameter += 0.5
    after = means(findings(scene(made)))
    assert {name for name in before if after[name] != before[name]} >= {"first", "second", "prefix_matching"}


def test_without_a_tokenizer_there_is_no_answer() -> None:
    with pytest.raises(ValueError, match="without the tokenizer"):
        list(findings(replace(scene(learner()), tokenizer=None)))
