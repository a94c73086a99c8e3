"""A run as a job meets it: settings and files become a learner, its four examples and its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch, batch
from resonance.learning.learner import Learner
from resonance.members import modules
from resonance.networks.tensors import read_sealed
from resonance.params import DIRECTIONS
from resonance.provenance import code, fingerprint
from resonance.storage import sha256
from resonance.text.hub import hub_tokenizer
from resonance.text.prompt import prompt
from resonance.text.shown import shown
from resonance.text.tokenizer import Tokenizer, read_tokenizer
from resonance.text.tokens import Tokens, read_tokens
from resonance.training.device import set_up

SPINE = "resonance.training.chunk"
"""The module that trains: what it imports is part of every run."""


@dataclass(frozen=True)
class Run:
    """Settings of a run and the files that it starts from.

    base_file: None where no base is needed. names: learner, pair, schedule and seed, written into what the run leaves
    for people and tables to read; no number depends on them.
    """

    settings: params.Run
    tokens_file: Path
    base_file: Path | None
    names: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def made_by(self) -> dict[str, Any]:
        """What every file of the run says of itself."""
        return {**self.names, "run": self.fingerprint}

    @cached_property
    def fingerprint(self) -> str:
        """What stands for the run in every file it leaves: settings, texts, base and code."""
        return fingerprint(
            {
                "settings": self.settings.identity(),
                "tokens": sha256(self.tokens_file),
                "base": sha256(self.base_file) if self.base_file else None,
                "code": code(SPINE, *modules(self.settings.learner)),
            }
        )

    @cached_property
    def tokens(self) -> Tokens:
        """The texts as tokens."""
        return read_tokens(self.tokens_file)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What turns tokens back into text."""
        network = self.settings.learner.network
        if isinstance(network, params.Hub):
            return hub_tokenizer(network)
        return read_tokenizer(self.tokens_file.with_name("tokenizer.json"))

    def learner(self) -> Learner:
        """The untouched learner, on its device."""
        device = set_up(self.settings.compute)
        base = self._base() if self.base_file else None
        learner = Learner(
            self.settings.learner,
            self.tokens.vocabulary,
            self.settings.seed,
            base,
            device,
            self.settings.compute.precision,
            self.tokens,
        )
        if learner.network.vocabulary < self.tokens.vocabulary:
            raise UserError(
                f"{self.tokens_file} knows {self.tokens.vocabulary} tokens, the network {learner.network.vocabulary}: "
                "its tokenizer is not the one that the texts were cut with; run `snakemake` to cut them again."
            )
        return learner

    def _base(self) -> dict[str, Tensor]:
        """The weights of the base, if it read the same tokenizer's tokens."""
        assert self.base_file is not None
        tensors, made_by = read_sealed(self.base_file)
        if made_by.get("kind") != "base" or made_by.get("tokenizer") != self.tokens.tokenizer:
            raise UserError(
                f"{self.base_file} is not a base for the tokenizer of {self.tokens_file}: delete it and run "
                f"`snakemake -- {self.base_file}`."
            )
        return tensors

    def batches(self, device: torch.device, version: int = 0) -> dict[tuple[str, int], Batch]:
        """Every example of the study, as this run is shown it: direction × window."""
        settings, condition = self.settings.learner, f"version:{version}" if version else "clean"

        def example(direction: params.Direction, window: int) -> Batch:
            texts = shown(self.tokens, settings.shown, direction, window, version)
            asked = prompt(self.tokens, direction, settings.marker, window, *texts)
            return batch(asked, direction, window, device, condition)

        windows = range(self.tokens.windows)
        return {(direction, window): example(direction, window) for direction in DIRECTIONS for window in windows}
