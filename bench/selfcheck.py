"""Cost of the online self-check: steps with it and without it, in turn, for each network.

Run: python bench/selfcheck.py. Writes bench/results/selfcheck.json: milliseconds of a step and of its self-check,
median over repeats, and the share. The bar is 3 % of a step.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.networks.network import Output
from resonance.params import DIRECTIONS
from resonance.training.selfcheck import SelfCheck
from resonance.training.step import Trainer

ROOT = Path(__file__).parent.parent
TOKENS, PROMPT, VOCABULARY, REPEATS = 580, 285, 2048, 9
NETWORKS = ("transformer", "rwkv7", "gla", "mdlm")


class Timed(SelfCheck):
    """The self-check, and how long it took."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def look(self, batch: Batch, output: Output) -> tuple[Tensor, Tensor]:
        """See `SelfCheck.look`."""
        began = time.perf_counter()
        seen = super().look(batch, output)
        self.seconds.append(time.perf_counter() - began)
        return seen


def main() -> None:
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    batches = [
        Batch(torch.randint(VOCABULARY, (1, TOKENS), generator=draws), PROMPT, direction, 0) for direction in DIRECTIONS
    ]
    trainers, steps = {}, {name: [] for name in NETWORKS}
    for name in NETWORKS:
        settings = params.Learner.model_validate({"network": name, "init": "random"})
        trainers[name] = Trainer(Learner(settings, VOCABULARY, 0, None))
        trainers[name].check = Timed()
    for cycle in range(1, REPEATS + 2):
        for name, trainer in trainers.items():
            began = time.perf_counter()
            trainer.cycle(cycle, batches)
            steps[name].append((time.perf_counter() - began) / len(batches))
    rows = {}
    for name, trainer in trainers.items():
        assert isinstance(trainer.check, Timed)
        step = statistics.median(steps[name][1:]) * 1000
        check = statistics.median(trainer.check.seconds[len(batches) :]) * 1000
        rows[name] = {"step ms": round(step, 2), "self-check ms": round(check, 3), "share": round(check / step, 4)}
    machine = {"device": "cpu", "threads": 1, "python": platform.python_version(), "torch": torch.__version__}
    result = {"networks": rows, "bar": 0.03, "tokens": TOKENS, "repeats": REPEATS, **machine}
    out = ROOT / "bench/results/selfcheck.json"
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
