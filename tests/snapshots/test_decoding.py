"""A target, written in 1, 2, 4, ... steps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import tiny
from torch import Generator, Tensor

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.networks.network import Edit, Network
from resonance.params import DIRECTIONS, Evaluation, Run
from resonance.schedule.files import write_schedule
from resonance.snapshots import decoding
from resonance.snapshots.conditions import Question
from resonance.snapshots.evaluation import SPOKEN, evaluate_marks
from resonance.training.chunk import train_chunk
from resonance.training.run import Run as Job
from resonance.training.state import Files

VOCABULARY = 40
STEPS = 4
NETWORK = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": STEPS, "draws": 4}}
LOREFT = {"loreft": {"layers": [0, 1], "rank": 2, "positions": "all"}}


class Words:
    """A tokenizer whose tokens are numbers."""

    def decode(self, ids: Tensor) -> str:
        return " ".join(map(str, ids))


def made(**values: object) -> Learner:
    settings = type(tiny("gpt")).model_validate({"network": NETWORK, "init": "random"} | values)
    learner = Learner(settings, VOCABULARY, seed=0, base=None)
    noise = Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in learner.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.3)
    return learner


def asked(length: int = 32, condition: str = "clean", window: int = 0) -> Question:
    tokens_BT = torch.randint(VOCABULARY, (1, length), generator=Generator().manual_seed(1))
    return Question(Batch(tokens_BT, 12, "1>2", window, condition))


def rows(learner: Learner, question: Question) -> pd.DataFrame:
    return pd.DataFrame(decoding.decodings(learner, question, 7, Words()))


class Planted(Network):
    """A network that knows the text where at least `known` of its tokens are in sight, and else says 0."""

    causal = False
    depth, width, vocabulary, mask = 1, 1, VOCABULARY, VOCABULARY

    def __init__(self, text_N: Tensor, known: int) -> None:
        super().__init__()
        self.text_N, self.known = text_N, known
        self.passes = 0

    def denoised(self, shown_BT: Tensor, prompt: int, edit: Edit | None = None) -> Tensor:
        self.passes += 1
        seen_B1 = (shown_BT[:, prompt:] != self.mask).sum(1, keepdim=True)
        said_BN = torch.where(seen_B1 >= self.known, self.text_N, 0)
        return torch.nn.functional.one_hot(said_BN, VOCABULARY).float().log()

    def sample(self, prompt_BT: Tensor, length: int, steps: int, draws: Generator, edit: Edit | None = None) -> Tensor:
        return torch.randint(VOCABULARY, (len(prompt_BT), length), generator=draws)


@pytest.mark.parametrize(("tokens", "last"), [(1, 1), (2, 2), (3, 2), (63, 32), (64, 64), (65, 64), (600, 64)])
def test_numbers_of_steps(tokens, last):
    found = decoding.step_numbers(tokens)
    assert found == [2**power for power in range(len(found))]
    assert found[-1] == last


def test_more_steps_help_a_network_that_must_see_some_of_the_text():
    learner, question = made(), asked()
    text_N = question.batch.target_BT[0].clamp(min=1)
    learner.network = Planted(text_N, known=3)
    question = Question(question.batch.said(text_N[None]))
    table = rows(learner, question).query("draw.isna()").set_index("steps")
    assert table.index.tolist() == [1, 2, 4, 8, 16]
    assert table["match"].tolist() == [0.0, 0.5, 0.75, 0.85, 0.85]
    assert learner.network.passes == 1 + 2 + 4 + 8 + 16
    learner.network.known = 0
    again = rows(learner, question).query("draw.isna()")
    assert (again["match"] == 1).all()
    assert (again["output"] == again["reference"]).all()


@pytest.mark.parametrize("values", [{}, {"train": LOREFT}, {"train": {"nothing": {"memory": "context", "window": 9}}}])
def test_in_the_networks_own_number_of_steps_the_text_is_the_networks_own(values):
    learner, question = made(**values), asked()
    if "context" in str(values):
        learner.carried = {"context": asked(9).batch.tokens_BT}
    table = rows(learner, question).query("draw.isna()").set_index("steps")
    own_BN = learner.say(question.batch, 20)
    assert table.loc[STEPS, "output"] == Words().decode(own_BN[0].numpy())
    assert table.loc[STEPS, "match"] == float((own_BN == question.batch.target_BT).double().mean())
    assert table["output"].nunique() > 1, "else the number of steps would not matter"


def test_random_texts_are_the_same_for_every_learner_and_different_from_each_other(monkeypatch):
    monkeypatch.setattr(decoding, "DRAWS", 3)
    learner, question = made(), asked()
    table, again = rows(learner, question), rows(made(), question)
    pd.testing.assert_frame_equal(table, again)
    assert table.groupby("steps").size().tolist() == [4] * 5
    drawn = table.dropna(subset="draw")
    assert drawn["output"].nunique() == len(drawn)
    assert (table["cycle"] == 7).all()
    for _, row in table.iterrows():
        words = [row[name].split() for name in ("output", "reference")]
        assert len(words[0]) == len(words[1]) == 20
        assert row["match"] == pytest.approx(sum(map(str.__eq__, *words)) / 20)


def test_the_first_window_of_clean_questions_is_asked_of_networks_that_fill_masks():
    assert rows(made(), asked(condition="input:blank")).empty
    assert rows(made(), asked(window=1)).empty
    causal = made(network={"transformer": {"width": 32, "layers": 1, "heads": 2, "feedforward": 48}})
    assert rows(causal, asked()).empty


@pytest.mark.parametrize("generate", [0, 5])
def test_the_rows_stand_among_the_generations(generate, tokens_file: Path, tmp_path: Path):
    values = {"network": NETWORK, "init": "random", "objective": {"sdtt": {"start": 1, "every": 1}}}
    settings = Run.model_validate({"learner": values, "order": "shuffled", "seed": 0})
    names = {"learner": "sdtt", "pair": "tiny", "schedule": "shuffled", "seed": 0}
    job, files = Job(settings, tokens_file, None, names), Files.within(tmp_path)
    write_schedule(tmp_path / "schedule.parquet", settings.order, 0, 1, 0, 2)
    train_chunk(job, tmp_path / "schedule.parquet", None, files, tmp_path / "scratch", 0, 2)
    written = [tmp_path / f"{kind}.parquet" for kind in ("table", "spoken", "stability", "critiques", "changed")]
    evaluate_marks(job, files.marks, Evaluation(kept=2, edits=6, generate=generate), *written)
    table = pd.read_parquet(written[1])
    assert table.columns.tolist() == SPOKEN.names
    own, others = table[table["steps"].isna()], table.dropna(subset="steps")
    assert len(own) == (3 * 4 if generate else 0)
    assert others.groupby(["cycle", "direction"]).ngroups == (3 * 4 if generate else 0)
    if generate:
        assert own["match"].between(0, 1).all()
        batches = job.batches(torch.device("cpu"))
        for direction in DIRECTIONS:
            target_N = batches[direction, 0].target_BT[0]
            rows = others.query("direction == @direction and cycle == 0 and draw.isna()")
            assert rows["steps"].tolist() == decoding.step_numbers(len(target_N))
            assert (rows["reference"] == job.tokenizer.decode(target_N.tolist())).all()
