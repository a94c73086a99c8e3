"""NoReFT: h ← h + W2ᵀ (W1 h + b − W2 h), without orthogonality (arXiv 2404.03592, section 3.2)."""

from __future__ import annotations

import contextlib
import io

from resonance.learning.scopes.loreft import Loreft

with contextlib.redirect_stdout(io.StringIO()):  # pyvene greets
    from pyreft import NoreftIntervention


class Noreft(Loreft):
    """See `params.Noreft`."""

    decays = True
    kind = NoreftIntervention
