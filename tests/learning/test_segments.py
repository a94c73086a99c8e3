from __future__ import annotations

import numpy as np
import pytest
import torch
from segmented import CLAUSES, LINKS, awake, example, learner, pair
from torch import Tensor

from resonance.errors import UserError
from resonance.learning.affinity import cosines, mean_of_others, mean_where
from resonance.learning.rounds import Rounds
from resonance.learning.segments import LENGTH, Segments, even_pieces, place_of, states

MDLM = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 4, "draws": 4}}


def random_states(length: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(1, length, 8, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("direction", ["1>2", "2>1", "1>1", "2>2"])
def test_a_vector_is_the_mean_over_the_tokens_of_a_clause(direction):
    tokens = pair()
    batch, hidden_BTD = example(tokens, direction), random_states(64)
    hidden_BTD = hidden_BTD[:, : batch.tokens_BT.shape[1]]
    vector_ND, items = Segments(tokens).pooled(batch, hidden_BTD)
    assert items == tuple((text, number) for text in direction[::2] for number in range(len(CLAUSES[text])))
    starts = {"1": [0, 6, 11], "2": [0, 5]}
    for vector_D, (text, number), place in zip(vector_ND, items, range(len(items)), strict=True):
        first = batch.input.start if place < len(CLAUSES[direction[0]]) else batch.prompt
        first += starts[text][number]
        wanted_D = hidden_BTD[0, first : first + CLAUSES[text][number]].mean(0)
        torch.testing.assert_close(vector_D, wanted_D, rtol=0, atol=1e-14)


def test_markers_and_space_between_clauses_count_in_no_segment():
    tokens = pair()
    batch, segments = example(tokens), Segments(tokens)
    hidden_BTD = random_states(batch.tokens_BT.shape[1])
    other_BTD = hidden_BTD.clone()
    outside = [0, 1 + 5, 1 + 10, batch.prompt - 1, batch.prompt + 4, batch.tokens_BT.shape[1] - 1]
    other_BTD[:, outside] += 1e6
    assert torch.equal(segments.pooled(batch, hidden_BTD).vector_ND, segments.pooled(batch, other_BTD).vector_ND)


def test_a_window_has_the_segments_that_stand_in_it():
    tokens = pair(windows=2)
    segments = Segments(tokens)
    assert [segments.items("1", window) for window in (0, 1)] == [(("1", 0),), (("1", 1), ("1", 2))]
    batch = example(tokens, "2>1", window=1)
    hidden_BTD = random_states(batch.tokens_BT.shape[1])
    vector_ND, items = segments.pooled(batch, hidden_BTD)
    assert items == (("2", 1), ("1", 1), ("1", 2))
    torch.testing.assert_close(vector_ND[2], hidden_BTD[0, batch.prompt + 5 : batch.prompt + 11].mean(0))


@pytest.mark.parametrize("windows", [1, 2, 4])
def test_without_clauses_texts_are_cut_into_pieces_of_some_48_tokens(windows):
    tokens = pair(clauses=None, lengths=(400, 333), windows=windows)
    segments = Segments(tokens)
    for text in "12":
        found = np.concatenate([segments.labels[text, window] for window in range(windows)])
        numbers, sizes = np.unique(found, return_counts=True)
        assert numbers.tolist() == list(range(len(numbers)))
        assert (np.diff(found) >= 0).all()
        assert ((sizes >= LENGTH / 2) & (sizes <= 1.5 * LENGTH)).all()


def test_pieces_are_numbered_through_all_windows():
    first, second = even_pieces([100, 10])
    assert np.bincount(first).tolist() == [48, 52]
    assert second.tolist() == [2] * 10


def test_links_hold_in_both_orders_and_between_texts_only():
    segments = Segments(pair())
    for one in range(3):
        for other in range(2):
            wanted = (one, other) in LINKS
            assert segments.linked(("1", one), ("2", other)) is wanted
            assert segments.linked(("2", other), ("1", one)) is wanted
    assert not segments.linked(("1", 0), ("1", 1))


def test_half_precision_is_pooled_in_float32():
    tokens = pair()
    batch = example(tokens)
    hidden_BTD = random_states(batch.tokens_BT.shape[1], torch.bfloat16)
    vector_ND, _ = Segments(tokens).pooled(batch, hidden_BTD)
    assert vector_ND.dtype == torch.float32
    assert torch.equal(vector_ND, Segments(tokens).pooled(batch, hidden_BTD.float()).vector_ND)


def test_a_learner_without_a_pair_has_no_segments():
    with pytest.raises(ValueError, match="told of one"):
        Segments(None)


# ---- states ------------------------------------------------------------------------------------------------------


def test_layers_count_from_0_and_the_last_is_minus_1():
    network = learner({"lm": 1.0}).network
    assert [place_of(layer, network, "key") for layer in (-1, 0, 1)] == [2, 1, 2]
    for layer in (-2, 2):
        with pytest.raises(UserError, match=r"objective.x.layer: the network has no layer -?2; choose from 0 to 1"):
            place_of(layer, network, "objective.x.layer")


def test_a_causal_network_is_read_once_and_a_masked_one_again_as_it_is():
    batch, draws = example(pair()), torch.Generator().manual_seed(0)
    causal = learner({"lm": 1.0})
    output = causal.read(batch, draws=draws)
    assert states(causal, batch, output, 1, "x") is output.hidden[1]
    masked = learner({"lm": 1.0}, network=MDLM)
    output = masked.read(batch, draws=draws)
    assert torch.equal(states(masked, batch, output, 1, "x"), masked.network(batch.tokens_BT).hidden[1])
    assert not torch.equal(states(masked, batch, output, 1, "x"), output.hidden[1])


@pytest.mark.parametrize(
    ("name", "train"), [("loreft", None), ("gpt", {"layers": {"layers": [1]}}), ("rwkv7", {"layers": {"layers": [1]}})]
)
def test_states_that_training_cannot_change_are_refused(name, train):
    made = learner({"lm": 1.0}, name=name, **({"train": train} if train else {}))
    batch = example(pair())
    output = made.read(batch)
    assert states(made, batch, output, 2, "x").requires_grad
    with pytest.raises(UserError, match=r"objective.x.layer: nothing that is trained changes what layer 0 leaves"):
        states(made, batch, output, 1, "x")


def test_where_nothing_is_trained_any_layer_can_be_watched():
    made = awake(learner({}, name="reader"))
    batch = example(pair())
    assert states(made, batch, made.read(batch), 1, "x").shape == (1, batch.tokens_BT.shape[1], 32)


def test_texts_that_the_learner_rewrites_have_no_segments():
    made = learner({}, train={"nothing": {"memory": "text", "target": "free"}})
    batch = example(pair())
    with pytest.raises(UserError, match=r"objective.x reads the segments of the texts, but train.nothing.memory: text"):
        states(made, batch, made.read(batch), 1, "x")


# ---- affinities --------------------------------------------------------------------------------------------------


def test_cosines_and_their_means_are_those_of_the_definition():
    vector_ND = random_states(5)[0]
    found_NN = cosines(vector_ND)
    vectors = vector_ND.numpy()
    wanted = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in vectors] for a in vectors])
    np.testing.assert_allclose(found_NN.numpy(), wanted, atol=1e-14)
    off = ~np.eye(5, dtype=bool)
    assert mean_of_others(found_NN).item() == pytest.approx(wanted[off].mean(), abs=1e-15)
    mask_NN = torch.from_numpy(wanted > 0.3)
    assert mean_where(found_NN, mask_NN).item() == pytest.approx(wanted[wanted > 0.3].mean(), abs=1e-15)
    assert mean_where(found_NN, mask_NN & False).isnan()


# ---- rounds ------------------------------------------------------------------------------------------------------


def test_a_round_keeps_what_its_first_visit_made():
    rounds, tokens = Rounds(4), pair()
    one, other = example(tokens, "1>2"), example(tokens, "2>1")

    def at(batch, cycle):
        return rounds.at(batch, cycle, lambda: torch.tensor(float(cycle), requires_grad=True) * 1)

    assert [at(one, cycle).item() for cycle in (1, 2, 4, 5, 8, 14, 15)] == [1, 1, 1, 5, 5, 14, 14]
    assert at(other, 15) == 15, "every direction for itself"
    assert not at(one, 15).requires_grad


def test_rounds_come_back_as_they_were():
    rounds, again, batch = Rounds(4), Rounds(4), example(pair())
    rounds.at(batch, 6, lambda: torch.ones(2, 3))
    assert {name: tensor.shape for name, tensor in rounds.saved().items()} == {"1>2/0/1": (2, 3)}
    again.restore(rounds.saved())
    assert torch.equal(again.at(batch, 8, lambda: torch.zeros(1)), torch.ones(2, 3))
    assert torch.equal(again.at(batch, 9, lambda: torch.zeros(1)), torch.zeros(1))
