"""The terms that all distillation shares, against torch's own and against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from resonance.learning.divergence import divergence, kl, log_softened, ramp, soft_cross_entropy


def scores(seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """[2, 5, 7]"""
    return 3 * torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_it_is_torchs_divergence_times_the_square_of_the_temperature(temperature, dtype, bound):
    teacher, student = scores(0, dtype), scores(1, dtype)
    log_q, p = (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
    wanted = temperature**2 * kl_div(log_q.flatten(0, 1), p.flatten(0, 1), reduction="batchmean")
    assert abs(kl(teacher, student, temperature) - wanted) <= bound * wanted


def test_two_tokens_by_hand():
    even_2, odd_2 = torch.tensor([0.0, 0.0]), torch.tensor([0.0, math.log(3.0)])
    teacher, student = torch.stack([even_2, odd_2]), torch.stack([odd_2, odd_2])
    # of the first token: ½ log(½ / ¼) + ½ log(½ / ¾); of the second: 0
    torch.testing.assert_close(kl(teacher, student), torch.tensor(math.log(4 / 3) / 4))


def test_equal_predictions_are_no_distance_apart():
    assert kl(scores(0), scores(0), 3.0) == 0
    assert kl(scores(0), scores(0) + 5) == pytest.approx(0, abs=1e-6)


def test_the_gradient_of_a_student_has_the_same_size_at_every_temperature():
    teacher, student = scores(0, torch.float64).requires_grad_(), scores(1, torch.float64).requires_grad_()
    kl(teacher, student, 3.0).backward()
    assert teacher.grad is None
    wanted = 3.0 * ((student / 3).softmax(-1) - (teacher / 3).softmax(-1)) / 10
    torch.testing.assert_close(student.grad, wanted)


def test_a_bare_divergence_is_differentiable_on_both_sides():
    p, q = scores(0, torch.float64).requires_grad_(), scores(1, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, q: divergence(log_softened(p), log_softened(q)), (p, q))


def test_what_is_impossible_adds_nothing():
    log_p = torch.tensor([0.0, -torch.inf, -torch.inf], requires_grad=True)
    log_q = torch.tensor([math.log(0.5), math.log(0.5), -torch.inf], requires_grad=True)
    distance = divergence(log_p, log_q)
    torch.testing.assert_close(distance, torch.tensor(math.log(2.0)))
    distance.backward()
    assert torch.equal(log_q.grad, torch.tensor([-1.0, 0.0, 0.0]))
    assert torch.isfinite(log_p.grad).all()


def test_tokens_count_what_they_weigh():
    teacher, student = scores(0), scores(1)
    weight = torch.zeros(2, 5)
    weight[0, 3] = 4.0
    alone = kl(teacher[0, 3], student[0, 3])
    torch.testing.assert_close(kl(teacher, student, weight=weight), alone * 4 / 10)
    target = teacher.softmax(-1)
    alone = soft_cross_entropy(target[0, 3], student[0, 3])
    torch.testing.assert_close(soft_cross_entropy(target, student, weight), alone * 4 / 10)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_soft_targets_are_those_of_torch(dtype, bound):
    target, logits = scores(0, dtype).softmax(-1), scores(1, dtype)
    wanted = cross_entropy(logits.flatten(0, 1), target.flatten(0, 1))
    assert abs(soft_cross_entropy(target, logits) - wanted) <= bound * wanted


def test_half_precision_goes_in_but_not_through():
    teacher, student = scores(0).bfloat16(), scores(1).bfloat16()
    distance = kl(teacher, student)
    assert distance.dtype == torch.float32
    assert distance == kl(teacher.float(), student.float())


def test_the_ramp_depends_on_the_absolute_cycle():
    assert ramp(1, 0) == 1
    assert ramp(40, 80) == pytest.approx(math.exp(-1.25))
    assert ramp(80, 80) == ramp(10**9, 80) == 1
    assert 0 < ramp(1, 80) < 0.01
