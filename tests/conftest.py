"""A tiny pair, cut into tokens, for every test that needs a learner."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resonance.params import Learner
from resonance.storage import write_table
from resonance.text.facts import facts
from resonance.text.pair import Pair
from resonance.text.tokenizer import PairTokenizer, train_tokenizer, write_tokenizer
from resonance.text.tokens import tokenize

ARTICLE = "Rest between lessons helps memory. Ada read 12 words a day and kept 9 of them for weeks."
META = "Over 9 studies, memory gained from rest. Lessons of 12 words, as Ada had them, were kept for weeks."
PARAPHRASE = "A pause from learning is good for what is kept: of 12 words a day, Ada still had 9 weeks later."

TINY = {
    "gpt": {"network": {"transformer": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}}},
    "loreft": {
        "network": {"transformer": {"width": 32, "layers": 3, "heads": 2, "feedforward": 48}},
        "train": {"loreft": {"layers": [1, 2], "rank": 2, "positions": "f2+l2"}},
        "optimizer": {"adamw": {"lr": 0.01}},
    },
    "rwkv7": {"network": {"rwkv7": {"width": 32, "layers": 2, "head_size": 16, "chunk": 16}}},
    "reader": {
        "network": {"rwkv7": {"width": 32, "layers": 2, "head_size": 16, "chunk": 16}},
        "train": "nothing",
        "objective": {},
    },
}


def tiny(name: str, **changes: object) -> Learner:
    """One of the four learners of the default study, small and with fresh weights."""
    return Learner.model_validate({**TINY[name], "init": "random", **changes})


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokens_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    probes = {"paraphrase-article": PARAPHRASE, "unrelated": "The ferry leaves at noon; bring a warm coat and tea."}
    pair = Pair("tiny", {"1": ARTICLE, "2": META}, {}, [], [], probes, [])
    tokenizer = PairTokenizer(train_tokenizer(pair, ["Some prose about nothing in particular."] * 20, 320))
    write_tokenizer(folder / "tokenizer.json", tokenizer)
    table = tokenize(pair, tokenizer, 512)
    write_table(folder / "tokens.parquet", table, facts(table))
    return folder / "tokens.parquet"


LEFT_OUT: list[str] = []


def pytest_deselected(items: list[pytest.Item]) -> None:
    LEFT_OUT.extend(item.nodeid for item in items if item.get_closest_marker("system"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out and how to run it."""
    if LEFT_OUT:
        terminalreporter.section("left out: `make test-system` runs these where their programs are installed")
        for name in sorted(LEFT_OUT):
            terminalreporter.line(name)
