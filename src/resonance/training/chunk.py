"""A stretch of cycles, trained by one job: state k − 1 in, state k, log and marks out.

The result does not depend on where a run is cut or how often it is killed: nothing here knows the length of the study,
and an autosave is a chunk of its own that ends early.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from resonance.errors import UserError
from resonance.schedule.chunks import snapshots_between
from resonance.schedule.files import provenance, read_schedule
from resonance.training.compilation import compile_network
from resonance.training.log import Log
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
        UserError: a file that is damaged or belongs to other parameters, a second job for the same chunk, no space.
    """
    expected = provenance(run.settings.order, run.settings.seed, run.tokens.windows, start, stop)
    schedule = read_schedule(schedule_file, expected)
    with only_one(scratch):
        learner = run.learner()
        if run.settings.compute.compile:
            compile_network(learner.network)
        trainer, batches = Trainer(learner), run.batches(learner.device)
        log, marks = Log(), Marks()
        if previous is not None:
            tensors, log = read_state(previous, run.fingerprint, start)
            trainer.restore(tensors)
        resumed = last_autosave(scratch, run.fingerprint, start)
        if resumed is not None:
            at, tensors, log, marks = resumed
            trainer.restore(tensors)
            logger.info("resumed at cycle %d", at)
        else:
            at = start
            if start == 0:
                marks[0] = copied(learner.marked())
        wanted = set(snapshots_between(at, stop, run.settings.per_doubling))
        progress = Progress(str(run.names.get("learner", learner.settings.network.tag)), at, stop)
        saved = time.monotonic()
        for cycle, directions, windows in progress.over(schedule.slots(at)):
            chosen = [batches[key] for key in zip(directions, windows, strict=True)]
            names, values = trainer.cycle(cycle, chosen)
            progress.loss = float(values[:, names.index("loss")].mean())
            log.add(cycle, list(directions), names, values.numpy())
            if cycle in wanted:
                marks[cycle] = copied(learner.marked())
            if time.monotonic() - saved > run.settings.autosave and cycle < stop:
                autosave(scratch, run, trainer, log, marks, cycle)
                saved = time.monotonic()
        made_by = {**run.made_by, "cycle": stop}
        write_marks(files.marks, marks, made_by)
        write_log(files.log, log, made_by)
        write_state(files.state, trainer.saved(), log, {**made_by, "device": learner.device.type})
        shutil.rmtree(scratch)


def autosave(scratch: Path, run: Run, trainer: Trainer, log: Log, marks: Marks, cycle: int) -> None:
    """Save everything in a folder of its own, then drop the older ones."""
    made_by = {**run.made_by, "cycle": cycle}
    files = Files.within(scratch / f"{cycle:012d}")
    write_marks(files.marks, marks, made_by)
    write_log(files.log, log, made_by)
    write_state(files.state, trainer.saved(), log, {**made_by, "device": trainer.learner.device.type})
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
