"""Random numbers that are addressed, not consumed: word n of a stream is a function of (seed, purpose, n) alone.

The streams are those of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a block
cipher of a counter: every block of four 64-bit words can be made without the ones before it.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

WORDS_PER_BLOCK = 4


def raw(seed: int, purpose: str, start: int, stop: int) -> NDArray[np.uint64]:
    """Words start ... stop − 1, from 0, of the stream that (seed, purpose) names, each uniform in 0 ... 2^64 − 1.

    The 128-bit key is the beginning of a hash of both, so that seeds may be of any size and two purposes share nothing.
    """
    digest = hashlib.sha256(f"schedule {purpose} {seed}".encode()).digest()
    block, skipped = divmod(start, WORDS_PER_BLOCK)
    stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"), counter=block)
    words: NDArray[np.uint64] = stream.random_raw(skipped + stop - start)
    return words[skipped:]


def below(n: int, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each word as a number in 0 ... n − 1, for n up to 2^16: floor(u n / 2^48) of the word's upper 48 bits u.

    Without rejection, so that a word stays one number; probabilities are off by less than n / 2^48 of their value
    (24 permutations: 1e-13; 65,536 windows: 2e-10).

    Raises:
        ValueError: where n is outside 1 ... 2^16, so that the product would not fit.
    """
    if not 1 <= n <= 1 << 16:
        raise ValueError(f"{n} is outside 1 to 65,536")
    return ((words >> np.uint64(16)) * np.uint64(n)) >> np.uint64(48)
