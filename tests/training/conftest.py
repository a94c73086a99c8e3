"""Runs of tiny learners, cut into chunks at will."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resonance.networks.tensors import read_tensors
from resonance.params import Learner, Run
from resonance.schedule.files import write_schedule
from resonance.training.chunk import train_chunk
from resonance.training.run import Run as Job
from resonance.training.state import Files


@dataclass
class Trained:
    """What a run left."""

    state: bytes
    rows: pa.Table
    marks: dict[str, bytes]
    files: list[Files]
    job: Job


@pytest.fixture
def train(tmp_path: Path, tokens_file: Path) -> Callable[..., Trained]:
    """Train a learner in chunks that end at `edges`."""

    def run(
        learner: Learner,
        edges: Sequence[int],
        folder: str = "run",
        seed: int = 0,
        order: object = "shuffled",
        tokens: Path | None = None,
        **more,
    ) -> Trained:
        settings = Run.model_validate({"learner": learner.model_dump(), "order": order, "seed": seed, **more})
        job = Job(settings, tokens or tokens_file, None)
        previous, files = None, []
        for start, stop in pairwise([0, *edges]):
            schedule = tmp_path / folder / f"schedule-{stop}.parquet"
            write_schedule(schedule, settings.order, settings.schedule_seed, 1, start, stop)
            made = Files.within(tmp_path / folder / str(stop))
            train_chunk(job, schedule, previous, made, tmp_path / folder / f"scratch-{stop}", start, stop)
            previous = made.state
            files.append(made)
        marks: dict[str, bytes] = {}
        for made in files:
            marks |= {name: t.numpy().tobytes() for name, t in read_tensors(made.marks)[0].items()}
        rows = pa.concat_tables([pq.read_table(made.log).replace_schema_metadata() for made in files])
        return Trained(files[-1].state.read_bytes(), rows.unify_dictionaries(), marks, files, job)

    return run
