"""Cost of one training step of each learner of the default study, side by side in one run.

Run: python bench/step.py. Writes bench/results/step.json: milliseconds per step, median over repeats, learners in turn.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path

import torch

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

ROOT = Path(__file__).parent.parent
TOKENS, PROMPT, VOCABULARY, REPEATS = 580, 285, 2048, 9


def main() -> None:
    torch.set_num_threads(1)
    study = params.load(ROOT / "studies/default.yaml")
    draws = torch.Generator().manual_seed(0)
    batches = [
        Batch(torch.randint(VOCABULARY, (1, TOKENS), generator=draws), PROMPT, direction, 0) for direction in DIRECTIONS
    ]
    trainers = {
        name: Trainer(Learner(learner.model_copy(update={"init": "random"}), VOCABULARY, 0, None))
        for name, learner in study.learners.items()
    }
    times: dict[str, list[float]] = {name: [] for name in trainers}
    for cycle in range(1, REPEATS + 2):
        for name, trainer in trainers.items():
            began = time.perf_counter()
            trainer.cycle(cycle, batches)
            if cycle > 1:
                times[name].append((time.perf_counter() - began) / len(batches) * 1000)
    medians = {name: round(statistics.median(values), 1) for name, values in times.items()}
    result = {
        "milliseconds per step": medians,
        "relative to gpt": {name: round(value / medians["gpt"], 2) for name, value in medians.items()},
        "tokens": TOKENS,
        "threads": 1,
        "repeats": REPEATS,
        "device": "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    out = ROOT / "bench/results/step.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
