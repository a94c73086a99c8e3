from __future__ import annotations

import torch

from resonance.learning.moment import Moment, generator


def drawn(source: torch.Generator) -> list[float]:
    return torch.rand(4, generator=source).tolist()


def test_numbers_depend_on_what_is_asked_for_alone():
    """Not on what was drawn before, nor on the order, nor on the global generator."""
    moments = [Moment(seed, cycle, slot) for seed in (0, 1) for cycle in (1, 2, 10**12) for slot in (0, 3)]
    asked = [(moment, purpose) for moment in moments for purpose in ("mask", "noise")]
    forward = {each: drawn(each[0].generator(each[1])) for each in asked}
    torch.manual_seed(5)
    backward = {each: drawn(each[0].generator(each[1])) for each in reversed(asked)}
    assert forward == backward
    assert len({tuple(numbers) for numbers in forward.values()}) == len(asked)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    drawn(Moment(0, 1, 0).generator("mask"))
    assert torch.equal(torch.rand(2), expected)


def test_two_generators_of_one_moment_do_not_share_a_state():
    moment = Moment(0, 1, 0)
    first, second = moment.generator("mask"), moment.generator("mask")
    drawn(first)
    assert drawn(second) == drawn(moment.generator("mask"))


def test_neighbours_are_unrelated():
    """Of consecutive cycles, first numbers are uniform and not correlated."""
    first = torch.tensor([drawn(Moment(0, cycle, 0).generator("mask"))[0] for cycle in range(2000)])
    assert abs(first.mean() - 0.5) < 5 / (12 * 2000) ** 0.5
    assert torch.corrcoef(torch.stack([first[1:], first[:-1]]))[0, 1].abs() < 5 / 2000**0.5


def test_numbers_are_the_same_on_every_machine():
    """Written down once: the seed is a part of a SHA-256 digest, the stream is that of torch's Mersenne twister."""
    assert generator(0, "scope").initial_seed() == 6821350639849609193
    assert torch.randint(1000, (4,), generator=generator(0, "scope")).tolist() == [576, 256, 349, 705]
