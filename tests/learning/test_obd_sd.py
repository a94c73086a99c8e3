"""Online batch diffusion self-distillation on segments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segmented import awake, example, learner, pair
from torch import Tensor
from torch.nn.functional import kl_div

from resonance.learning.affinity import cosines, mean_of_others
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objectives.obd_sd import diffused, effective
from resonance.networks.network import Output

FAR = 1e9


def affinities(count: int = 9, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    vector_ND = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return cosines(vector_ND + 0.5)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def walk(affinity: np.ndarray, spread: float) -> np.ndarray:
    return softmax((affinity - FAR * np.eye(len(affinity))) / spread)


def visit(made: Learner, cycle: int, batch: Batch, output: Output | None = None) -> Tensor:
    part = made.objectives["obd-sd"]
    return part.term(made, batch, made.read(batch) if output is None else output, Moment(0, cycle, 0))


def vectors(output: Output, batch: Batch) -> np.ndarray:
    """The pooled states of 1>2 at length 1."""
    hidden = output.hidden[-1][0].detach().double().numpy()
    spans = [(1, 6), (7, 11), (12, 18), (batch.prompt, batch.prompt + 4), (batch.prompt + 5, batch.prompt + 12)]
    means = np.array([hidden[start:stop].mean(0) for start, stop in spans])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


# ---- the target --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("diffusion", [0.0, 0.3, 0.9, 0.99])
@pytest.mark.parametrize(("temperature", "spread"), [(1.0, 1.0), (0.1, 0.1), (0.5, 0.05)])
def test_the_target_is_the_published_closed_form(diffusion, temperature, spread):
    affinity = affinities().numpy()
    inverse = np.linalg.inv(np.eye(9) - diffusion * walk(affinity, spread))
    wanted = (1 - diffusion) * inverse @ softmax(affinity / temperature)
    found = diffused(torch.from_numpy(affinity), diffusion, temperature, spread).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-13)


def test_the_target_is_the_limit_of_the_walk():
    affinity = affinities().numpy()
    start = softmax(affinity / 0.1)
    state = start
    for _ in range(400):
        state = 0.9 * walk(affinity, 0.2) @ state + 0.1 * start
    found = diffused(torch.from_numpy(affinity), 0.9, 0.1, 0.2).numpy()
    np.testing.assert_allclose(found, state, rtol=0, atol=1e-13)


@pytest.mark.parametrize("itself", [True, False])
def test_without_diffusion_the_target_is_a_softmax(itself):
    affinity_NN = affinities()
    seen_NN = affinity_NN if itself else affinity_NN - FAR * torch.eye(9, dtype=torch.float64)
    found_NN = diffused(affinity_NN, 0.0, 0.1, 0.3, itself)
    torch.testing.assert_close(found_NN, (seen_NN / 0.1).softmax(1), rtol=0, atol=1e-15)


def test_an_item_that_is_not_its_own_neighbour_has_no_share():
    affinity = affinities().numpy()
    found = diffused(torch.from_numpy(affinity), 0.6, 0.1, 0.2, itself=False).numpy()
    inverse = np.linalg.inv(np.eye(9) - 0.6 * walk(affinity, 0.2))
    wanted = 0.4 * inverse @ walk(affinity, 0.1)
    np.fill_diagonal(wanted, 0)
    np.testing.assert_allclose(found, wanted / wanted.sum(1, keepdims=True), rtol=0, atol=1e-13)
    assert (np.diag(found) == 0).all()


def test_single_precision_is_as_exact_as_it_can_be():
    affinity_NN = affinities(dtype=torch.float32)
    found_NN = diffused(affinity_NN, 0.99, 0.1, 0.1)
    assert found_NN.dtype == torch.float32
    torch.testing.assert_close(found_NN.double(), diffused(affinity_NN.double(), 0.99, 0.1, 0.1), rtol=1e-7, atol=0)


def test_far_walks_leave_nothing_to_tell():
    """At the published w = 0.99 and temperatures of 1 rows become almost alike; here they need not."""
    affinity_NN = affinities(40)
    spreads = [diffused(affinity_NN, w, 1.0, 1.0).std(0).mean().item() for w in (0.0, 0.3, 0.99)]
    assert spreads[2] < 0.05 * spreads[0]
    assert spreads[1] > 0.5 * spreads[0]
    assert effective(diffused(affinity_NN, 0.99, 1.0, 1.0)) > 39
    assert effective(diffused(affinity_NN, 0.3, 0.1, 0.1, itself=False)) < 25


def test_the_number_of_targets():
    even_NN = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]], dtype=torch.float64)
    assert effective(even_NN).item() == pytest.approx((4 + 2) / 2)


# ---- the term ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("itself", [True, False])
def test_the_term_is_the_divergence_from_how_segments_lay(itself):
    settings = {"itself": itself, "every": 4, "temperature": 0.3, "spread": 0.2, "diffusion": 0.5}
    made, batch = awake(learner({"obd-sd": settings})), example(pair())
    first = made.read(batch)
    visit(made, 5, batch, first)
    with torch.no_grad():
        for parameter in made.network.parameters():
            noise = torch.Generator().manual_seed(parameter.numel())
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.05)
    now = made.read(batch)
    found = visit(made, 6, batch, now)
    old, new = (vectors(output, batch) @ vectors(output, batch).T for output in (first, now))
    target = diffused(torch.from_numpy(old), 0.5, 0.3, 0.2, itself)
    seen = new if itself else new - FAR * np.eye(5)
    wanted = 0.3**2 * kl_div((torch.from_numpy(seen) / 0.3).log_softmax(1), target, reduction="batchmean")
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)
    assert found > 0.001
    measured = made.objectives["obd-sd"].measured()
    assert measured["targets"].item() == pytest.approx(effective(target).item(), rel=1e-5)
    assert measured["mean"].item() == pytest.approx(new[~np.eye(5, dtype=bool)].mean(), abs=1e-5)


def test_the_first_round_has_no_teacher():
    made, batch = awake(learner({"obd-sd": {"every": 3}})), example(pair())
    for cycle in (1, 3):
        assert visit(made, cycle, batch) == 0
        assert made.objectives["obd-sd"].measured()["targets"].isnan()
        assert not made.objectives["obd-sd"].teacher.kept
    assert visit(made, 4, batch) > 0
    assert made.objectives["obd-sd"].measured()["targets"].isfinite()


def test_the_teacher_stays_for_a_round_and_gets_no_gradient():
    made, batch = awake(learner({"obd-sd": {"every": 4}})), example(pair())
    visit(made, 5, batch)
    taught = made.objectives["obd-sd"].teacher.kept["1>2/0"][1]
    with torch.no_grad():
        made.network.model.model.embed_tokens.weight.mul_(2)
    visit(made, 8, batch).backward()
    assert made.objectives["obd-sd"].teacher.kept["1>2/0"][1] is taught
    assert not taught.requires_grad
    visit(made, 9, batch)
    assert not torch.equal(made.objectives["obd-sd"].teacher.kept["1>2/0"][1], taught)


def test_undiffused_segments_that_have_not_moved_cost_nothing():
    made, batch = awake(learner({"obd-sd": {"every": 1, "diffusion": 0.0}})), example(pair())
    term = visit(made, 2, batch)
    assert term.item() == pytest.approx(0, abs=1e-8)
    term.backward()
    assert max(p.grad.abs().max() for p in made.network.parameters() if p.grad is not None) < 1e-6


def test_vectors_that_are_free_come_to_what_they_are_taught():
    part = learner({"obd-sd": {}}).objectives["obd-sd"]
    target_NN = part.target(affinities(7))
    free_ND = torch.randn(7, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.Adam([free_ND], lr=0.02)
    terms = []
    for _ in range(150):
        term = part.distance(target_NN, cosines(free_ND))
        optimizer.zero_grad()
        term.backward()
        optimizer.step()
        terms.append(term.item())
    assert 0 <= terms[-1] < 0.1 * terms[0]


def gathered(itself: bool) -> float:
    """The mean cosine of ten free vectors after ten rounds, in each of which they follow a target that diffuses far."""
    part = learner({"obd-sd": {"itself": itself, "diffusion": 0.9}}).objectives["obd-sd"]
    free_ND = torch.randn(10, 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.Adam([free_ND], lr=0.02)
    for _ in range(10):
        target_NN = part.target(cosines(free_ND.detach()))
        for _ in range(20):
            optimizer.zero_grad()
            part.distance(target_NN, cosines(free_ND)).backward()
            optimizer.step()
    return mean_of_others(cosines(free_ND.detach())).item()


def test_segments_that_are_their_own_neighbours_fall_together():
    """Why they are not: nothing holds them apart where the ranking loss of the paper is left out."""
    assert gathered(itself=True) > 0.9
    assert abs(gathered(itself=False)) < 0.1
