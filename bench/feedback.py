"""What each lever gives the Feedback Transformer, which is sequential by nature, beside a transformer of its size.

Run: python bench/feedback.py. Writes bench/results/feedback.json: seconds of one thread per cycle of four sequences
(CPU time: waiting for other processes does not count), medians over repeats, all variants in turn in each repeat.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from resonance import params
from resonance.networks.feedback import Feedback
from resonance.networks.network import Network
from resonance.networks.transformer import Transformer

ROOT = Path(__file__).parent.parent
TOKENS, VOCABULARY, SEQUENCES, REPEATS = 580, 2048, 4, 3
STEPS = 200

Layer = Callable[..., Tensor]


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokens_BT = torch.randint(VOCABULARY, (SEQUENCES, TOKENS), generator=torch.Generator().manual_seed(0))
    one_by_one, at_once = list(tokens_BT.split(1)), [tokens_BT]
    transformer = Transformer(params.Transformer(), VOCABULARY, torch.Generator().manual_seed(0))
    training = {
        "transformer, one by one": (transformer, one_by_one),
        "transformer, four at once": (transformer, at_once),
        "one by one": (feedback(), one_by_one),
        "four at once": (feedback(), at_once),
        "four at once, block 16": (feedback(block=16), at_once),
        f"four at once, block {TOKENS} (nothing cut)": (feedback(block=TOKENS), at_once),
        "four at once, a reader per layer": (feedback(shared=False), at_once),
        "four at once, gradients by autograd": (unfused(), at_once),
    }
    reading = {"keys and values kept": feedback(), "keys and values of all memories per token": feedback(block=1)}
    layers = {"eager": layer, "torch.jit.script": scripted()}
    times: dict[str, dict[str, list[float]]] = {"train": {}, "read": {}, "layer": {}}
    for _ in range(REPEATS):
        for name, (network, batches) in training.items():
            times["train"].setdefault(name, []).append(seconds(lambda n=network, b=batches: train(n, b)))
        for name, network in reading.items():
            times["read"].setdefault(name, []).append(seconds(lambda n=network: read(n, tokens_BT)))
        for name, function in layers.items():
            times["layer"].setdefault(name, []).append(seconds(lambda f=function: layer_forward(f)) / STEPS)
    medians = {kind: {name: statistics.median(each) for name, each in found.items()} for kind, found in times.items()}
    control = medians["train"]["transformer, four at once"]
    result = {
        "seconds per training cycle": {name: round(value, 2) for name, value in medians["train"].items()},
        "relative to the transformer, four at once": {
            name: round(value / control, 1) for name, value in medians["train"].items()
        },
        "seconds to read four at once": {name: round(value, 2) for name, value in medians["read"].items()},
        "microseconds of one layer for one token of four": {
            name: round(value * 1e6) for name, value in medians["layer"].items()
        },
        "tokens": TOKENS,
        "threads": 1,
        "repeats": REPEATS,
        "device": "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    out = ROOT / "bench/results/feedback.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def feedback(**settings: int | bool) -> Feedback:
    return Feedback(params.Feedback(**settings), VOCABULARY, torch.Generator().manual_seed(0))


def unfused() -> Feedback:
    network = feedback()
    network.fused = False
    return network


def train(network: Network, batches: list[Tensor]) -> None:
    """Forward and backward of a cycle, without the optimizer."""
    network.zero_grad()
    for tokens_BT in batches:
        logits_BTV = network(tokens_BT[:, :-1]).logits_BTV
        torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT[:, 1:].flatten()).backward()


@torch.no_grad()
def read(network: Network, tokens_BT: Tensor) -> None:
    network(tokens_BT)


def layer(
    x: Tensor, query: Tensor, places: Tensor, keys: Tensor, values: Tensor, output: Tensor, inner: Tensor, outer: Tensor
) -> Tensor:
    """What `feedback_blocks.read` does for one token in one layer, without biases, in a form that can be scripted."""
    width = [x.shape[1]]
    query_A1N = torch.mm(torch.layer_norm(x, width), query).view(keys.shape[0], 1, -1)
    blank = places.shape[1] - keys.shape[2]
    scores = torch.matmul(query_A1N, places)
    seen = torch.baddbmm(scores[:, :, blank:], query_A1N, keys)
    attention = torch.cat([scores[:, :, :blank], seen], 2).softmax(2)
    middle = torch.addmm(x, torch.bmm(attention[:, :, blank:], values).view(x.shape[0], x.shape[1]), output)
    hidden = torch.mm(torch.layer_norm(middle, width), inner).relu()
    return torch.addmm(middle, hidden, outer)


def scripted() -> Layer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        function: Layer = torch.jit.script(layer)
    return function


@torch.no_grad()
def layer_forward(function: Layer) -> None:
    """STEPS calls on random tensors of the default sizes, with as many memories as a cycle has on average."""
    settings, draws = params.Feedback(), torch.Generator().manual_seed(0)
    D, F, N, W = settings.width, settings.feedforward, settings.width // settings.heads, TOKENS // 2
    A = SEQUENCES * settings.heads
    shapes = ((D, D), (N, settings.span), (A, N, W), (A, W, N), (D, D), (D, F), (F, D))
    inputs = [0.05 * torch.randn(*shape, generator=draws) for shape in shapes]
    x = torch.randn(SEQUENCES, D, generator=draws)
    for _ in range(STEPS):
        x = function(x, *inputs)


def seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
