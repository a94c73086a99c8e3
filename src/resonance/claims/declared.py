"""What is declared of every claim, as the part of docs/claims.md between two marks.

`python -m resonance.claims.declared docs/claims.md` writes it anew; a test fails where the page is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from resonance.claims import NAMES
from resonance.claims.claim import Claim
from resonance.claims.judge import load_claim
from resonance.claims.verdict import number
from resonance.storage import write_text

START, STOP = "<!-- declared: start -->", "<!-- declared: stop -->"


def declarations() -> str:
    """All claims as Markdown: a table, then a section each."""
    claims = [load_claim(name).CLAIM for name in NAMES]
    lines = ["| | claim | file | must lie | learner |", "|---|---|---|---|---|"]
    for claim in claims:
        bound = f"{claim.direction} {number(claim.sesoi)} {claim.unit}"
        primary = " (primary)" * claim.primary
        learner = next(iter(claim.roles.values())).name
        file = f"[`{claim.name}.py`](../src/resonance/claims/{claim.name}.py)"
        lines.append(f"| {claim.id} | {claim.title}{primary} | {file} | {bound} | `{learner}` |")
    for claim in claims:
        lines += ["", *section(claim)]
    return "\n".join(lines)


def section(claim: Claim) -> Iterator[str]:
    """One claim, and the judge's own words on his test."""
    module = sys.modules[f"resonance.claims.{claim.name}"]
    first, _, rest = (module.__doc__ or "").partition("\n\n")
    yield f"### {first.rstrip('?.')}?"
    yield ""
    yield from rest.strip().splitlines()
    yield ""
    yield f"- **Endpoint:** {claim.endpoint}."
    yield f"- **Contrast:** {claim.contrast}."
    yield f"- **Must lie:** {claim.direction} {number(claim.sesoi)} {claim.unit}."
    yield f"- **Positive control:** {claim.control}."
    for trap in claim.traps:
        yield f"- **Trap:** {trap}"
    yield f"- **Would change the mind:** {claim.would_change}."
    names = [f"{role} `{each.name}`{' (schedule)' * each.schedule}" for role, each in claim.roles.items()]
    yield f"- **Roles:** {', '.join(names)}."


def main(page: Path) -> None:
    """Write the part anew."""
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(STOP)
    write_text(page, f"{before}{START}\n{declarations()}\n{STOP}{after}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
