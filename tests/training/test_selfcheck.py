from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from resonance.learning.batch import Batch
from resonance.networks.network import Output
from resonance.training.selfcheck import SelfCheck

PROMPT = 4


def batch() -> Batch:
    return Batch(torch.zeros(1, 9, dtype=torch.int64), PROMPT, "1>2", 0)


def output(seed: int, cls: type[Tensor] = Tensor, unknown: int = 0) -> Output:
    draws = torch.Generator().manual_seed(seed)
    hidden = [torch.randn(1, 9, 8, generator=draws).as_subclass(cls) for _ in range(3)]
    return Output((*[None] * unknown, *hidden[unknown:]), torch.zeros(1, 9, 5))


def test_the_first_look_is_compared_with_itself():
    cosine_L, norm_L = SelfCheck().look(batch(), output(0))
    assert torch.allclose(cosine_L, torch.ones(3), atol=1e-6)
    assert torch.equal(norm_L, torch.ones(3))


def test_pooled_targets_are_compared_with_those_of_the_first_visit():
    check = SelfCheck()
    check.look(batch(), output(0))
    cosine_L, norm_L = check.look(batch(), output(1))
    for layer in range(3):
        first_D, now_D = (output(seed).hidden[layer][0, PROMPT:].mean(0) for seed in (0, 1))
        assert torch.allclose(cosine_L[layer], first_D @ now_D / first_D.norm() / now_D.norm(), atol=1e-6)
        assert torch.allclose(norm_L[layer], now_D.norm() / first_D.norm())


def test_layers_that_cannot_change_are_one():
    check = SelfCheck()
    check.look(batch(), output(0, unknown=2))
    cosine_L, norm_L = check.look(batch(), output(1, unknown=2))
    assert cosine_L[:2].tolist() == norm_L[:2].tolist() == [1.0, 1.0]
    assert cosine_L[2] < 0.9


class Elsewhere(Tensor):
    """A tensor that, like one of another GPU, goes together with no other one until it was moved."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.to:
            return args[0].as_subclass(Tensor).to(*args[1:], **(kwargs or {}))
        if func in (torch.stack, torch.cat, torch.cosine_similarity):
            raise RuntimeError("tensors on two devices")
        return super().__torch_function__(func, types, args, kwargs or {})


def test_layers_on_several_devices_are_brought_together():
    with pytest.raises(RuntimeError, match="two devices"):
        torch.stack([*output(0, Elsewhere).hidden])
    check, here = SelfCheck(), SelfCheck()
    for seed in (0, 1):
        spread, plain = check.look(batch(), output(seed, Elsewhere)), here.look(batch(), output(seed))
        assert all(torch.equal(one, other) and type(one) is Tensor for one, other in zip(spread, plain, strict=True))
