"""Levels, rounding, gradients and clipping of fake quantisation, each against its formula written out."""

from __future__ import annotations

import math
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from resonance.learning.quantisation import EDGES, LEVELS, SHARES, clipped, grouped, moments, nearest, quantised

FORMATS = ("int2", "int3", "nf3")


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def by_hand(weights: list[float], kind: str) -> list[float]:
    """One group, number by number."""
    low, high = min(0.0, *weights), max(0.0, *weights)
    if kind == "nf3":
        found = []
        for weight in weights:
            scale = high if weight >= 0 else -low
            share = weight / scale if scale else 0.0
            found.append(LEVELS[sum(share >= edge for edge in EDGES)] * scale)
        return found
    steps = {"int2": 3, "int3": 7}[kind]
    scale = max(high - low, 1e-5) / steps
    zero = -round(low / scale)
    whole = [math.copysign(math.floor(abs(weight / scale) + 0.5), weight) for weight in weights]
    return [(min(max(each + zero, 0), steps) - zero) * scale for each in whole]


# ---- levels and rounding -----------------------------------------------------------------------------------------


def test_halves_are_rounded_away_from_zero():
    x = torch.tensor([-2.5, -1.5, -0.5, -0.4, 0.0, 0.5, 0.6, 1.5, 2.4999], requires_grad=True)
    assert nearest(x).tolist() == [-3, -2, -1, 0, 0, 1, 1, 2, 2]
    nearest(x).sum().backward()
    assert (x.grad == 1).all()


def test_even_levels_on_a_group_that_is_easily_reckoned():
    """s = 1 and z = 1: the levels are -1, 0, 1, 2, and -0.5 lies between two of them."""
    row = torch.tensor([[-1.0, -0.5, -0.4, 0.5, 0.7, 1.49, 2.0]])
    assert quantised(row, "int2", 7).tolist() == [[-1, -1, 0, 1, 1, 1, 2]]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("scale", [1e-7, 1e-2, 1.0, 1e3])
def test_every_weight_is_where_its_formula_puts_it(kind, scale):
    """Also halves of a step, which random weights never are."""
    weight_OI = drawn(6, 24) * scale
    weight_OI[0] = torch.arange(-12, 12, dtype=torch.float64) / 2 * scale
    weight_OI[1] = torch.arange(-12, 12, dtype=torch.float64).flip(0) / 8 * scale
    found = quantised(weight_OI, kind, 8)
    wanted = [by_hand(group.tolist(), kind) for group in weight_OI.reshape(-1, 8)]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64).view(6, 24), rtol=1e-13, atol=1e-300)


def test_the_levels_of_the_normal_float_are_quantiles():
    """Of N(0, 1), equally far apart in probability from 0 to the outermost one (QLoRA, arXiv 2305.14314)."""
    outer = 1 - (1 / 16 + 1 / 14) / 2
    sides = []
    for count in (4, 3):
        shares = torch.linspace(0.5, outer, count + 1, dtype=torch.float64)[1:]
        quantiles = torch.special.ndtri(shares)
        sides.append(quantiles / quantiles[-1])
    upper, lower = sides
    wanted = torch.cat([-lower.flip(0), torch.zeros(1, dtype=torch.float64), upper])
    torch.testing.assert_close(torch.tensor(LEVELS, dtype=torch.float64), wanted, rtol=0, atol=1e-7)
    assert [(below + above) / 2 for below, above in pairwise(LEVELS)] == list(EDGES)


def test_halfway_between_two_normal_levels_the_upper_one_is_taken():
    row = torch.tensor([[-1.0, *EDGES, 1.0]], dtype=torch.float64)
    assert quantised(row, "nf3", 9).tolist() == [[-1.0, *LEVELS[1:], 1.0]]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_group_has_no_more_values_than_its_bits_allow(kind, dtype):
    weight_OI = drawn(16, 256, dtype=dtype)
    found = quantised(weight_OI, kind, 64)
    assert found.dtype == dtype
    counts = [len(group.unique()) for group in found.reshape(-1, 64)]
    assert max(counts) == 2 ** int(kind[-1])
    assert len(found.unique()) > 100, "groups do not share their levels"


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_rounded_stays_when_it_is_rounded_again(kind):
    once = quantised(drawn(8, 64), kind, 16)
    torch.testing.assert_close(quantised(once, kind, 16), once, rtol=1e-12, atol=1e-15)


# ---- groups that published code stumbles over ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_weights_of_one_sign_are_rounded_within_a_range_that_reaches_zero(kind, sign):
    row = sign * torch.tensor([[0.31, 0.32, 0.35, 0.4, 0.45, 0.5, 0.59, 0.6]], dtype=torch.float64)
    found = quantised(row, kind, 8)
    widest = {"int2": 0.1, "int3": 0.3 / 7, "nf3": 0.6 * (1 - LEVELS[6]) / 2 if sign > 0 else 0.3 * (1 + LEVELS[1])}
    assert (found - row).abs().max() <= widest[kind] + 1e-12


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("value", [0.3, -0.3, 1e-3, -7.0])
def test_a_constant_group_is_met_exactly(kind, value):
    row = torch.full((2, 8), value, dtype=torch.float64)
    torch.testing.assert_close(quantised(row, kind, 8), row, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zeros_stay_zeros_and_learn(kind, dtype):
    """A matrix that starts at zero (the outputs of RWKV-7) must be able to leave it."""
    weight_OI = torch.zeros(2, 8, dtype=dtype, requires_grad=True)
    pull_OI = drawn(2, 8, dtype=dtype)
    found = quantised(weight_OI, kind, 4)
    assert (found == 0).all()
    (found * pull_OI).sum().backward()
    torch.testing.assert_close(weight_OI.grad, pull_OI)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_largest_or_the_least_weight_may_be_zero(kind):
    rows = torch.tensor([[0.0, 0.2, 0.6, 0.9], [0.0, -0.2, -0.6, -0.9]], dtype=torch.float64, requires_grad=True)
    found = quantised(rows, kind, 4)
    found.sum().backward()
    assert found[:, 0].eq(0).all()
    torch.testing.assert_close(found[:, 3], rows[:, 3])
    assert rows.grad.isfinite().all()


# ---- groups --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_groups_are_runs_of_a_row_and_the_last_may_be_shorter(kind):
    weight_OI = drawn(5, 40)
    parts = [quantised(part, kind, 16) for part in weight_OI.split(16, dim=1)]
    assert [part.shape[1] for part in parts] == [16, 16, 8]
    torch.testing.assert_close(quantised(weight_OI, kind, 16), torch.cat(parts, dim=1), rtol=0, atol=0)
    torch.testing.assert_close(quantised(weight_OI, kind, 128), quantised(weight_OI, kind, 40), rtol=0, atol=0)
    assert grouped(weight_OI, 128).shape == (5, 1, 40)


# ---- gradients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["int2", "int3"])
def test_gradients_of_even_levels_go_through_weight_and_scale(kind):
    """Q = (clamp(Rnd(w / s) + z) - z) s: Rnd passes gradients on, clamp where it does nothing, z none."""
    steps = 2 ** int(kind[-1]) - 1
    weight_OI, pull_OI = drawn(64, 8).requires_grad_(), drawn(64, 8, seed=1)
    with torch.no_grad():
        weight_OI[0] = torch.tensor([-0.5, steps - 0.5, 1.0, 0.4, 0.6, 2.0, 0.1, 0.2])  # s = 1, z = 0: -0.5 is clamped
    (quantised(weight_OI, kind, 8) * pull_OI).sum().backward()
    weight = weight_OI.detach()
    scale_O1 = (weight.amax(1, keepdim=True) - weight.amin(1, keepdim=True)) / steps
    zero_O1 = -(weight.amin(1, keepdim=True) / scale_O1).round()
    whole_OI = nearest(weight / scale_O1) + zero_O1
    free_OI = (whole_OI >= 0) & (whole_OI <= steps)
    assert not free_OI.all()
    by_scale_O = (pull_OI * (whole_OI.clamp(0, steps) - zero_O1 - weight / scale_O1 * free_OI)).sum(1)
    wanted_OI = pull_OI * free_OI
    rows = torch.arange(64)
    wanted_OI[rows, weight.argmax(1)] += by_scale_O / steps
    wanted_OI[rows, weight.argmin(1)] -= by_scale_O / steps
    torch.testing.assert_close(weight_OI.grad, wanted_OI, rtol=1e-12, atol=1e-12)
    assert by_scale_O.abs().median() > 0.1, "a gradient that ignored the scale would be another one"


def test_gradients_of_normal_levels_go_through_weight_and_both_scales():
    weight_OI, pull_OI = drawn(64, 8).requires_grad_(), drawn(64, 8, seed=1)
    (quantised(weight_OI, "nf3", 8) * pull_OI).sum().backward()
    weight = weight_OI.detach()
    mixed_O = (weight.amax(1) > 0) & (weight.amin(1) < 0)
    wanted_OI, rows = pull_OI.clone(), torch.arange(64)
    for upper, place_O in ((weight >= 0, weight.argmax(1)), (weight < 0, weight.argmin(1))):
        scale_O1 = weight[rows, place_O].abs()[:, None]
        share_OI = weight / scale_O1
        level_OI = quantised(weight, "nf3", 8) / scale_O1
        wanted_OI[rows, place_O] += (pull_OI * (level_OI - share_OI) * upper).sum(1) * weight[rows, place_O].sign()
    assert mixed_O.sum() > 50
    torch.testing.assert_close(weight_OI.grad[mixed_O], wanted_OI[mixed_O], rtol=1e-12, atol=1e-12)
    assert (weight_OI.grad - pull_OI).abs().max() > 0.1


# ---- clipping ------------------------------------------------------------------------------------------------------


def loss(weight_OI: Tensor, like_OI: Tensor, inputs_NI: Tensor, kind: str, group: int) -> Tensor:
    """What rounding does to the outputs of every row and group, [O, G]."""
    change = (quantised(weight_OI, kind, group) - like_OI).split(group, dim=1)
    inputs = inputs_NI.split(group, dim=1)
    return torch.stack([(x @ d.mT).square().sum(0) for x, d in zip(inputs, change, strict=True)], dim=1)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("group", [16, 64, 20])
def test_clipping_never_makes_outputs_worse_and_often_better(kind, group):
    weight_OI, inputs_NI = drawn(24, 40) ** 3, drawn(50, 40, seed=1) @ drawn(40, 40, seed=2)
    found = clipped(weight_OI, moments(inputs_NI, group), kind, group)
    before, after = (loss(each, weight_OI, inputs_NI, kind, group) for each in (weight_OI, found))
    assert (after <= before * (1 + 1e-9)).all()
    assert (after < 0.9 * before).float().mean() > 0.3
    assert found.abs().max() <= weight_OI.abs().max()
    if group == 64:
        whole = [((quantised(w, kind, 64) - weight_OI) @ inputs_NI.mT).square().sum() for w in (weight_OI, found)]
        assert whole[1] < 0.9 * whole[0], "one group: that is the whole output"


@pytest.mark.parametrize("kind", FORMATS)
def test_clipping_finds_the_best_of_all_pairs_of_shares(kind):
    weight_OI, inputs_NI = drawn(3, 8), drawn(30, 8, seed=1)
    wanted_OI = weight_OI.clone()
    for row in range(3):
        tried = {}
        for up, down in product(range(10), range(10)):
            high, low = weight_OI[row].max() * (1 - up / 20), weight_OI[row].min() * (1 - down / 20)
            clip_1I = weight_OI[row : row + 1].clamp(low, high)
            change_1I = quantised(clip_1I, kind, 8) - weight_OI[row]
            tried[float((inputs_NI @ change_1I.mT).square().sum())] = clip_1I[0]
        wanted_OI[row] = tried[min(tried)]
    assert not torch.equal(wanted_OI, weight_OI)
    found = clipped(weight_OI, moments(inputs_NI, 8), kind, 8)
    torch.testing.assert_close(found, wanted_OI, rtol=0, atol=0)
    assert SHARES[0] == 1
    assert SHARES[-1] == pytest.approx(0.55)


@pytest.mark.parametrize("kind", FORMATS)
def test_weights_that_lose_nothing_are_not_clipped(kind):
    """They lie on their levels; or nothing is known of their inputs."""
    levels = quantised(drawn(4, 16, dtype=torch.float32), kind, 16)
    assert torch.equal(clipped(levels, moments(drawn(20, 16, seed=1), 16), kind, 16), levels)
    weight_OI = drawn(4, 16, dtype=torch.float32)
    silent = moments(torch.zeros(3, 16), 16)
    assert torch.equal(clipped(weight_OI, silent, kind, 16), weight_OI)


def test_moments_of_a_shorter_last_group_are_those_of_its_inputs():
    inputs_NI = drawn(9, 20)
    found = moments(inputs_NI, 16)
    torch.testing.assert_close(found[0], inputs_NI[:, :16].mT @ inputs_NI[:, :16])
    torch.testing.assert_close(found[1, :4, :4], inputs_NI[:, 16:].mT @ inputs_NI[:, 16:])
    assert (found[1, 4:] == 0).all()


# ---- golden numbers ------------------------------------------------------------------------------------------------

ROW = [0.31, -0.12, 0.07, -0.44, 0.02, 0.26, -0.3, 0.5]
GOLDEN = {
    "int2": [0.3133333, 0.0, 0.0, -0.3133333, 0.0, 0.3133333, -0.3133333, 0.6266667],
    "int3": [0.2685714, -0.1342857, 0.1342857, -0.4028571, 0.0, 0.2685714, -0.2685714, 0.5371429],
    "nf3": [0.3114928, -0.1086498, 0.0916688, -0.44, 0.0, 0.3114928, -0.23541, 0.5],
}


@pytest.mark.parametrize("kind", FORMATS)
def test_golden_numbers(kind):
    """Worked out from the formulas, with seven digits."""
    torch.testing.assert_close(
        quantised(torch.tensor([ROW]), kind, 8)[0], torch.tensor(GOLDEN[kind]), rtol=0, atol=1e-6
    )
