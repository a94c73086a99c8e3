"""Cost of one training step of each learner of the default study, side by side.

Run: python bench/step.py. Writes bench/results/step.json: milliseconds per step, median over repeats, learners in turn.
With names (python bench/step.py gpt gla) only these are measured and nothing is written.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
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
CONTROL = "gpt"


def learners() -> dict[str, params.Learner]:
    """What is measured, by name: the control, and all others unless the command line names some."""
    found = dict(params.load(ROOT / "studies/default.yaml").learners)
    chosen = {CONTROL, *sys.argv[1:]} if sys.argv[1:] else found.keys()
    if unknown := chosen - found.keys():
        raise SystemExit(f"{', '.join(sorted(unknown))}: not known; measured are {', '.join(found)}")
    return {name: learner.model_copy(update={"init": "random"}) for name, learner in found.items() if name in chosen}


def main() -> None:
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    batches = [
        Batch(torch.randint(VOCABULARY, (1, TOKENS), generator=draws), PROMPT, direction, 0) for direction in DIRECTIONS
    ]
    trainers = {name: Trainer(Learner(learner, VOCABULARY, 0, None)) for name, learner in learners().items()}
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
        f"relative to {CONTROL}": {name: round(value / medians[CONTROL], 2) for name, value in medians.items()},
        "tokens": TOKENS,
        "threads": 1,
        "repeats": REPEATS,
        "device": "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if not sys.argv[1:]:
        out = ROOT / "bench/results/step.json"
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
