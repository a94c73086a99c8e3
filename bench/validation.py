"""Known phenomena that the instrument must show: runs them, and writes what was expected beside what was measured.

Run: python bench/validation.py [name ...], names of files in bench/phenomena; none: all but those that take too long
for that (SLOW), which are run when they are named. Writes bench/results/validation.json, in which what is not run
stays as it was, and from it docs/validation.md.
"""

from __future__ import annotations

import inspect
import json
import platform
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from phenomena.phenomenon import Phenomenon

from resonance.errors import UserError

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench/results/validation.json"
PAGE = ROOT / "docs/validation.md"

NAMES = ("floor", "random_targets", "edge", "induction", "reversal", "recall", "grokking", "capacity")
SLOW = ("capacity",)

HEAD = """# Known phenomena

Before an instrument is believed on what nobody knows, it must show what is known. Each row below is a small run with
the project's own networks, learners, optimizers and measures, and stands beside what others found or what follows from
the setup. What did not come out as expected stands here as it came out.

`python bench/validation.py` makes this page and `bench/results/validation.json`; `python bench/validation.py floor`
runs one of them again and keeps the rest. Each phenomenon is one file in `bench/phenomena/`. No measured number in a
table is typed in by hand; one that is missing was not measured. Sizes, rates and lengths may be changed after a look,
expectations and margins may not. What was changed, and the numbers seen before that, stand under the setup.

*Seconds* are those of one CPU thread: waiting for other processes does not count. One seed each, unless it says
otherwise; so a row says that the instrument can show a phenomenon, not how large it is elsewhere. Under each table
stand the sizes that were run. The usual ones in its file, which a new run takes, may be others that were not run yet.
"""


def main(names: list[str]) -> None:
    if unknown := [name for name in names if name not in NAMES]:
        raise UserError(f"bench/validation.py: {unknown[0]!r} is no phenomenon; there are {', '.join(NAMES)}.")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in names or [name for name in NAMES if name not in SLOW]:
        result = carry_out(phenomenon(name))
        results = read(RESULTS)
        write(RESULTS, PAGE, {**results, name: result})
        print(json.dumps({name: result["measures"]}, indent=2), flush=True)
    write(RESULTS, PAGE, read(RESULTS))


def phenomenon(name: str) -> Phenomenon:
    found: Phenomenon = import_module(f"phenomena.{name}").PHENOMENON
    return found


def carry_out(phenomenon: Phenomenon, **sizes: Any) -> dict[str, Any]:
    """Run it and time it; `sizes` stand in the place of its usual ones."""
    usual = {name: one.default for name, one in inspect.signature(phenomenon.run).parameters.items()}
    began = time.process_time()
    measures = phenomenon.run(**sizes)
    return {
        "measures": measures,
        "sizes": {**usual, **sizes},
        "seconds": round(time.process_time() - began, 1),
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def read(path: Path) -> dict[str, Any]:
    """What was measured so far, by phenomenon."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(results: Path, page: Path, found: dict[str, Any]) -> None:
    """The results in the order of NAMES, and the page made of them."""
    ordered = {name: found[name] for name in NAMES if name in found}
    results.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n")
    page.write_text(rendered(ordered))


def rendered(found: dict[str, Any]) -> str:
    """The page."""
    return "\n".join([HEAD, *overview(found), "", *(line for name in NAMES for line in section(name, found.get(name)))])


def overview(found: dict[str, Any]) -> list[str]:
    """One line per phenomenon."""
    lines = ["| phenomenon | expected, with source | measured | holds | seconds | what it means for the study |"]
    lines += ["|---|---|---|---|---|---|"]
    for name in NAMES:
        known, result = phenomenon(name), found.get(name)
        link = f"[{known.title}](#{known.title.lower().replace(' ', '-')})"
        if result is None:
            lines.append(f"| {link} | {known.source} | not run here | – | – | nothing yet: it has not been run |")
            continue
        decided = decisive(result)
        expected = "; ".join(f"{label}: {one['expected']}" for label, one in decided.items())
        measured = "; ".join(f"{label}: {number(one['measured'])}" for label, one in decided.items())
        means = known.holds if held(result) else known.fails
        cells = [link, f"{expected} ({known.source})", measured, told(result), seconds(result), means]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def section(name: str, result: dict[str, Any] | None) -> list[str]:
    """All numbers of one phenomenon."""
    known = phenomenon(name)
    lines = [f"## {known.title}", "", known.setup, "", f"Source: {known.source}. {known.checked}", ""]
    if known.changed:
        lines += [f"Changed after a look: {known.changed}", ""]
    if result is None:
        return [*lines, f"Not run here. `python bench/validation.py {name}` runs it.", ""]
    lines += ["| measure | expected | measured | holds |", "|---|---|---|---|"]
    for label, one in result["measures"].items():
        holds = {True: "yes", False: "**no**", None: ""}[one["holds"]]
        lines.append(f"| {label} | {one['expected']} | {number(one['measured'])} | {holds} |")
    sizes = ", ".join(f"`{name}` {size}" for name, size in result["sizes"].items())
    return [*lines, "", f"Sizes of this run: {sizes}.", "", known.holds if held(result) else known.fails, ""]


def decisive(result: dict[str, Any]) -> dict[str, Any]:
    """The measures that were expected to come out in a certain way."""
    return {label: one for label, one in result["measures"].items() if one["holds"] is not None}


def held(result: dict[str, Any]) -> bool:
    return all(one["holds"] for one in decisive(result).values())


def told(result: dict[str, Any]) -> str:
    """How many of the expectations came true."""
    decided = decisive(result).values()
    right = sum(one["holds"] for one in decided)
    return "yes" if right == len(decided) else f"**{right} of {len(decided)}**"


def seconds(result: dict[str, Any]) -> str:
    """None where a run was stopped after its last number was there."""
    return "–" if result["seconds"] is None else f"{result['seconds']:g}"


def number(value: float | None) -> str:
    return "never" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


if __name__ == "__main__":
    main(sys.argv[1:])
