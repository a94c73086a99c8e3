"""Mdlm: parity with a Llama that looks both ways, masks and losses, answers and samples, edits, start."""

from __future__ import annotations

import itertools
import json
import math
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor
from torch.nn.functional import cross_entropy

from resonance import params
from resonance.errors import UserError
from resonance.networks import mdlm
from resonance.networks.masked_diffusion import EPS, filling_order, masked_sets, subs
from resonance.networks.mdlm import SEED, Mdlm
from resonance.networks.network import Below, Edit

MAKER = Path(__file__).with_name("golden") / "make_mdlm.py"
GOLDEN = json.loads(MAKER.with_name("mdlm.json").read_text())
MADE = runpy.run_path(str(MAKER))
PROMPT = 6
"""Tokens before the target, in most tests."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are slower on several threads, much slower where others use them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(seed: int = 0, *, vocabulary: int = 20, loud: float = 10.0, **sizes: int) -> Mdlm:
    """A network whose fresh matrices are so much larger that every tensor matters and answers are not all alike."""
    settings = params.Mdlm(**{"width": 32, "layers": 3, "heads": 2, "feedforward": 40, "steps": 4, "draws": 5} | sizes)
    network = Mdlm(settings, vocabulary, seeded(seed))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter *= loud
            else:
                parameter += 0.3 * torch.randn(parameter.shape, generator=seeded(seed + 1))
    return network


def tokens(B: int, T: int, seed: int = 5, vocabulary: int = 20) -> Tensor:
    return torch.randint(0, vocabulary, (B, T), generator=seeded(seed))


def error(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().max() / expected.std()).detach())


def push(at: int, size: float, seed: int, width: int = 32) -> Edit:
    """An edit that moves every position of layer `at` in one direction."""
    direction = size * torch.randn(width, generator=seeded(seed))
    return lambda layer, x: x + direction if layer == at else x


# Parity


def test_golden_scores() -> None:
    """Numbers of transformers' Llama, committed; both sides are float32: 1e-5 of their spread is left to rounding."""
    settings = params.Mdlm(
        width=MADE["WIDTH"], heads=MADE["HEADS"], layers=MADE["LAYERS"], feedforward=MADE["FEEDFORWARD"]
    )
    network = Mdlm(settings, MADE["VOCABULARY"], seeded(0))
    network.load_state_dict(MADE["weights"]())
    logits_TV = network(torch.tensor([GOLDEN["tokens"]])).logits_BTV[0]
    assert network.mask in GOLDEN["tokens"]
    assert error(logits_TV.roll(1, dims=0), torch.tensor(GOLDEN["scores"])) < 1e-5


@pytest.mark.parametrize("heads", [1, 4])
def test_parity_with_a_llama_that_looks_both_ways(heads: int) -> None:
    """In float64, up to the angles of positions, which transformers computes in float32."""
    network = tiny(heads=heads).double()
    read = tokens(2, 37, vocabulary=21)
    theirs = MADE["both_ways"](network.state_dict(), heads, read)
    assert error(network(read).logits_BTV.roll(1, dims=1), theirs) < 1e-5


def test_logits_stand_one_place_before_their_token() -> None:
    """As in causal networks; the last place is about the first token. Seen in a network without attention, in which
    only the place of a token itself depends on it.
    """
    network, read = tiny(layers=1), tokens(1, 9)
    with torch.no_grad():
        network.layers[0].self_attn.o_proj.weight.zero_()
    other = read.clone()
    other[0, 4] = (other[0, 4] + 1) % 20
    changed = (network(read).logits_BTV != network(other).logits_BTV).any(-1)[0]
    assert changed.tolist() == [place == 3 for place in range(9)]
    other[0, 4], other[0, 0] = read[0, 4], network.mask
    changed = (network(read).logits_BTV != network(other).logits_BTV).any(-1)[0]
    assert changed.tolist() == [place == 8 for place in range(9)]


def test_every_place_sees_every_other() -> None:
    network, read = tiny(), tokens(1, 12)
    for place in (0, 5, 11):
        other = read.clone()
        other[0, place] = network.mask
        assert bool((network(read).logits_BTV != network(other).logits_BTV).any(-1).all())


def test_batches_do_not_matter() -> None:
    network, read = tiny(), tokens(3, 20)
    assert error(network(read[1:2]).logits_BTV, network(read).logits_BTV[1:2]) < 1e-5


def test_there_is_no_state() -> None:
    network, read = tiny(), tokens(1, 9)
    assert not network.recurrent
    assert not network.causal
    assert network(read).state is None
    for call in (lambda: network(read, {}), lambda: network.answer(read, 4, {}), lambda: network.generate(read, 4, {})):
        with pytest.raises(ValueError, match="no state"):
            call()


# Hidden states, edits, passes from below


def test_hidden_states_and_edits() -> None:
    network, read = tiny(), tokens(2, 10)
    plain = network(read)
    assert len(plain.hidden) == network.depth + 1
    assert torch.equal(plain.hidden[0], network.embed_tokens(read))
    assert torch.equal(network.lm_head(network.norm(plain.hidden[-1])).roll(-1, dims=1), plain.logits_BTV)

    edited = network(read, edit=lambda layer, x: x + 1 if layer == 1 else x)
    assert torch.equal(edited.hidden[1], plain.hidden[1])
    assert torch.equal(edited.hidden[2], plain.hidden[2] + 1)
    assert not torch.equal(edited.hidden[3], plain.hidden[3])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_pass_from_below_is_the_whole_pass(layer: int) -> None:
    network, read = tiny(), tokens(2, 21)
    below = network.below(read, layer)
    for change in (None, lambda at, x: x * 1.5 if at >= layer else x):
        whole, upper = network(read, edit=change), network(read, edit=change, below=below)
        assert torch.equal(upper.logits_BTV, whole.logits_BTV)
        assert upper.hidden[: layer + 1] == (None,) * (layer + 1)
        assert all(torch.equal(a, b) for a, b in zip(upper.hidden[layer + 1 :], whole.hidden[layer + 1 :], strict=True))


def test_below_of_visible_tokens_is_refused_for_masked_ones() -> None:
    """It would show the target to a pass that must not see it."""
    network, read = tiny(), tokens(1, 9)
    below = network.below(read, 1)
    shown = read.clone()
    shown[0, 5] = network.mask
    with pytest.raises(ValueError, match="other tokens"):
        network(shown, below=below)
    for foreign in (Below(1, below.hidden_BTD), Below(3, below.hidden_BTD, below.extra)):
        with pytest.raises(ValueError, match="not made by this network"):
            network(read, below=foreign)


# Masks and the loss


def test_the_prompt_is_never_masked() -> None:
    network, read = tiny(), tokens(64, 30)
    shown_BT, weight_BN = network.masked(read, PROMPT, seeded(0))
    assert shown_BT.shape == read.shape
    assert weight_BN.shape == (64, 24)
    masked_BT = shown_BT == network.mask
    assert not masked_BT[:, :PROMPT].any()
    assert torch.equal(shown_BT[~masked_BT], read[~masked_BT])
    assert torch.equal(weight_BN > 0, masked_BT[:, PROMPT:])


def test_the_times_of_a_batch_are_spread_and_weigh_as_they_should() -> None:
    """One t per sequence from each 64th of (EPS, 1), weight 1/t, and a share (1 - EPS) t of masks."""
    network, read = tiny(), tokens(64, 2000)
    shown_BT, weight_BN = network.masked(read, 1, seeded(0))
    masked_BN = shown_BT[:, 1:] == network.mask
    for row in range(64):
        (value,) = set(weight_BN[row][masked_BN[row]].tolist())
        t = 1 / value
        assert row / 64 <= (t - EPS) / (1 - EPS) <= (row + 1) / 64
        assert float(masked_BN[row].float().mean()) == pytest.approx((1 - EPS) * t, abs=0.05)


def test_draws_come_from_the_given_generator() -> None:
    network, read = tiny(), tokens(2, 40)
    before = torch.get_rng_state()
    one, again, other = (network.masked(read, PROMPT, seeded(seed))[0] for seed in (1, 1, 2))
    network.answer(read[:1], PROMPT)
    network.sample(read[:, :PROMPT], 5, 2, seeded(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_nll_is_the_weighted_loss_of_what_is_shown() -> None:
    """Against `masked` and `forward`, as a learner uses them."""
    network, read = tiny(), tokens(4, 20)
    shown_BT, weight_BN = network.masked(read, PROMPT, seeded(3))
    logits_BNV = network(shown_BT).logits_BTV[:, PROMPT - 1 : -1]
    plain_BN = cross_entropy(logits_BNV.mT, read[:, PROMPT:], reduction="none")
    found_BN = network.nll(read, PROMPT, seeded(3))
    assert torch.allclose(found_BN, weight_BN * plain_BN, rtol=1e-5, atol=1e-6)
    assert 0 < int((found_BN > 0).sum()) < found_BN.numel()


def losses(network: Mdlm, read: Tensor, prompt: int) -> dict[tuple[bool, ...], Tensor]:
    """For every way to mask the target: -log p at each masked place, 0 elsewhere [N]."""
    found = {}
    for masked in itertools.product([False, True], repeat=read.shape[1] - prompt):
        masked_N = torch.tensor(masked)
        shown = read.clone()
        shown[0, prompt:][masked_N] = network.mask
        log_p_NV = network(shown).logits_BTV[0, prompt - 1 : -1].log_softmax(-1)
        found[masked] = torch.where(masked_N, -log_p_NV.gather(1, read[0, prompt:, None])[:, 0], 0.0)
    return found


@torch.no_grad()
def test_training_estimates_the_bound() -> None:
    """The mean of 1/t times the loss over t in (EPS, 1) and all masks, counted out, against drawn ones."""
    network, read = tiny(), tokens(1, 5)
    at, share = (torch.from_numpy(x) for x in leggauss(12))
    t = EPS + (1 - EPS) * (at + 1) / 2
    expected = torch.zeros(3, dtype=torch.float64)
    for masked, loss_N in losses(network, read, 2).items():
        m, k = (1 - EPS) * t, sum(masked)
        expected += loss_N * float((share / 2 / t * m**k * (1 - m) ** (3 - k)).sum()) if k else 0
    found = torch.stack([network.nll(read.expand(2000, -1), 2, seeded(seed)).double().mean(0) for seed in range(8)])
    assert float(found.mean(0).sum()) == pytest.approx(float(expected.sum()), rel=0.02)
    assert torch.allclose(found.mean(0), expected, rtol=0.06)


@torch.no_grad()
def test_the_bound_of_an_answer_is_the_mean_over_all_orders() -> None:
    """With as many draws as it takes; every token's share too."""
    network, read = tiny(draws=10_000), tokens(1, 5)
    expected = sum(
        loss_N / (sum(masked) * math.comb(3, sum(masked)))
        for masked, loss_N in losses(network, read, 2).items()
        if any(masked)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mdlm, "BATCH", 5000)
        found = network.answer(read, 2).nll_N
    assert float(found.sum()) == pytest.approx(float(expected.sum()), rel=0.01)
    assert torch.allclose(found, expected, rtol=0.05)


def test_a_network_that_knows_nothing_pays_log_v() -> None:
    """With a head of zeros: exactly N log V for every set of masks, log V times the weight in training."""
    network, read = tiny(), tokens(2, 25)
    with torch.no_grad():
        network.lm_head.weight.zero_()
    assert float(network.answer(read[:1], PROMPT).nll_N.sum()) == pytest.approx(19 * math.log(20), rel=1e-6)
    _, weight_BN = network.masked(read, PROMPT, seeded(0))
    assert torch.allclose(network.nll(read, PROMPT, seeded(0)), weight_BN * math.log(20), rtol=1e-6)


def test_gradients_against_finite_differences() -> None:
    network, read = tiny(width=8, layers=1, heads=1, feedforward=8, vocabulary=5, loud=20).double(), tokens(2, 7, 5, 5)
    layer = network.layers[0]
    chosen = [network.embed_tokens.weight, layer.self_attn.q_proj.weight, layer.input_layernorm.weight]

    def loss(*values: Tensor) -> Tensor:
        del values  # they are the network's own parameters, which gradcheck moves
        return network.nll(read, 2, seeded(3))

    assert torch.autograd.gradcheck(loss, chosen)


def test_every_parameter_is_used() -> None:
    network, read = tiny(), tokens(2, 30)
    network.nll(read, PROMPT, seeded(0)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_denoised_is_certain_of_what_is_visible() -> None:
    """What SDTT's teacher and student say: `subs` of the scores after the prompt."""
    network, read = tiny(), tokens(2, 20)
    shown_BT, _ = network.masked(read, PROMPT, seeded(1))
    expected = subs(network(shown_BT).logits_BTV[:, PROMPT - 1 : -1], shown_BT[:, PROMPT:], network.mask)
    found = network.denoised(shown_BT, PROMPT)
    assert torch.allclose(found.exp(), expected.exp(), atol=1e-6)
    visible_BN = shown_BT[:, PROMPT:] != network.mask
    assert torch.equal(found.argmax(-1)[visible_BN], read[:, PROMPT:][visible_BN])
    assert bool((found.max(-1).values == 0)[visible_BN].all())
    assert torch.allclose(found.exp().sum(-1), torch.ones(2, 14))


# Answers


def plain_answer(network: Mdlm, read: Tensor, prompt: int, edit: Edit | None = None) -> tuple[Tensor, Tensor]:
    """log p [N, V] and nll [N] by whole passes, one set of masks and one step after the other."""
    N, settings = read.shape[1] - prompt, network.settings
    nll_N = torch.zeros(N)
    for masked_N in masked_sets(settings.draws, N, seeded(SEED)):
        shown = read.clone()
        shown[0, prompt:][masked_N] = network.mask
        scores_NV = network(shown, edit=edit).logits_BTV[0, prompt - 1 : -1]
        loss_N = cross_entropy(scores_NV, read[0, prompt:], reduction="none")
        nll_N += torch.where(masked_N, loss_N * N / masked_N.sum(), 0.0) / settings.draws
    shown, said = read.clone(), torch.zeros(N, network.vocabulary)
    shown[0, prompt:] = network.mask
    for places in filling_order(N, settings.steps, seeded(SEED)):
        log_p_NV = network(shown, edit=edit).logits_BTV[0, prompt - 1 : -1].log_softmax(-1)
        said[places] = log_p_NV[places]
        shown[0, prompt + places] = log_p_NV[places].argmax(-1)
    return said, nll_N


@torch.no_grad()
def test_answers_are_the_plain_way() -> None:
    network, read = tiny(), tokens(1, 27)
    for edit in (None, push(1, 5, seed=1)):
        found = network.answer(read, PROMPT, edit=edit)
        log_p_NV, nll_N = plain_answer(network, read, PROMPT, edit)
        assert found.log_p_NV.shape == (21, 20)
        assert torch.allclose(found.log_p_NV, log_p_NV, atol=1e-4)
        assert torch.allclose(found.nll_N, nll_N, rtol=1e-4, atol=1e-5)
        assert not found.log_p_NV.requires_grad
        again = network.answer(read, PROMPT, edit=edit, below=network.below(read, 0))
        assert torch.equal(again.log_p_NV, found.log_p_NV)
        assert torch.equal(again.nll_N, found.nll_N)


def test_what_is_said_does_not_depend_on_the_target() -> None:
    """The same bits for any true target: nothing of it is shown to the sampler."""
    network, read = tiny(), tokens(1, 27)
    other = read.clone()
    other[0, PROMPT:] = tokens(1, 21, seed=9)
    one, two = network.answer(read, PROMPT), network.answer(other, PROMPT)
    assert torch.equal(one.log_p_NV, two.log_p_NV)
    assert not torch.equal(one.nll_N, two.nll_N)
    other[0, 2] = (read[0, 2] + 1) % 20
    assert not torch.equal(one.log_p_NV, network.answer(other, PROMPT).log_p_NV)


def test_masks_and_order_of_evaluations_never_change() -> None:
    """Marks of an old run are asked with the same masks as those of a new one."""
    assert MADE["evaluation"]() == {name: GOLDEN[name] for name in ("sets", "order")}


def test_generation_is_what_the_answer_says() -> None:
    network, read = tiny(), tokens(2, 27)
    found = network.generate(read[:, :PROMPT], 21)
    assert found.dtype == torch.int64
    for row in range(2):
        assert torch.equal(found[row], network.answer(read[row : row + 1], PROMPT).log_p_NV.argmax(-1))
    assert len(set(found.flatten().tolist())) > 3
    assert not torch.equal(found[0], found[1])
    assert network.generate(read, 0).shape == (2, 0)


def test_generation_with_edits_of_prompt_and_continuation() -> None:
    """`edit` and `following` together are one edit of the whole sequence."""
    network, read = tiny(), tokens(2, 27)
    first, second = push(0, 8, seed=20), push(1, 8, seed=21)

    def before(layer: int, x: Tensor) -> Tensor:
        assert x.shape[1] == PROMPT
        return first(layer, x)

    def following(layer: int, x: Tensor) -> Tensor:
        assert x.shape[1] == 1  # one place at a time
        return second(layer, x)

    found = [network.generate(read[:, :PROMPT], 21)]
    for edit, after in ((before, None), (None, following), (before, following)):

        def whole(layer: int, x: Tensor, edit: Edit | None = edit, after: Edit | None = after) -> Tensor:
            read_BTD, said_BND = x[:, :PROMPT], x[:, PROMPT:]
            read_BTD = read_BTD if edit is None else edit(layer, read_BTD)
            return torch.cat([read_BTD, said_BND if after is None else second(layer, said_BND)], dim=1)

        found.append(network.generate(read[:, :PROMPT], 21, edit=edit, following=after))
        for row in range(2):
            expected = network.answer(read[row : row + 1], PROMPT, edit=whole).log_p_NV.argmax(-1)
            assert torch.equal(found[-1][row], expected)
    assert len({str(x.tolist()) for x in found}) == 4, "both edits must matter for this test to mean anything"


@pytest.mark.parametrize("steps", [1, 4])
def test_samples_are_as_frequent_as_they_are_probable(steps: int) -> None:
    """Two tokens: both fall in the same step with probability 1 / steps, otherwise one after the other."""
    network, prompt = tiny(vocabulary=3, loud=30, width=8, layers=1, feedforward=8), tokens(1, 3, 5, 3)
    M, count = network.mask, 10_000

    def log_p(*target: int) -> Tensor:
        with torch.no_grad():
            scores = network(torch.cat([prompt, torch.tensor([target])], dim=1)).logits_BTV[0, 2:4]
        return scores.double().log_softmax(-1)

    both = log_p(M, M).exp()
    expected = torch.zeros(3, 3, dtype=torch.float64)
    for a, b in itertools.product(range(3), repeat=2):
        together = both[0, a] * both[1, b]
        apart = (both[0, a] * log_p(a, M).exp()[1, b] + both[1, b] * log_p(M, b).exp()[0, a]) / 2
        expected[a, b] = together / steps + apart * (1 - 1 / steps)
    found = network.sample(prompt.expand(count, -1), 2, steps, seeded(0))
    counts = (3 * found[:, 0] + found[:, 1]).bincount(minlength=9)
    chi2 = (counts - count * expected.flatten()).square() / (count * expected.flatten())
    assert float(expected.sum()) == pytest.approx(1)
    assert float(chi2.sum()) < 20.1  # 8 degrees of freedom, 1 %
    assert torch.equal(found, network.sample(prompt.expand(count, -1), 2, steps, seeded(0)))


def test_samples_hold_no_masks_and_follow_edits() -> None:
    network, read = tiny(), tokens(2, PROMPT)
    plain = network.sample(read, 15, 4, seeded(1))
    assert plain.shape == (2, 15)
    assert int(plain.max()) < network.mask
    assert not torch.equal(plain, network.sample(read, 15, 4, seeded(2)))
    assert not torch.equal(plain, network.sample(read, 15, 4, seeded(1), edit=push(0, 8, seed=1)))


def test_bfloat16_by_autocast_is_near_float32() -> None:
    network, read = tiny(loud=4), tokens(1, 27)
    exact, exact_nll = network(read).logits_BTV, network.answer(read, PROMPT).nll_N
    with torch.autocast("cpu", torch.bfloat16):
        coarse, answer = network(read).logits_BTV, network.answer(read, PROMPT)
        loss = network.nll(read, PROMPT, seeded(0))
    assert 1e-4 < error(coarse.float(), exact) < 0.2
    assert answer.log_p_NV.dtype == answer.nll_N.dtype == loss.dtype == torch.float32
    assert float(answer.nll_N.sum()) == pytest.approx(float(exact_nll.sum()), rel=0.05)


# The start


def test_only_the_given_generator_is_used() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, again, other = (Mdlm(params.Mdlm(), 300, seeded(seed)).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])
    assert {(tensor.dtype, tensor.device.type) for tensor in one.values()} == {(torch.float32, "cpu")}


def test_matrices_and_gains_of_the_start() -> None:
    network = Mdlm(params.Mdlm(), 300, seeded(0))
    assert (network.depth, network.width, network.vocabulary, network.mask) == (4, 128, 300, 300)
    assert network.embed_tokens.weight.shape == (301, 128)
    assert network.lm_head.weight.shape == (300, 128)
    for name, parameter in network.state_dict().items():
        if parameter.ndim == 1:
            assert bool((parameter == 1).all()), name
        else:
            assert float(parameter.std()) == pytest.approx(0.02, rel=0.05), name
            assert float(parameter.mean()) == pytest.approx(0, abs=1e-3), name


def test_a_width_that_heads_do_not_fill_is_refused() -> None:
    for width, heads in ((96, 5), (12, 4)):
        with pytest.raises(UserError, match=f"width {width} is not an even multiple of heads {heads}"):
            Mdlm(params.Mdlm(width=width, heads=heads), 50, seeded(0))


def test_a_pair_is_learned_and_said() -> None:
    """Two prompts, two targets: after training each prompt gives its own target, at next to no cost."""
    network = Mdlm(params.Mdlm(width=32, layers=2, heads=2, feedforward=48, steps=4), 14, seeded(0))
    read = torch.cat([torch.tensor([[12, 0], [12, 1]]), tokens(2, 9, seed=3, vocabulary=12)], dim=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for step in range(250):
        optimizer.zero_grad()
        network.nll(read.repeat(8, 1), 2, seeded(step)).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    fresh = Mdlm(network.settings, 14, seeded(0))
    assert torch.equal(network.generate(read[:, :2], 9), read[:, 2:])
    assert torch.equal(network.sample(read[:, :2], 9, 9, seeded(0)), read[:, 2:])
    for row in read.split(1):
        assert float(fresh.answer(row, 2).nll_N.mean()) == pytest.approx(math.log(14), rel=0.1)
        assert float(network.answer(row, 2).nll_N.mean()) < 0.1
    crossed = torch.cat([read[:1, :2], read[1:, 2:]], dim=1)
    assert float(network.answer(crossed, 2).nll_N.mean()) > 2
