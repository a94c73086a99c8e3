"""Masked diffusion: schedule, masks, SUBS, ancestral steps, and the bound against cases that can be counted out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from resonance.networks.masked_diffusion import (
    EPS,
    Denoiser,
    ancestral_step,
    bound,
    drawn,
    filled,
    filling_order,
    masked_sets,
    masked_share,
    noised,
    stays,
    stratified,
    subs,
    weight,
)

V = MASK = 3
"""A vocabulary of three tokens, in most of the tests below, and the id of the mask."""


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def whole(table: Callable[[Tensor], Tensor]) -> Denoiser:
    """A denoiser from a function that gives log p [B, N, V] at all places."""
    return lambda shown_BN, wanted_BN: table(shown_BN)[wanted_BN]


def arbitrary(tokens: int, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """A distribution of its own for every place of every partly masked text: what is shown selects a row of a table."""
    rows = (V + 1) ** tokens
    table = (2 * torch.randn(rows, tokens, V, generator=seeded(seed), dtype=torch.float64)).log_softmax(-1)
    return lambda shown_BN: table[(shown_BN * (V + 1) ** torch.arange(tokens)).sum(1)]


def product(tokens: int) -> Tensor:
    """log p [N, V] of a text whose tokens have nothing to do with one another."""
    return (2 * torch.randn(tokens, V, generator=seeded(7), dtype=torch.float64)).log_softmax(-1)


def all_sets(tokens: int) -> Tensor:
    """Sets of masked places, every size equally often, and within a size every set: bool [K, N]."""
    often = math.lcm(*(math.comb(tokens, k) for k in range(1, tokens + 1)))
    return torch.tensor(
        [
            [place in chosen for place in range(tokens)]
            for k in range(1, tokens + 1)
            for chosen in itertools.combinations(range(tokens), k)
            for _ in range(often // math.comb(tokens, k))
        ]
    )


def in_order(table: Callable[[Tensor], Tensor], text: Tensor, order: tuple[int, ...]) -> Tensor:
    """-log p of a text that is filled one place after the other in that order."""
    shown, total = torch.full_like(text, MASK), torch.zeros((), dtype=torch.float64)
    for place in order:
        total = total - table(shown[None])[0, place, text[place]]
        shown = shown.clone()
        shown[place] = text[place]
    return total


# Noise


def test_the_weight_is_the_rate_of_noise_over_its_odds() -> None:
    """sigma' / (e^sigma - 1) with sigma = -log(1 - m), by autograd; for the log-linear schedule that is 1 / t."""
    t = torch.linspace(EPS, 1, 50, dtype=torch.float64, requires_grad=True)
    sigma = -torch.log1p(-masked_share(t))
    (rate,) = torch.autograd.grad(sigma.sum(), t)
    assert torch.allclose(weight(t), rate / sigma.expm1(), rtol=1e-10, atol=0)
    assert torch.allclose(masked_share(t), 1 - (-sigma).exp(), rtol=1e-12, atol=0)
    assert masked_share(torch.tensor(0.0)) == 0
    assert float(masked_share(torch.tensor(1.0))) == pytest.approx(0.999, abs=1e-7)  # eps of the published schedule


def test_strata_hold_one_number_each() -> None:
    found = torch.stack([stratified(8, seeded(seed)) for seed in range(400)])
    assert torch.equal((found * 8).long(), torch.arange(8).expand(400, 8))
    within = found * 8 - torch.arange(8)
    assert float(within.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(within.std()) == pytest.approx(12**-0.5, abs=0.02)
    assert len(set(found[0].tolist())) == 8
    assert torch.equal(stratified(8, seeded(1)), found[1])


def test_noise_masks_the_share_of_its_time() -> None:
    tokens_BN = torch.arange(V).repeat(3, 10_000)
    t_B = torch.tensor([0.0, 0.3, 1.0])
    shown_BN = noised(tokens_BN, t_B, MASK, seeded(0))
    masked_BN = shown_BN == MASK
    assert torch.equal(shown_BN[~masked_BN], tokens_BN[~masked_BN])
    found = masked_BN.float().mean(1)
    assert found[0] == 0
    assert float(found[1]) == pytest.approx(0.3 * (1 - EPS), abs=0.01)
    assert float(found[2]) == pytest.approx(1 - EPS, abs=5e-4)
    assert found[2] < 1
    assert torch.equal(shown_BN, noised(tokens_BN, t_B, MASK, seeded(0)))


# SUBS


def test_visible_tokens_are_certain_and_masks_are_no_outcome() -> None:
    scores_BNV = torch.randn(2, 5, V, generator=seeded(0), requires_grad=True)
    shown_BN = torch.tensor([[0, MASK, 2, MASK, 1], [MASK, MASK, MASK, 0, 0]])
    log_p_BNV = subs(scores_BNV, shown_BN, MASK)
    assert log_p_BNV.shape == (2, 5, V)  # the mask, number V, has no probability at all
    assert torch.allclose(log_p_BNV.exp().sum(-1), torch.ones(2, 5))
    masked_BN = shown_BN == MASK
    assert torch.equal(log_p_BNV[~masked_BN].exp(), torch.nn.functional.one_hot(shown_BN[~masked_BN], V).float())
    assert torch.equal(log_p_BNV[masked_BN], scores_BNV.log_softmax(-1)[masked_BN])

    log_p_BNV[masked_BN][:, 0].sum().backward()
    assert scores_BNV.grad is not None
    assert scores_BNV.grad.isfinite().all()
    assert bool((scores_BNV.grad != 0).all(-1)[masked_BN].all())
    assert not scores_BNV.grad[~masked_BN].any()


def test_half_precision_scores_give_float32() -> None:
    """A score of -1e6 for the mask, as in the published code, would overflow float16; here there is none."""
    scores_BNV = torch.randn(1, 4, V, generator=seeded(0)).half()
    shown_BN = torch.tensor([[0, MASK, 2, MASK]])
    log_p_BNV = subs(scores_BNV, shown_BN, MASK)
    assert log_p_BNV.dtype == torch.float32
    assert torch.equal(log_p_BNV, subs(scores_BNV.float(), shown_BN, MASK))


# Steps


def test_draws_follow_the_distribution() -> None:
    log_p_V = torch.tensor([0.6, 0.3, 0.0999, 1e-4, 0.0]).log()
    counts = drawn(log_p_V.expand(4, 50_000, 5), seeded(0)).flatten().bincount(minlength=5)
    expected = log_p_V.double().exp() * 200_000
    assert counts[4] == 0
    assert float(((counts - expected).square() / expected)[:4].sum()) < 11.3  # chi², 3 degrees of freedom, 1 %


def test_draws_are_made_in_float64() -> None:
    """The largest of log p + Gumbel noise, from the same uniform numbers."""
    log_p_BNV = torch.randn(2, 40, 9, generator=seeded(0)).log_softmax(-1)
    uniform = torch.rand(2, 40, 9, generator=seeded(1), dtype=torch.float64)
    assert torch.equal(drawn(log_p_BNV, seeded(1)), (log_p_BNV.double() - (-uniform.log()).log()).argmax(-1))


def test_an_ancestral_step_keeps_and_draws_as_often_as_it_should() -> None:
    t_B, s_B = torch.tensor([0.9, 0.5]), torch.tensor([0.6, 0.1])
    p_V = torch.tensor([0.5, 0.3, 0.2])
    shown_BN = torch.full((2, 60_000), MASK)
    shown_BN[:, ::3] = torch.arange(20_000) % V
    after_BN = ancestral_step(shown_BN, p_V.log().expand(2, 60_000, V), stays(t_B, s_B), MASK, seeded(0))
    before_BN = shown_BN != MASK
    assert torch.equal(after_BN[before_BN], shown_BN[before_BN])
    for row in range(2):
        found = after_BN[row][~before_BN[row]]
        stayed = float((found == MASK).float().mean())
        assert stayed == pytest.approx(float(masked_share(s_B[row]) / masked_share(t_B[row])), abs=0.01)
        shares = found[found != MASK].bincount() / (found != MASK).sum()
        assert torch.allclose(shares, p_V, atol=0.02)


def test_steps_add_up() -> None:
    t, s, r = (torch.tensor([value], dtype=torch.float64) for value in (0.8, 0.5, 0.2))
    assert torch.allclose(stays(t, s) * stays(s, r), stays(t, r), rtol=1e-12)
    shown_BN, log_p_BNV = torch.full((1, 500), MASK), torch.zeros(1, 500, V)
    assert (ancestral_step(shown_BN, log_p_BNV, stays(t, t), MASK, seeded(0)) == MASK).all()
    assert (ancestral_step(shown_BN, log_p_BNV, stays(t, 0 * t), MASK, seeded(0)) != MASK).all()


# The bound


def test_sets_of_masks_are_spread_over_sizes_and_places() -> None:
    sets_KN = torch.cat([masked_sets(12, 12, seeded(seed)) for seed in range(300)])
    assert torch.equal(sets_KN.sum(1), torch.arange(1, 13).repeat(300))
    assert torch.allclose(sets_KN.float().mean(0), torch.tensor(6.5 / 12), atol=0.03)
    assert torch.allclose(sets_KN[2::12].float().mean(0), torch.tensor(3 / 12), atol=0.08)
    assert torch.equal(masked_sets(12, 12, seeded(5)), sets_KN[60:72])
    more = masked_sets(40, 3, seeded(0)).sum(1).bincount(minlength=4)
    assert more[0] == 0
    assert bool(((more[1:] - 40 / 3).abs() < 2).all())
    fewer = torch.stack([masked_sets(4, 100, seeded(seed)).sum(1) for seed in range(200)])
    assert bool((((fewer - 1) // 25) == torch.arange(4)).all())


def test_uniform_predictions_cost_the_same_under_every_mask() -> None:
    """The bound is N log V for each single set, not only on average."""
    flat = whole(lambda shown_BN: torch.full((*shown_BN.shape, V), -math.log(V), dtype=torch.float64))
    target_N = torch.randint(V, (17,), generator=seeded(0))
    for masked_1N in masked_sets(6, 17, seeded(0)).split(1):
        found = bound(flat, target_N, masked_1N, MASK, 1)
        assert float(found.sum()) == pytest.approx(17 * math.log(V), abs=1e-10)
        assert not found[~masked_1N[0]].any()


def test_a_text_known_by_heart_costs_nothing() -> None:
    target_N = torch.randint(V, (17,), generator=seeded(0))
    known = torch.full((17, V), -torch.inf).scatter(1, target_N[:, None], 0)
    by_heart = whole(lambda shown_BN: known.expand(len(shown_BN), 17, V))
    assert not bound(by_heart, target_N, masked_sets(6, 17, seeded(0)), MASK, 4).any()


def test_independent_tokens_cost_what_they_cost() -> None:
    """The bound is tight there, and each token's share is its own -log p."""
    log_p_NV, target_N = product(4), torch.tensor([2, 0, 1, 1])
    table = whole(lambda shown_BN: log_p_NV.expand(len(shown_BN), 4, V))
    found = bound(table, target_N, all_sets(4), MASK, 5)
    assert torch.allclose(found, -log_p_NV.gather(1, target_N[:, None])[:, 0], rtol=1e-10)


@pytest.mark.parametrize("tokens", [2, 3, 4])
def test_the_bound_is_the_mean_over_all_orders(tokens: int) -> None:
    """Of a network that says anything at all: counted out over every order in which the text can be filled."""
    table, text = arbitrary(tokens), torch.arange(tokens) % V
    found = float(bound(whole(table), text, all_sets(tokens), MASK, 7).sum())
    costs = torch.stack([in_order(table, text, order) for order in itertools.permutations(range(tokens))])
    assert found == pytest.approx(float(costs.mean()), abs=1e-10)
    exact = -float((-costs).exp().mean().log())  # of a sampler that fills one place after the other, at random
    assert found > exact + 0.01


def test_orders_at_random_make_a_distribution() -> None:
    """What is bounded is a probability: over all texts it sums to 1."""
    table = arbitrary(3)
    texts = torch.tensor(list(itertools.product(range(V), repeat=3)))
    orders = list(itertools.permutations(range(3)))
    total = sum((-in_order(table, text, order)).exp() for text in texts for order in orders) / len(orders)
    assert float(total) == pytest.approx(1, abs=1e-10)


def test_the_bound_is_the_integral_over_the_share_of_masks() -> None:
    """Of 1/m times the expected loss over independent masks: a polynomial in m, so Gauss's rule is exact."""
    tokens, table, text = 3, arbitrary(3), torch.tensor([1, 0, 2])
    at, share = (torch.from_numpy(x) for x in leggauss(8))
    integral = 0.0
    for masked in itertools.product([False, True], repeat=tokens):
        masked_N = torch.tensor(masked)
        k, m = int(masked_N.sum()), (at + 1) / 2
        if k == 0:
            continue
        log_p_NV = table(text.masked_fill(masked_N, MASK)[None])[0]
        loss = -float(log_p_NV.gather(1, text[:, None])[masked_N].sum())
        integral += loss * float((share / 2 * m ** (k - 1) * (1 - m) ** (tokens - k)).sum())
    assert float(bound(whole(table), text, all_sets(3), MASK, 4).sum()) == pytest.approx(integral, abs=1e-10)


def test_random_sets_estimate_the_bound_without_bias() -> None:
    table, text = arbitrary(3), torch.tensor([1, 0, 2])
    exact = float(bound(whole(table), text, all_sets(3), MASK, 9).sum())
    sets_KN = torch.cat([masked_sets(3, 3, seeded(seed)) for seed in range(4000)])
    assert float(bound(whole(table), text, sets_KN, MASK, 3000).sum()) == pytest.approx(exact, rel=0.01)


def test_parts_of_the_batch_do_not_matter_to_the_bound() -> None:
    table, text = arbitrary(4), torch.tensor([1, 0, 2, 2])
    sets_KN = masked_sets(7, 4, seeded(0))
    found = [bound(whole(table), text, sets_KN, MASK, batch) for batch in (1, 3, 7, 20)]
    assert all(torch.allclose(one, found[0], rtol=1e-12) for one in found)


# Filling


@pytest.mark.parametrize(("tokens", "steps"), [(300, 16), (16, 16), (5, 16), (7, 3), (1, 4), (9, 1)])
def test_places_fall_on_steps_as_the_schedule_has_it(tokens: int, steps: int) -> None:
    order = filling_order(tokens, steps, seeded(0))
    assert torch.equal(torch.cat(order).sort().values, torch.arange(tokens))
    assert all(len(places) for places in order)
    if steps <= tokens:
        assert len(order) == steps
        left = tokens - torch.tensor([len(places) for places in order]).cumsum(0)
        share = masked_share(1 - torch.arange(1, steps + 1) / steps) / masked_share(torch.tensor(1.0))
        assert bool(((left - share * tokens).abs() < 1).all())
    else:
        assert [len(places) for places in order] == [1] * tokens
    assert [x.tolist() for x in order] == [x.tolist() for x in filling_order(tokens, steps, seeded(0))]
    if tokens > 8:
        first = torch.cat(filling_order(tokens, tokens, seeded(0)))
        assert not torch.equal(first, first.sort().values)


def test_places_are_filled_with_what_is_most_probable_when_their_turn_comes() -> None:
    """Against the plain way, one text after the other; what was said is kept as it was said."""
    tokens, table, order = 5, arbitrary(5), [torch.tensor([1, 4]), torch.tensor([0]), torch.tensor([2, 3])]
    starts = torch.full((2, tokens), MASK)
    starts[1, 0] = 2  # the second text starts from something else, so that the two differ
    found_BN, log_p_BNV = filled(whole(table), starts, order)
    for row in range(2):
        shown, said = starts[row].clone(), {}
        for places in order:
            log_p_NV = table(shown[None])[0]
            for place in places.tolist():
                shown[place] = int(log_p_NV[place].argmax())
                said[place] = log_p_NV[place]
        assert torch.equal(found_BN[row], shown)
        assert torch.equal(log_p_BNV[row], torch.stack([said[place] for place in range(tokens)]))
    assert torch.equal(log_p_BNV.argmax(-1), found_BN)
    assert not torch.equal(found_BN[0], found_BN[1])
    assert bool((starts[0] == MASK).all())
