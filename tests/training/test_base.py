"""Bases: what a network has read before it meets the pair."""

from __future__ import annotations

import json

import pytest
import torch
from conftest import tiny

from resonance import params
from resonance.errors import UserError
from resonance.networks.tensors import read_sealed
from resonance.storage import write_table
from resonance.text.corpus import extract_corpus
from resonance.text.facts import facts
from resonance.training.base import Prose, rate, train_base
from resonance.training.run import Run as Job

SETTINGS = params.Base(tokens=2048, batch=4, length=32, lr=0.01)


@pytest.fixture(scope="module")
def prose(tokens_file, tmp_path_factory):
    corpus = extract_corpus(["networkx"], 30_000)
    path = tmp_path_factory.mktemp("corpus") / "corpus.parquet"
    write_table(path, corpus, facts(corpus))
    return Prose(path, tokens_file)


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_a_base_learns_and_is_the_same_file_twice(prose, tmp_path, name):
    network = tiny(name).network
    for folder in ("a", "b"):
        train_base(network, SETTINGS, 0, params.Compute(), prose, tmp_path / folder / "base.safetensors")
    assert (tmp_path / "a/base.safetensors").read_bytes() == (tmp_path / "b/base.safetensors").read_bytes()
    seal = json.loads((tmp_path / "a/base.json").read_text())
    assert seal["kind"] == "base"
    assert seal["tokenizer"] == prose.tokens.tokenizer
    assert seal["loss"] < torch.log(torch.tensor(prose.tokens.vocabulary)) - 0.2, "better than a uniform guess"


def test_learners_of_one_network_start_from_the_same_base(prose, tokens_file, tmp_path):
    base = tmp_path / "base.safetensors"
    train_base(tiny("gpt").network, SETTINGS, 0, params.Compute(), prose, base)
    weights, _ = read_sealed(base)
    for seed in (0, 1):
        settings = params.Run(learner=tiny("gpt", init="base"), order="shuffled", seed=seed)
        learner = Job(settings, tokens_file, base).learner()
        assert all(torch.equal(t, weights[name]) for name, t in learner.network.state_dict().items() if name in weights)


def test_a_base_for_another_tokenizer_is_refused(prose, tokens_file, tmp_path):
    base = tmp_path / "base.safetensors"
    train_base(tiny("gpt").network, SETTINGS, 0, params.Compute(), prose, base)
    seal = json.loads(base.with_suffix(".json").read_text())
    base.with_suffix(".json").write_text(json.dumps({**seal, "tokenizer": "0" * 64}))
    settings = params.Run(learner=tiny("gpt", init="base"), order="shuffled", seed=0)
    with pytest.raises(UserError, match="is not a base for the tokenizer"):
        Job(settings, tokens_file, base).learner()


def test_the_rate_rises_then_falls_to_a_tenth():
    rates = [rate(step, 200) for step in range(200)]
    assert rates[:11] == pytest.approx([*(step / 10 for step in range(1, 11)), 1.0])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
