"""Order in the folders that DVC records: they hold exactly what params.yaml calls for, or two clean runs differ."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from resonance.plan import DERIVED, KINDS, RESULTS

ASIDE = Path("scratch/set_aside")
OWNED = (
    DERIVED,
    *(
        f"{RESULTS}/{kind}"
        for kind in (*KINDS, "transfer", "measures", "between", "explorer", "metrics", "curves", "tables", "figures")
    ),
)


def set_aside(wanted: set[str]) -> None:
    """Move every file that is not wanted any more out of the folders that DVC records; nothing is deleted."""
    for top in OWNED:
        for file in sorted(Path(top).rglob("*")):
            if file.is_file() and file.as_posix() not in wanted:
                to = ASIDE / file
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(file, to)
                print(f"set aside {file} → {to}", file=sys.stderr)


def unrecorded() -> bool:
    """Whether results are here without Snakemake's record of what made them: stale ones would pass as new."""
    made = (file for top in (DERIVED, RESULTS) for file in Path(top).rglob("*") if file.is_file())
    return any(made) and not any(file.is_file() for file in Path(".snakemake/metadata").rglob("*"))
