"""DiReFT: h ← h + W2ᵀ (W1 h + b), neither orthogonal nor a difference (arXiv 2404.03592, eq. 3).

pyreft calls this NodiReFT; what it calls DiReFT keeps the rows of W2 orthonormal.
"""

from __future__ import annotations

import contextlib
import io

from resonance.learning.scopes.loreft import Loreft

with contextlib.redirect_stdout(io.StringIO()):  # pyvene greets
    from pyreft import NodireftIntervention


class Direft(Loreft):
    """See `params.Direft`."""

    decays = True
    kind = NodireftIntervention
