"""Exact search for neighbours, what it leaves out, and the distribution that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from resonance.learning.datastore import (
    Datastore,
    chosen_temperature,
    counted,
    distribution,
    key,
    weights,
)

VOCABULARY = 7


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def datastore(count: int = 40, width: int = 6, dtype: torch.dtype = torch.float64) -> Datastore:
    """Every place stands twice, `count / 2` apart."""
    token_K = torch.randint(VOCABULARY, (count // 2,), generator=torch.Generator().manual_seed(1)).repeat(2)
    return Datastore(drawn(count, width, dtype=dtype), token_K, torch.arange(count // 2).repeat(2))


def planted(count: int = 12) -> Datastore:
    """Near twins in two directions, each before a token that stands nowhere else; all the rest is far away."""
    key_KD = drawn(count, 4)
    twin_KD = key_KD + 1e-3 * drawn(count, 4, seed=1)
    return Datastore(torch.cat([key_KD, twin_KD]), torch.arange(count).repeat(2), torch.arange(count).repeat(2))


def by_hand(store: Datastore, neighbours: int, temperature: float, alone: bool) -> NDArray[np.float64]:
    """The published formula in numpy: softmax(-d / T) over the nearest, added up by token; one query at a time."""
    keys, tokens, places = (tensor.numpy() for tensor in (store.key_KD, store.token_K, store.place_K))
    p_NV = np.zeros((len(keys), VOCABULARY))
    for query in range(len(keys)):
        distance = ((keys[query].astype(np.float64) - keys) ** 2).sum(1)
        if alone:
            distance[places == places[query]] = np.inf
        nearest = np.argsort(distance)[:neighbours]
        share = np.exp(-(distance[nearest] - distance[nearest].min()) / temperature)
        np.add.at(p_NV[query], tokens[nearest], share / share.sum())
    return p_NV


def looked_up(store: Datastore, neighbours: int, temperature: float, alone: bool) -> Tensor:
    distance_NM, token_NM = store.nearest(store.key_KD, neighbours, store.place_K if alone else None)
    return distribution(token_NM, weights(distance_NM, temperature), VOCABULARY)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("neighbours", "temperature"), [(1, 1.0), (8, 0.5), (16, 16.0), (38, 3.0)])
def test_the_distribution_is_the_published_one(neighbours, temperature, alone, dtype, tolerance):
    store = datastore(dtype=dtype)
    found = looked_up(store, neighbours, temperature, alone)
    assert found.dtype == dtype
    torch.testing.assert_close(found.sum(1), torch.ones(40, dtype=dtype), atol=tolerance, rtol=0)
    np.testing.assert_allclose(found.numpy(), by_hand(store, neighbours, temperature, alone), atol=tolerance)


def test_a_case_that_can_be_done_by_hand():
    """Keys on a line at 0, 1, 2, 4 before tokens 0, 1, 0, 2; asked at 1, T = 2: exp(-1/2), exp(0), exp(-1/2)."""
    store = Datastore(torch.tensor([[0.0], [1.0], [2.0], [4.0]]), torch.tensor([0, 1, 0, 2]), torch.arange(4))
    distance_NM, token_NM = store.nearest(torch.tensor([[1.0]]), 3)
    assert distance_NM.tolist() == [[0, 1, 1]]
    assert token_NM.tolist() == [[1, 0, 0]]
    weight_NM = weights(distance_NM, 2.0)
    p_NV = distribution(token_NM, weight_NM, 4)
    torch.testing.assert_close(p_NV, torch.tensor([[0.548137, 0.451863, 0, 0]]))
    torch.testing.assert_close(counted(weight_NM), torch.tensor([2.910852]))


def test_hot_neighbours_all_count_the_same():
    store = datastore()
    _, token_NM = store.nearest(store.key_KD, 16, store.place_K)
    histogram_NV = torch.stack([row.bincount(minlength=VOCABULARY) for row in token_NM]) / 16
    torch.testing.assert_close(looked_up(store, 16, 1e9, alone=True), histogram_NV.double(), atol=1e-6, rtol=0)


def test_the_nearest_of_all_gives_the_label_away():
    """What would leak: a query that sees its own key is told its own token."""
    store = datastore()
    label_NV = torch.nn.functional.one_hot(store.token_K, VOCABULARY)
    assert torch.equal(looked_up(store, 1, 1.0, alone=False), label_NV.double())


def test_leaving_out_takes_the_label_away_where_its_twin_would_tell_it():
    store = planted()

    def label(distance_NM: Tensor, token_NM: Tensor) -> Tensor:
        p_NV = distribution(token_NM, weights(distance_NM, 0.1), 12)
        return p_NV.gather(1, store.token_K[:, None])[:, 0]

    distance_NM, token_NM = store.nearest(store.key_KD, 8)
    assert label(distance_NM, token_NM).min() > 0.6
    itself_left_out = label(distance_NM[:, 1:], token_NM[:, 1:])
    assert itself_left_out.min() > 0.6, "the twin tells it all the same"
    assert label(*store.nearest(store.key_KD, 8, store.place_K)).max() == 0


def test_equally_near_keys_come_in_the_order_in_which_they_were_put_in():
    key_KD = torch.zeros(3000, 2)
    key_KD[2000:] = 1.0
    store = Datastore(key_KD, torch.arange(3000), torch.arange(3000))
    distance_NM, token_NM = store.nearest(torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]]), 1200)
    assert torch.equal(token_NM[0], torch.arange(1200))
    assert torch.equal(token_NM[1], torch.cat([torch.arange(2000, 3000), torch.arange(200)]))
    assert torch.equal(token_NM[2], torch.arange(1200))
    torch.testing.assert_close(distance_NM[1, [999, 1000]], torch.tensor([0.0, 2.0]))


def test_far_from_the_origin_near_keys_are_told_apart():
    """|q|² - 2 q k + |k|² would be 0 or noise here."""
    key_KD = torch.full((3, 8), 1000.0)
    key_KD[:, 0] += torch.tensor([0.0, 0.125, 0.25])
    store = Datastore(key_KD, torch.arange(3), torch.arange(3))
    distance_NM, _ = store.nearest(key_KD[:1], 3)
    torch.testing.assert_close(distance_NM, torch.tensor([[0, 0.015625, 0.0625]]))


def test_where_few_keys_are_left_all_are_neighbours():
    store = datastore(6)
    distance_NM, token_NM = store.nearest(store.key_KD, 32, store.place_K)
    assert distance_NM.shape == token_NM.shape == (6, 4)
    assert distance_NM.isfinite().all()
    with pytest.raises(ValueError, match="a query has no neighbours"):
        datastore(2).nearest(drawn(1, 6), 1, torch.tensor([0]))


def test_the_chosen_temperature_lets_six_count():
    store = datastore(200)
    distance_NM, _ = store.nearest(store.key_KD, 32, store.place_K)
    temperature = chosen_temperature(distance_NM)
    found = counted(weights(distance_NM, temperature))
    assert found.median() == pytest.approx(6.0, abs=1e-6)
    assert found.min() >= 1
    assert found.max() <= 32
    torch.testing.assert_close(chosen_temperature(distance_NM * 1e6), temperature * 1e6)
    torch.testing.assert_close(chosen_temperature(distance_NM.float()), temperature.float())


@pytest.mark.parametrize(("neighbours", "wanted"), [(1, 1.0), (2, 1.5), (5, 3.0), (11, 6.0)])
def test_of_few_neighbours_half_count(neighbours, wanted):
    store = datastore(200)
    distance_NM, _ = store.nearest(store.key_KD, neighbours, store.place_K)
    found = counted(weights(distance_NM, chosen_temperature(distance_NM))).median()
    assert found == pytest.approx(wanted, abs=1e-6)


def test_equal_distances_need_no_temperature():
    distance_NM = torch.full((5, 4), 2.5)
    assert chosen_temperature(distance_NM) == 1
    assert torch.equal(weights(distance_NM, chosen_temperature(distance_NM)), torch.full((5, 4), 0.25))


def test_neighbours_before_the_same_token_add_up():
    token_NM = torch.tensor([[3, 1, 3, 3], [0, 0, 0, 0]])
    weight_NM = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]])
    wanted_NV = torch.tensor([[0, 0.25, 0, 0.75, 0], [1.0, 0, 0, 0, 0]])
    assert torch.equal(distribution(token_NM, weight_NM, 5), wanted_NV)


def test_a_key_has_lost_the_norm_of_its_state():
    hidden_ND = 5 + 3 * drawn(10, 64)
    key_ND = key(hidden_ND)
    torch.testing.assert_close(key_ND, key(hidden_ND * 100), atol=1e-5, rtol=0)
    centred_ND = hidden_ND - hidden_ND.mean(1, keepdim=True)
    cosine_N = torch.cosine_similarity(centred_ND[:1], centred_ND[1:])
    distance_N = (key_ND[:1] - key_ND[1:]).square().sum(1)
    torch.testing.assert_close(distance_N, 2 * 64 * (1 - cosine_N), atol=1e-3, rtol=1e-4)
    assert key(hidden_ND.bfloat16()).dtype == torch.float32
