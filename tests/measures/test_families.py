import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from measures.experimental import with_experiments

from resonance.errors import UserError
from resonance.measures import FAMILIES, load_family
from resonance.measures.table import SCHEMA, concatenate, write_family
from resonance.storage import read_table

DOCS = Path(__file__).parents[2] / "docs" / "measures.md"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_measure_says_what_it_is(name: str) -> None:
    text = DOCS.read_text(encoding="utf-8")
    for measure, definition in load_family(name).MEASURES.items():
        assert set(definition) == {"unit", "formula", "source"}
        assert f"`{measure}`" in text, f"{DOCS.name} does not explain {measure}"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_writes_the_schema(name: str, synthetic: Callable, tmp_path: Path) -> None:
    def later(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
        return 1.2 * vectors + 0.1 * rng.standard_normal(vectors.shape)

    orbit = {"entered": 3, "period": 2}
    links = [[i, i] for i in range(30)]
    states = {"later": later, "state_change": True, "orbit": orbit, "segment": 2, "links": links}
    states |= {"shown": ("1>2", "1>1", "2>2"), "cycles": (0, 1, 2, 4, 16), "stops": (2, 16)}
    run = with_experiments(synthetic(**states, heads=("critic",), steps=(1, 4)).write(), tmp_path, clauses=30)
    write_family(tmp_path / "one", name, run)
    concatenate([tmp_path / "one"], tmp_path / "all")
    table = read_table(tmp_path / "all")
    assert table.schema.equals(SCHEMA)
    assert len(table) > 0
    assert set(load_family(name).MEASURES) == {
        measure if not measure[-1].isdigit() else measure.rstrip("0123456789") + "<k>"
        for measure in table["measure"].unique().to_pylist()
    }
    keys = [n for n in SCHEMA.names if n not in ("value", "low", "high")]
    assert not table.select(keys).to_pandas().duplicated().any()


def test_unknown_families_are_named() -> None:
    with pytest.raises(UserError, match="allowed: loss, changes"):
        load_family("table")


def test_a_job_loads_what_it_needs() -> None:
    """No torch, no scipy, and the package itself no family."""
    code = (
        "import sys, resonance.measures;"
        "assert not [m for m in sys.modules if m.startswith('resonance.measures.')];"
        "assert 'pandas' not in sys.modules;"
        "[resonance.measures.load_family(name) for name in resonance.measures.FAMILIES];"
        "assert not {'torch', 'scipy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
