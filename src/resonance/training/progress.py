"""How far a job is: a bar on a terminal, a plain line in the log now and then."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

log = logging.getLogger(__name__)
T = TypeVar("T")


class Progress:
    """Wraps the cycles of a chunk; `loss` is what the bar shows beside cycles/s and the time left."""

    def __init__(self, title: str, start: int, stop: int, seconds: float = 30.0) -> None:
        self.title, self.start, self.stop, self.seconds = title, start, stop, seconds
        self.loss = float("nan")

    def over(self, cycles: Iterable[T]) -> Iterator[T]:
        """The same items, with progress shown."""
        began = spoke = time.monotonic()
        bar = tqdm(
            total=self.stop,
            initial=self.start,
            desc=self.title,
            unit="cycle",
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )
        done = self.start
        with bar:
            for item in cycles:
                yield item
                done += 1
                bar.update()
                now = time.monotonic()
                if now - spoke >= self.seconds or done == self.stop:
                    rate = (done - self.start) / max(now - began, 1e-9)
                    left = (self.stop - done) / rate
                    bar.set_postfix_str(f"loss {self.loss:.4f}")
                    log.info(
                        "cycle %d of %d, %.2f cycles/s, loss %.4f, %.0f s left", done, self.stop, rate, self.loss, left
                    )
                    spoke = now
