"""Marks → what the learner predicts, token by token, and what it says when left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from resonance import params
from resonance.learning.learner import Learner
from resonance.snapshots.conditions import Question, questions
from resonance.snapshots.critiques import SCHEMA as CRITIQUES
from resonance.snapshots.critiques import critiques
from resonance.snapshots.decoding import decodings, match
from resonance.snapshots.experiments.scene import Scene
from resonance.snapshots.interventions import SCHEMA as INTERVENTIONS
from resonance.snapshots.interventions import interventions
from resonance.snapshots.learners import last_mark, learners
from resonance.snapshots.stability import SCHEMA as STABILITY
from resonance.snapshots.stability import stability
from resonance.storage import write_table
from resonance.text.tokenizer import Tokenizer
from resonance.training.run import Run

DICTIONARY = pa.dictionary(pa.int8(), pa.string())


def evaluate_marks(
    run: Run,
    marks_file: Path,
    settings: params.Evaluation,
    table: Path,
    spoken: Path,
    stable: Path,
    judged: Path,
    changed: Path,
) -> None:
    """Write the evaluations, generations, stability, critiques and interventions of every mark of a chunk."""
    tokens, tokenizer = run.tokens, run.tokenizer
    rows: list[pa.Table] = []
    said: list[dict[str, Any]] = []
    grown: list[dict[str, Any]] = []
    thought: list[pa.Table] = [CRITIQUES.empty_table()]
    found: list[dict[str, Any]] = []
    start, edge = run.learner(), last_mark(marks_file)
    asked: list[Question] | None = None
    prefixes: list[int] = []
    for cycle, learner in learners(run, marks_file):
        asked = asked or list(questions(tokens, settings, learner.settings.marker, learner.device))
        rows += [evaluate(learner, question, cycle) for question in asked]
        said += [
            speak(learner, question, cycle, settings.generate, tokenizer)
            for question in asked
            if question.batch.condition == "clean" and settings.generate
        ]
        if settings.generate:
            said += [row for question in asked for row in decodings(learner, question, cycle, tokenizer)]
        # Only what is said token by token goes on as it is asked, after the true tokens before it.
        prefixes = list(settings.prefixes) if learner.network.causal else [0]
        grown += stability(run, learner, cycle, settings)
        examples = list(run.batches(learner.device).values())
        thought += critiques(learner, examples, cycle, tokens.markers["[BLANK]"][0], tokenizer)
        found += interventions(Scene(learner, start, cycle, tokens, examples, settings, tokenizer), cycle == edge)
    made_by = {
        **run.made_by,
        "kept": settings.kept,
        "prefixes": prefixes,
        "bytes": {text: tokens.bytes_of(text) for text in tokens.texts},
    }
    write_table(table, pa.concat_tables(rows).unify_dictionaries(), made_by | {"kind": "evaluations"})
    write_table(spoken, pa.Table.from_pylist(said, SPOKEN), made_by | {"kind": "generations"})
    write_table(stable, pa.Table.from_pylist(grown, STABILITY), {**run.made_by, "kind": "stability"})
    write_table(judged, pa.concat_tables(thought).unify_dictionaries(), {**run.made_by, "kind": "critiques"})
    write_table(changed, pa.Table.from_pylist(found, INTERVENTIONS), {**run.made_by, "kind": "interventions"})


SPOKEN = pa.schema(
    {
        "cycle": pa.int64(),
        "direction": pa.string(),
        "window": pa.int16(),
        "prefix": pa.int32(),
        "output": pa.string(),
        "reference": pa.string(),
        "match": pa.float64(),
        "steps": pa.int32(),
        "draw": pa.int16(),
    }
)
"""match: share of tokens of `output` that stand where `reference` has them. steps: in how many the whole target was
filled; null where the network wrote the beginning of it in its own way. draw: number of a random text; null: greedy."""


@torch.no_grad()
def evaluate(learner: Learner, question: Question, cycle: int) -> pa.Table:
    """One row per target token, teacher-forced: negative log-likelihood, greedy hit, confidence, entropy."""
    batch = question.batch
    answer = learner.answer(batch)
    log_p_NV = answer.log_p_NV
    target_N, greedy_N = batch.target_BT[0], log_p_NV.argmax(-1)
    n = len(target_N)
    other_N = np.full(n, -1) if question.alternative is None else question.alternative
    other_nll_N, follows_N = np.full(n, np.nan), np.zeros(n, bool)
    sites = np.flatnonzero(other_N >= 0)
    if len(sites):
        chosen = torch.from_numpy(other_N[sites]).to(log_p_NV.device)
        at = torch.from_numpy(sites).to(log_p_NV.device)
        other_nll_N[sites] = numpy(-log_p_NV[at, chosen])
        follows_N[sites] = numpy(greedy_N[at] == chosen)
    return pa.table(
        {
            "cycle": pa.array(np.full(n, cycle), pa.int64()),
            "condition": pa.array([batch.condition] * n, pa.string()).cast(DICTIONARY),
            "direction": pa.array([batch.direction] * n, pa.string()).cast(DICTIONARY),
            "window": pa.array(np.full(n, batch.window), pa.int16()),
            "position": pa.array(np.arange(n), pa.int32()),
            "token": pa.array(numpy(target_N), pa.int32()),
            "nll": pa.array(numpy(answer.nll_N), pa.float32()),
            "correct": pa.array(numpy(greedy_N == target_N)),
            "confidence": pa.array(numpy(log_p_NV.max(-1).values.exp()), pa.float32()),
            "entropy": pa.array(numpy(-(log_p_NV.exp() * log_p_NV).sum(-1)), pa.float32()),
            "alternative": pa.array(other_N, pa.int32()),
            "alternative_nll": pa.array(other_nll_N, pa.float32()),
            "alternative_correct": pa.array(follows_N),
        }
    )


def speak(learner: Learner, question: Question, cycle: int, length: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """The greedy output from an empty prefix, beside the text that it should be."""
    batch = learner.memory.shown(question.batch, learner.carried)
    whole = batch.target_BT.shape[1]
    length = min(length, whole)
    # How much is to be said is a part of what a network that fills masks is asked.
    output_BT = learner.say(batch, length if learner.network.causal else whole)[:, :length]
    return {
        "cycle": cycle,
        "direction": batch.direction,
        "window": batch.window,
        "prefix": 0,
        "output": tokenizer.decode(numpy(output_BT[0])),
        "reference": tokenizer.decode(numpy(batch.target_BT[0, :length])),
        "match": match(output_BT[0], batch.target_BT[0, :length]),
    }


def numpy(tensor: Tensor) -> np.ndarray:
    """A tensor as a numpy array on the CPU."""
    return tensor.detach().cpu().numpy()
