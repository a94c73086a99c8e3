"""ConsReFT: h ← h + Rᵀ (b − R h), one constant in r dimensions, as in pyreft's memorisation study."""

from __future__ import annotations

import contextlib
import io

from resonance.learning.scopes.loreft import Loreft

with contextlib.redirect_stdout(io.StringIO()):  # pyvene greets
    from pyreft import ConsreftIntervention


class Consreft(Loreft):
    """See `params.Consreft`."""

    kind = ConsreftIntervention
