"""How fast, how large and in how much memory schedules are made and read, on two cores.

    python bench/schedule.py                    a billion cycles: the bars of docs/schedule.md
    python bench/schedule.py --cycles 10000000  a quick look, which writes nothing

The billion-cycle run writes bench/results/schedule.json and the table in docs/schedule.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
import pyarrow

from resonance import storage
from resonance.params import Block, Blocked, CrossOnly, Fixed, OneDirection, Rotating, SameOnly, Shuffled, Weighted
from resonance.schedule import chunks, files, orders

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "schedule.json"
PAGE = ROOT / "docs" / "schedule.md"
BEGIN, END = "<!-- measured: written by bench/schedule.py -->", "<!-- end -->"

BILLION = 10**9
BARS = {"seconds": 60, "megabytes": 650, "peak_memory_megabytes": 400}
CORES = 2
VERSIONS = {"Python": platform.python_version(), "numpy": numpy.__version__, "pyarrow": pyarrow.__version__}
SAMPLE = 10_000_000
ORDERS: tuple[Block, ...] = (
    Shuffled(),
    Weighted(weights={"1>2": 4, "2>1": 3, "1>1": 2, "2>2": 1}),
    Blocked(length=1000),
    Rotating(),
    SameOnly(),
    CrossOnly(),
    Fixed(order=None),
    OneDirection(),
)


def peak_memory() -> int:
    """Most bytes ever resident, of this process and the largest of its children together."""
    kilobytes = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return int(kilobytes * 1024)


def write_study(folder: Path, cycles: int) -> dict[str, Any]:
    """All chunk files of one shuffled run."""
    cuts = chunks.edges(cycles, first=64, longest=10_000_000)
    began = time.perf_counter()
    paths = files.write_schedules(folder, Shuffled(), seed=0, windows=1, edges=cuts, workers=CORES)
    seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in paths)
    return {
        "cycles": cycles,
        "files": len(paths),
        "seconds": round(seconds, 1),
        "megabytes": round(size / 1e6, 1),
        "bits_per_cycle": round(size * 8 / cycles, 3),
        "peak_memory_megabytes": round(peak_memory() / 1e6, 1),
    }


def write_each(folder: Path) -> dict[str, dict[str, float]]:
    """One file of SAMPLE cycles for every order, and one with windows; a single thread."""
    measured = {}
    for order, windows in [*((order, 1) for order in ORDERS), (Shuffled(), 4)]:
        path = folder / "one.parquet"
        began = time.perf_counter()
        files.write_schedule(path, order, 0, windows, 0, SAMPLE)
        seconds = time.perf_counter() - began
        name = order.model_dump()["tag"] + (f", {windows} windows" if windows > 1 else "")
        measured[name] = {
            "nanoseconds_per_cycle": round(seconds / SAMPLE * 1e9, 1),
            "bits_per_cycle": round(path.stat().st_size * 8 / SAMPLE, 3),
        }
    return measured


def read_back(folder: Path) -> dict[str, float]:
    """Nanoseconds per cycle to draw, to read as arrays, and to read as slots."""
    path = folder / "read.parquet"
    files.write_schedule(path, Shuffled(), 0, 1, 0, SAMPLE)
    began = time.perf_counter()
    orders.indices(Shuffled(), 0, 0, SAMPLE)
    drawn = time.perf_counter()
    cycles = sum(len(part.indices) for part in files.read_schedule(path).parts())
    parts = time.perf_counter()
    cycles += sum(1 for _ in files.slots(path))
    slots = time.perf_counter()
    assert cycles == 2 * SAMPLE
    spans = {"draw_indices": drawn - began, "read_arrays": parts - drawn, "read_slots": slots - parts}
    return {name: round(seconds / SAMPLE * 1e9, 1) for name, seconds in spans.items()}


def table(results: dict[str, Any]) -> str:
    """The measured numbers as Markdown."""
    study, read = results["study"], results["nanoseconds_per_cycle"]
    lines = [f"| {study['cycles']:,} shuffled cycles in {study['files']} files | bar | measured |", "|---|---|---|"]
    lines += [
        f"| {label} | ≤ {results['bars'][key]} {unit} | {study[key]} {unit} |"
        for label, key, unit in (
            ("time", "seconds", "s"),
            ("on disk", "megabytes", "MB"),
            ("peak memory", "peak_memory_megabytes", "MB"),
        )
    ]
    lines += ["", "| one thread, one file | ns per cycle | bits per cycle |", "|---|---|---|"]
    lines += [
        f"| write {name} | {row['nanoseconds_per_cycle']} | {row['bits_per_cycle']} |"
        for name, row in sorted(results["orders"].items())
    ]
    lines += [f"| {name.replace('_', ' shuffled as ')} | {value} | |" for name, value in sorted(read.items())]
    machine = results["machine"]
    lines += ["", f"On {machine['cores']} cores, with " + ", ".join(f"{key} {machine[key]}" for key in VERSIONS) + "."]
    return "\n".join(lines)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cycles", type=int, default=BILLION)
    cycles = arguments.parse_args().cycles
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = write_study(folder / "study", cycles)
        results = {
            "study": study,
            "bars": BARS,
            "orders": write_each(folder),
            "nanoseconds_per_cycle": read_back(folder),
            "machine": {"cores": len(cores), **VERSIONS},
        }
    print(json.dumps(results, indent=2))
    if cycles != BILLION:
        return 0
    storage.write_json(RESULTS, results)
    if PAGE.is_file():
        before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        storage.write_text(PAGE, f"{before}{BEGIN}\n{table(results)}\n{END}{rest.split(END)[1]}")
    over = [name for name, bar in BARS.items() if study[name] > bar]
    if over:
        print(f"over the bar: {', '.join(over)}")
    return len(over)


if __name__ == "__main__":
    sys.exit(main())
