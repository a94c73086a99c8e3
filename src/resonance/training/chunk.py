"""A stretch of cycles, trained by one job: state k − 1 in, state k, log and marks out.

The result does not depend on where a run is cut or how often it is killed: nothing here knows the length of the study,
and an autosave is a chunk of its own that ends early. Where a learner that only reads has come round an orbit, what is
left of the chunk is looked up.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from resonance.errors import UserError
from resonance.schedule.chunks import snapshots_between
from resonance.schedule.files import provenance, read_schedule
from resonance.schedule.orders import period
from resonance.training.compilation import compile_network
from resonance.training.examples import Examples
from resonance.training.log import Log
from resonance.training.orbit import Search
from resonance.training.progress import Progress
from resonance.training.run import Run
from resonance.training.state import (
    Files,
    Marks,
    read_chunk,
    read_state,
    write_log,
    write_marks,
    write_state,
)
from resonance.training.step import Trainer

logger = logging.getLogger(__name__)


def train_chunk(
    run: Run, schedule_file: Path, previous: Path | None, files: Files, scratch: Path, start: int, stop: int
) -> None:
    """Train cycles start + 1 ... stop of a run.

    previous: the state after `start`; None at cycle 0. scratch: a folder for autosaves, removed at the end.

    Raises:
        UserError: a file that is damaged or belongs to other parameters, a second job for the same chunk, no space, a
            device that does not repeat itself.
    """
    expected = provenance(run.settings.order, run.settings.schedule_seed, run.tokens.windows, start, stop)
    schedule = read_schedule(schedule_file, expected)
    with only_one(scratch):
        learner = run.learner()
        if run.settings.compute.compile:
            compile_network(learner.network)
        trainer, examples = Trainer(learner), Examples(run, learner.device)
        at, tensors, log, marks = start, dict[str, Tensor](), Log(), Marks()
        if start == 0:
            marks[0] = copied(learner.marked())
        if previous is not None:
            tensors, log = read_state(previous, run.fingerprint, start)
        resumed = last_autosave(scratch, run.fingerprint, start)
        if resumed is not None:
            at, tensors, log, marks = resumed
            logger.info("resumed at cycle %d", at)
        if tensors:
            trainer.restore(tensors)
        search = Search(period(run.settings.order, run.tokens.windows) if trainer.autonomous else None, tensors)
        chunk = Chunk(run, trainer, search, log, marks)
        wanted = set(snapshots_between(at, stop, run.settings.per_doubling).tolist())
        progress = Progress(str(run.names.get("learner", learner.settings.network.tag)), at, stop)
        saved = time.monotonic()
        for cycle, directions, windows in progress.over(search.unknown(schedule.slots(at))):
            chosen = [examples.at(cycle)[key] for key in zip(directions, windows, strict=True)]
            names, values = trainer.cycle(cycle, chosen)
            progress.loss = float(values[:, names.index("loss")].mean())
            log.add(cycle, list(directions), names, values.numpy())
            search.look(cycle, learner.carried, directions, names, values.numpy())
            if cycle in wanted:
                marks[cycle] = copied(learner.marked())
            at = cycle
            if time.monotonic() - saved > run.settings.autosave and cycle < stop:
                chunk.autosave(scratch, cycle)
                saved = time.monotonic()
        if at < stop:
            chunk.jump(at, stop, sorted(cycle for cycle in wanted if cycle > at))
        chunk.write(files, stop)
        shutil.rmtree(scratch)


@dataclass(frozen=True)
class Chunk:
    """A run in training, with what its chunk has left so far."""

    run: Run
    trainer: Trainer
    search: Search
    log: Log
    marks: Marks

    def jump(self, at: int, stop: int, wanted: list[int]) -> None:
        """From cycle `at` of a known orbit to cycle `stop`, with marks at the cycles that are wanted between them."""
        orbit, repeated, learner = self.search.orbit, self.search.repeated, self.trainer.learner
        assert orbit is not None
        assert repeated is not None
        logger.info("cycles %d to %d are known", at + 1, stop)
        for cycle in [*wanted, stop]:
            state = {name: tensor.to(learner.device) for name, tensor in orbit.state(cycle).items()}
            learner.carried = state or None
            if cycle in wanted:
                self.marks[cycle] = copied(learner.marked())
        self.log.repeat(repeated, at, stop)

    def write(self, files: Files, cycle: int) -> None:
        """Write all that the chunk leaves after `cycle`; the state comes last."""
        made_by = {**self.run.made_by, "cycle": cycle, **self.search.said(cycle)}
        write_marks(files.marks, self.marks, made_by)
        write_log(files.log, self.log, made_by)
        tensors = {**self.trainer.saved(), **self.search.saved()}
        write_state(files.state, tensors, self.log, {**made_by, "device": self.trainer.learner.device.type})

    def autosave(self, scratch: Path, cycle: int) -> None:
        """Save everything in a folder of its own, then drop the older ones."""
        files = Files.within(scratch / f"{cycle:012d}")
        self.write(files, cycle)
        for folder in scratch.iterdir():
            if folder.is_dir() and folder != files.state.parent:
                shutil.rmtree(folder)


def last_autosave(scratch: Path, run: str, start: int) -> tuple[int, dict[str, Tensor], Log, Marks] | None:
    """The newest whole autosave of this run; what a kill left half written, or another run left, is passed over."""
    for folder in sorted((f for f in scratch.iterdir() if f.is_dir()), reverse=True):
        try:
            found = read_chunk(Files.within(folder), run)
        except UserError as error:
            logger.info("autosave passed over: %s", error)
            continue
        if found[0] > start:
            return found
    return None


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors on the CPU, as they are now."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


@contextmanager
def only_one(scratch: Path) -> Iterator[None]:
    """Hold the chunk's lock: a job that outlived its Snakemake may still be writing. It is freed by any death."""
    scratch.mkdir(parents=True, exist_ok=True)
    with scratch.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{scratch}: another job is training this chunk (one that outlived its Snakemake, perhaps): "
                "wait until it ends or end it, then run the same command again."
            ) from None
        yield
