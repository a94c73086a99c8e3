import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = runpy.run_path(str(ROOT / "bench" / "schedule.py"))
RESULTS = json.loads((ROOT / "bench" / "results" / "schedule.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("bar", ["seconds", "megabytes", "peak_memory_megabytes"])
def test_a_billion_cycles_stay_under_the_bars(bar: str) -> None:
    assert RESULTS["study"]["cycles"] == 10**9
    assert RESULTS["machine"]["cores"] <= 2
    assert RESULTS["study"][bar] <= BENCH["BARS"][bar]


def test_the_page_shows_what_was_measured() -> None:
    page = (ROOT / "docs" / "schedule.md").read_text(encoding="utf-8")
    assert f"{BENCH['BEGIN']}\n{BENCH['table'](RESULTS)}\n{BENCH['END']}" in page, "run python bench/schedule.py"
