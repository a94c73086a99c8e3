from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from resonance.learning.part import Part, below, optimizer_tensors, restore, restore_optimizer
from resonance.networks.tensors import named, read_tensors, write_tensors


class Toy(Part):
    """A part with everything that a part may have."""

    def __init__(self, seed: int = 0, kind: type[Optimizer] = AdamW) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.gain = nn.Parameter(torch.randn(3))
            self.teacher = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.register_buffer("memory", torch.zeros(0, 3))
        self.register_buffer("best", None)
        self.register_buffer("unsaved_by_torch", torch.zeros(1), persistent=False)
        self.optimizer = kind(self.teacher.parameters(), lr=0.01, **({} if kind is AdamW else {"momentum": 0.9}))

    def trained(self) -> dict[str, nn.Parameter]:
        return {"gain": self.gain}

    def optimizers(self) -> dict[str, Optimizer]:
        return {"teaching": self.optimizer}

    def step(self, at: int) -> float:
        noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(at))
        loss = (self.teacher(noise) * self.gain).square().sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.memory = torch.cat([self.memory, noise[:at]])
        self.best = loss.detach() if self.best is None else torch.minimum(self.best, loss.detach())
        self.unsaved_by_torch += at
        return float(loss.detach())


def through_a_file(part: Part, folder: Path) -> dict[str, Tensor]:
    write_tensors(folder / "part.safetensors", part.saved(), {})
    return read_tensors(folder / "part.safetensors")[0]


@pytest.mark.parametrize("kind", [AdamW, SGD])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_part_goes_on_as_if_it_had_never_stopped(kind, steps, tmp_path):
    whole = Toy(kind=kind)
    for at in range(1, steps + 1):
        whole.step(at)
    resumed = Toy(seed=1, kind=kind)
    resumed.restore(through_a_file(whole, tmp_path))
    assert resumed.saved().keys() == whole.saved().keys()
    assert all(torch.equal(resumed.saved()[name], tensor) for name, tensor in whole.saved().items())
    assert [resumed.step(at) for at in range(4, 7)] == [whole.step(at) for at in range(4, 7)]
    assert all(torch.equal(resumed.saved()[name], tensor) for name, tensor in whole.saved().items())


def test_what_is_saved():
    toy = Toy()
    toy.step(2)
    weights = ["teacher.0.weight", "teacher.0.bias", "teacher.1.weight", "teacher.1.bias"]
    statistics = ["teacher.1.running_mean", "teacher.1.running_var", "teacher.1.num_batches_tracked"]
    moments = [f"teaching/{name}/{key}" for name in weights for key in ("step", "exp_avg", "exp_avg_sq")]
    assert set(toy.saved()) == {"gain", *weights, *statistics, "memory", "best", "unsaved_by_torch", *moments}
    assert set(toy.marked()) == {"gain"}
    assert toy.saved()["memory"].shape == (2, 3)


def test_a_mark_restores_what_it_holds_and_nothing_else():
    whole, other = Toy(), Toy(seed=1)
    before = {name: tensor.clone() for name, tensor in other.saved().items()}
    other.restore({"gain": whole.gain.detach()})
    assert torch.equal(other.gain, whole.gain)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.saved().items() if name != "gain")


def test_restored_tensors_are_copies():
    toy = Toy()
    given = {"memory": torch.ones(2, 3), "gain": torch.ones(3), "best": torch.ones(())}
    toy.restore(given)
    for tensor in given.values():
        tensor += 1
    assert torch.equal(toy.memory, torch.ones(2, 3))
    assert torch.equal(toy.gain, torch.ones(3))
    assert torch.equal(toy.best, torch.ones(()))
    assert toy.gain.requires_grad
    assert toy.gain.is_leaf


def test_an_unused_part_saves_nothing():
    part = Part()
    assert part.saved() == part.marked() == part.trained() == part.optimizers() == {}
    part.restore({"not/of/this/part": torch.zeros(1)})


def test_below_takes_one_folder_of_names():
    tensors = {"a/x": torch.zeros(1), "a/b/y": torch.zeros(2), "ab/z": torch.zeros(3), "a": torch.zeros(4)}
    assert {name: len(tensor) for name, tensor in below(tensors, "a").items()} == {"x": 1, "b/y": 2}
    assert set(below(tensors, "a/b")) == {"y"}


def test_parametrised_weights_come_back_as_they_are_held():
    """Their product would come back changed: an orthogonal weight is held as a base and a turn from it."""

    def turned(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        layer = nn.utils.parametrizations.orthogonal(nn.Linear(6, 2))
        with torch.no_grad():
            layer.parametrizations.weight.original.add_(torch.randn(2, 6))
        return layer

    with torch.random.fork_rng():
        whole, other = turned(0), turned(1)
    restore(other, named(whole))
    assert torch.equal(other.weight, whole.weight)
    assert all(torch.equal(tensor, named(whole)[name]) for name, tensor in named(other).items())


def test_a_name_that_the_optimizer_does_not_know_is_an_error():
    layer = nn.Linear(2, 2)
    optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    tensors = optimizer_tensors(optimizer, dict(layer.named_parameters()))
    assert set(tensors) == {"weight/momentum_buffer", "bias/momentum_buffer"}
    with pytest.raises(KeyError, match="other"):
        restore_optimizer(optimizer, dict(layer.named_parameters()), {"other/momentum_buffer": torch.zeros(2)})
