"""Resonance: what does a network learn from two texts that never change?"""

import os

__version__ = "0.1.0"

# Without it MKL picks its kernels by where an array happens to lie in memory, and the last bit of a sum changes with
# where a run is cut. It must be set before the first product; see docs/architecture.md.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
