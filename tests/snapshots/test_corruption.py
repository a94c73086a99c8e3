"""Inputs with faults: how many, of which kind, and what stays as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from resonance.learning.batch import Batch
from resonance.snapshots.corruption import KINDS, PERCENT, corrupted, others

BLANK = 3


def example(length: int = 4000) -> Batch:
    """`[BOS] INPUT [DIR] TARGET [EOS]` with 50 kinds of input tokens."""
    draws = torch.Generator().manual_seed(0)
    input_T = torch.randint(10, 60, (length,), generator=draws)
    tokens_BT = torch.cat([torch.tensor([0]), input_T, torch.tensor([1, 5, 6, 7, 2])])[None]
    return Batch(tokens_BT, length + 2, "1>2", 0, input=slice(1, length + 1))


def by_condition(batch: Batch) -> dict[str, Batch]:
    return {one.condition: one for one in corrupted(batch, BLANK)}


def faults(batch: Batch, one: Batch) -> Tensor:
    return batch.tokens_BT[0] != one.tokens_BT[0]


def test_every_kind_at_every_rate() -> None:
    batch = example()
    found = by_condition(batch)
    assert list(found) == [f"corrupted:{kind}-{percent}" for kind in KINDS for percent in PERCENT]
    for condition, one in found.items():
        percent = int(condition.rpartition("-")[2])
        assert faults(batch, one)[1:4001].float().mean() == pytest.approx(percent / 100, abs=0.02)
        assert not faults(batch, one)[[0, *range(4001, 4006)]].any()
        assert replace(one, tokens_BT=batch.tokens_BT, condition="clean") == batch


def test_dropped_tokens_leave_their_place() -> None:
    batch = example()
    one = by_condition(batch)["corrupted:dropped-30"]
    assert (one.tokens_BT[0, faults(batch, one)] == BLANK).all()


def test_tokens_are_replaced_by_others_of_the_same_text_as_often_as_they_stand_there() -> None:
    batch = example()
    one = by_condition(batch)["corrupted:replaced-30"]
    new_F = one.tokens_BT[0, faults(batch, one)]
    assert set(new_F.tolist()) == set(range(10, 60))
    often_T = torch.tensor([7] * 90 + [8] * 5 + [9] * 5)
    new_T = others(often_T, torch.Generator().manual_seed(0))
    assert (new_T != often_T).all()
    assert (new_T[90:] == 7).sum() > 5
    assert others(torch.tensor([4, 4, 4]), torch.Generator()).tolist() == [4, 4, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_rate_adds_faults_to_those_of_a_lower_one(kind: str) -> None:
    batch, found = example(300), by_condition(example(300))
    low, middle, high = (found[f"corrupted:{kind}-{percent}"] for percent in PERCENT)
    for less, more in ((low, middle), (middle, high)):
        assert torch.equal(less.tokens_BT[0, faults(batch, less)], more.tokens_BT[0, faults(batch, less)])
        assert faults(batch, more).sum() > faults(batch, less).sum()


def test_faults_are_the_same_for_all_but_differ_between_windows() -> None:
    batch, found = example(300), by_condition(example(300))
    again = by_condition(batch)
    assert all(torch.equal(again[name].tokens_BT, one.tokens_BT) for name, one in found.items())
    elsewhere = by_condition(replace(batch, window=1))
    assert not any(torch.equal(elsewhere[name].tokens_BT, one.tokens_BT) for name, one in found.items())
