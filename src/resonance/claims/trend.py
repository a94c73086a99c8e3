"""How a measure moves while the cycles double."""

from __future__ import annotations

import numpy as np
import pandas as pd

from resonance.claims.evidence import Evidence, Values, Where, marks
from resonance.claims.statistics import slope


def per_doubling(evidence: Evidence, role: str, measure: str, where: Where) -> Values:
    """Least-squares slope on log2 cycle of each unit, over all marks after cycle 0."""
    grid = evidence.by_unit(evidence.series(role, measure, **where))
    cycles = [cycle for cycle in marks(grid) if cycle > 0]
    return pd.Series([slope(cycles, row) for row in grid[cycles].to_numpy(np.float64)], grid.index, float)
