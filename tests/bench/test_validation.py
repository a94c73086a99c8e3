"""The page of known phenomena says what the results say, and what makes it runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[2]
TINY = {
    "floor": {"rates": (1e-3, 1e-4), "cycles": (1, 2), "characters": 40},
    "random_targets": {"cycles": 1, "characters": 40, "width": 16, "seeds": 1},
    "edge": {"steps": 4, "every": 2, "characters": 30, "products": 2},
    "induction": {"steps": 10, "batch": 2, "width": 16},
    "recall": {"steps": 1, "loads": (2, 3), "batch": 2},
    "grokking": {"p": 5, "steps": 50, "width": 16},
    "capacity": {"steps": 2, "offered": (0.05, 0.1), "width": 16, "layers": 1, "batch": 4},
}


@pytest.fixture
def validation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, found where it finds its own parts when it is run."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import validation

    return validation


def test_the_page_is_what_the_results_say(validation: ModuleType) -> None:
    found = validation.read(validation.RESULTS)
    assert found
    assert validation.PAGE.read_text() == validation.rendered(found)


def test_a_tiny_run_is_written_beside_what_was_there(validation: ModuleType, tmp_path: Path) -> None:
    results, page = tmp_path / "validation.json", tmp_path / "validation.md"
    result = validation.carry_out(validation.phenomenon("reversal"), facts=8, steps=3, width=16)
    assert all(set(one) == {"expected", "measured", "holds"} for one in result["measures"].values())
    assert result["measures"]["taught both ways, asked back: right"]["holds"] is False, "three steps teach nothing"
    validation.write(results, page, {"reversal": result, "floor": validation.read(validation.RESULTS)["floor"]})
    assert list(json.loads(results.read_text())) == ["floor", "reversal"]
    assert "not run here" in page.read_text()
    assert page.read_text() == validation.rendered(validation.read(results))


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_version_runs(validation: ModuleType, name: str) -> None:
    result = validation.carry_out(validation.phenomenon(name), **TINY[name])
    assert len(result["measures"]) >= 3
    assert result["sizes"].items() >= TINY[name].items()
    assert validation.section(name, result)


def test_every_phenomenon_has_its_file_and_says_where_it_comes_from(validation: ModuleType) -> None:
    files = {path.stem for path in (ROOT / "bench/phenomena").glob("*.py")}
    assert set(validation.NAMES) <= files
    for name in validation.NAMES:
        known = validation.phenomenon(name)
        assert all((known.title, known.source, known.checked, known.setup, known.holds, known.fails))


def test_an_unknown_name_is_refused(validation: ModuleType) -> None:
    from resonance.errors import UserError

    with pytest.raises(UserError, match="'gravity' is no phenomenon"):
        validation.main(["gravity"])


def test_answers_stand_where_the_loss_is(validation: ModuleType) -> None:
    from phenomena import recall

    tokens_BT = recall.rows(3, 4, torch.Generator().manual_seed(0))
    answers_BL = recall.asked(tokens_BT[:, 1:], 4)
    assert (answers_BL >= recall.KEYS).all()
    for row_T, answered_L in zip(tokens_BT.tolist(), answers_BL.tolist(), strict=True):
        known = dict(zip(row_T[:8:2], row_T[1:8:2], strict=True))
        assert [known[key] for key in row_T[8::2]] == answered_L


def test_what_is_above_the_floor_falls_into_its_parts(validation: ModuleType) -> None:
    from phenomena import floor

    def excess(*chances: tuple[float, float]) -> tuple[float, ...]:
        whole, _, *three = floor.parts(list(chances), 0.5)
        assert sum(three) == pytest.approx(whole - math.log(2))
        return tuple(round(part, 6) for part in three)

    assert excess((0.5, 0.5)) == (0, 0, 0)
    assert excess((0.4, 0.4), (0.4, 0.4)) == (round(-math.log(0.8), 6), 0, 0), "a fifth lies elsewhere"
    assert excess((0.6, 0.4), (0.6, 0.4)) == (0, round(-math.log(0.24) / 2 - math.log(2), 6), 0), "off, but still"
    assert excess((0.6, 0.4), (0.4, 0.6)) == (0, 0, round(-math.log(0.24) / 2 - math.log(2), 6)), "swings about 0.5"


def test_equal_texts_have_as_many_tokens_and_begin_as_they_did(validation: ModuleType) -> None:
    from phenomena import pair

    whole, cut = pair.tokens("spacing", 60), pair.tokens("spacing", 60, equal=True)
    lengths = {side: len(whole.rows[side].ids) for side in "12"}
    assert lengths["1"] != lengths["2"]
    for side in "12":
        assert len(cut.rows[side].ids) == min(lengths.values())
        assert list(cut.rows[side].pieces) == list(whole.rows[side].pieces[: min(lengths.values())])
