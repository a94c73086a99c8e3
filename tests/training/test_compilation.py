"""Compiled training gives the numbers of the code as it stands, to rounding."""

from __future__ import annotations

import logging
import shutil

import pytest
import torch
from conftest import tiny

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.params import DIRECTIONS
from resonance.training.compilation import compile_network
from resonance.training.step import Trainer

VOCABULARY = 60


def batches() -> list[Batch]:
    draws = torch.Generator().manual_seed(0)
    return [Batch(torch.randint(VOCABULARY, (1, 30), generator=draws), 14, each, 0) for each in DIRECTIONS]


@pytest.mark.system
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("name", ["rwkv7", "gla"])
def test_compiled_training_is_the_same_to_rounding(name):
    changes = {} if name == "rwkv7" else {"network": {"gla": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}}}
    plain, compiled = (Trainer(Learner(tiny("rwkv7", **changes), VOCABULARY, 0, None)) for _ in range(2))
    compile_network(compiled.learner.network)
    for cycle in (1, 2):
        names, wanted = plain.cycle(cycle, batches())
        _, found = compiled.cycle(cycle, batches())
        column = names.index("loss")
        torch.testing.assert_close(found[:, column], wanted[:, column], rtol=1e-5, atol=1e-6)


def test_a_network_without_layers_to_compile_says_so(caplog):
    caplog.set_level(logging.INFO)
    compile_network(Learner(tiny("gpt"), VOCABULARY, 0, None).network)
    assert "Transformer has no layers that can be compiled" in caplog.text
