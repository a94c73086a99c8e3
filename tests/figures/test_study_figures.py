"""What the figures of the whole study show: claims, steps, understanding, confidence, doses, heads, dimensions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figures.legible import assert_legible, texts
from figures.synthetic_tables import tables, tidy
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resonance.figures import (
    between,
    correspondence,
    critic,
    depth,
    dose,
    geometry,
    interference,
    patching,
    permutations,
    reliability,
    understanding,
    verdicts,
)
from resonance.figures.save import save

ALL = [between, correspondence, critic, depth, dose, geometry, interference, patching]
ALL += [permutations, reliability, understanding]
PER_RUNS = [module for module in ALL if module not in (depth, permutations)]


def words(figure: Figure) -> str:
    return " | ".join(text for text, _ in texts(figure)).replace("\n", " ").replace("\u00a0", " ")


def claim(verdict: str = "supported", **effect: Any) -> dict[str, Any]:
    return {
        "id": "C9",
        "name": "interference",
        "title": "Contexts cross and interfere, which is said here at some length so that it must be wrapped and cut",
        "verdict": verdict,
        "endpoint": {"unit": "of the own gain that is much longer", "sesoi": 0.05, "direction": "above"},
        "effect": effect or None,
        "control": {"outcome": "passed"},
    }


def runs(outcome: Any, schedules: int, seeds: int) -> pd.DataFrame:
    """`accuracy_online` of every cycle up to 64: 99 % from the cycle `outcome(schedule, seed)` on."""
    return tidy(
        [
            {"learner": "gpt", "pair": "p", "schedule": f"order-{schedule}", "seed": seed, "cycle": cycle}
            | {"direction": direction, "measure": "accuracy_online", "value": 0.99 * (cycle >= outcome(schedule, seed))}
            for schedule in range(schedules)
            for seed in range(seeds)
            for cycle in range(1, 65)
            for direction in ("1>2", "2>1", "1>1", "2>2")
        ]
    )


def doses(slope: float, versions: float) -> pd.DataFrame:
    """Ends of runs on blocks of 1 to 16 and of learners with 1 to 16 versions, with these slopes per doubling."""
    key = {"pair": "p", "cycle": 64, "condition": "target:paraphrase", "measure": "bits_per_byte", "direction": "1>2"}
    rows: list[dict[str, object]] = []
    for dose_ in (1, 4, 16):
        for seed in range(2):
            here = key | {"seed": seed}
            power = float(np.log2(dose_))
            rows.append(here | {"learner": "gpt", "schedule": f"block-{dose_}", "value": 4 + slope * power})
            rows.append(here | {"learner": f"versions-{dose_}", "schedule": "s", "value": 4 + versions * power})
    return tidy(rows)


@pytest.mark.parametrize("module", ALL)
def test_without_its_family_a_figure_says_why_it_is_empty(module: Any) -> None:
    figure = module.draw({})
    assert "Nothing to show" in words(figure)
    assert not figure.axes


@pytest.mark.parametrize("module", ALL)
def test_with_rows_of_other_measures_only_a_figure_says_why_it_is_empty(module: Any) -> None:
    other = tidy([{"learner": "gpt", "measure": "something else", "cycle": 0, "seed": 0, "value": 1.0}])
    assert "Nothing to show" in words(module.draw(dict.fromkeys(tables(1), other)))


@pytest.mark.parametrize("module", PER_RUNS)
@pytest.mark.parametrize(("learners", "seeds", "last"), [(1, 1, 64), (4, 4, 512), (10, 1, 10**6)])
def test_no_text_overlaps_or_is_cut(module: Any, learners: int, seeds: int, last: int) -> None:
    assert_legible(module.draw(tables(learners, seeds, last)))


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for number in "12":
        save(interference.draw(tables(2)), tmp_path / f"interference{number}")
        save(verdicts.draw({"claims": [claim(value=0.2, n=7)]}), tmp_path / f"verdicts{number}")
    for kind in ("interference", "verdicts"):
        for suffix in ("svg", "png"):
            first, second = (tmp_path / f"{kind}{number}.{suffix}" for number in "12")
            assert first.read_bytes() == second.read_bytes()


def test_every_verdict_has_a_sign_and_a_word() -> None:
    given = [claim(verdict, value=0.2, low=0.1, high=0.3, n=7, unit="seed") for verdict in verdicts.SIGNS]
    figure = verdicts.draw({"claims": given, "study": {"pairs": ["spacing"], "cycles": 32}})
    assert_legible(figure)
    shown = [text for text, _ in texts(figure)]
    for word, mark in verdicts.SIGNS.items():
        assert word in shown
        assert mark.label in shown
    assert "Of 4 claims: 1 supported, 1 refuted, 1 not identifiable, 1 undecided" in words(figure)
    assert "n = 7 seeds" in shown
    assert len({mark.label for mark in verdicts.SIGNS.values()}) == 4


def test_effects_stand_in_units_of_the_smallest_that_matters() -> None:
    figure = verdicts.draw({"claims": [claim(value=0.075, low=0.05, high=0.1, n=7, unit="seed")]})
    drawn = [line for line in figure.axes[0].lines if line.get_color() == verdicts.BLUE]
    assert list(drawn[0].get_xdata()) == pytest.approx([verdicts.place(1.0), verdicts.place(2.0)])
    assert list(drawn[1].get_xdata()) == pytest.approx([verdicts.place(1.5)])
    below = claim(value=-0.3, n=7) | {"endpoint": {"unit": "nat", "sesoi": -0.1, "direction": "below"}}
    point = next(line for line in verdicts.draw({"claims": [below]}).axes[0].lines if line.get_color() == verdicts.BLUE)
    assert list(point.get_xdata()) == pytest.approx([verdicts.place(3.0)])


def test_an_effect_beyond_the_axis_is_an_arrow_at_its_end() -> None:
    figure = verdicts.draw({"claims": [claim(value=2.06, n=1, unit="seed")]})
    point = next(line for line in figure.axes[0].lines if line.get_color() == verdicts.BLUE)
    assert point.get_marker() == ">"
    assert list(point.get_xdata()) == [verdicts.RIGHT]
    assert "2.06" in words(figure)


def test_a_claim_without_an_effect_says_so() -> None:
    assert "not known" in words(verdicts.draw({"claims": [claim("undecided")]}))


def likeness(alike: dict[str, float], cycle: int = 64, last: int = 2) -> list[dict[str, object]]:
    """Rows of `cka_between` of pairs of learners named `a b`, from both sides; other layers say 0."""
    rows: list[dict[str, object]] = []
    for pair, value in alike.items():
        for one, other in (pair.split(), pair.split()[::-1]):
            here = {"learner": one, "pair": "p", "schedule": "s", "seed": 0, "cycle": cycle, "measure": "cka_between"}
            where = f"learner:{other}" if other != one else "seed:1"
            rows += [
                here | {"condition": where, "layer": layer, "value": value * (layer == last)} for layer in (0, last)
            ]
    return rows


def test_learners_that_are_alike_stand_together_and_the_start_below_the_end() -> None:
    end = {"gpt mdlm": 0.1, "gpt rwkv7": 0.9, "mdlm rwkv7": 0.2, "gpt gpt": 0.7}
    start = dict.fromkeys(["gpt mdlm", "gpt rwkv7"], 0.3)
    figure = between.draw({"between": tidy(likeness(end) + likeness(start, cycle=0))})
    assert_legible(figure)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gpt", "rwkv7", "mdlm"]
    shown = {(text.get_position()[1] - 0.5, text.get_position()[0] - 0.5): text.get_text() for text in axes.texts}
    ends = {(0, 1): ".90", (0, 2): ".10", (1, 2): ".20"}
    assert shown == ends | {(1, 0): ".30", (2, 0): ".30", (0, 0): ".70"}
    cells = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert {(patch.get_y(), patch.get_x()) for patch in cells if patch.get_hatch()} == {(1, 1), (2, 2), (2, 1)}
    assert "0.30 → 0.40 on average, at the end 0.10 (gpt and mdlm) to 0.90 (gpt and rwkv7)" in words(figure)


@pytest.mark.parametrize(("learners", "numbers"), [(2, True), (20, True), (45, False)])
def test_a_matrix_of_many_learners_can_be_read(learners: int, numbers: bool) -> None:
    names = [f"learner-{place}" for place in range(learners)]
    pairs = {f"{one} {other}": 0.5 for place, one in enumerate(names) for other in names[place + 1 :]}
    figure = between.draw({"between": tidy(likeness(pairs))})
    assert_legible(figure)
    assert bool(figure.axes[0].texts) == numbers


def test_steps_are_rows_and_losses_columns_and_a_missing_cell_is_hatched() -> None:
    figure = interference.draw(tables(1))
    cells = [patch for patch in figure.axes[-2].patches if isinstance(patch, Rectangle)]
    assert len(cells) == 16
    hatched = [(patch.get_y(), patch.get_x()) for patch in cells if patch.get_hatch()]
    assert hatched == [(2, 1)]
    grid, own = interference.cells(interference.rows(tables(1), "transfer"))
    assert np.isnan(np.diag(grid)).all()
    assert np.isfinite(own).all()
    assert "+0.40" in words(figure)


def test_few_learners_have_more_chunk_edges() -> None:
    assert interference.chosen([1, 2, 4, 8, 16, 32], 2) == [1, 4, 8, 32]
    assert interference.chosen([1, 2, 4, 8], 8) == [1, 8]
    assert interference.chosen([1, 2, 4, 8], 9) == [8]


@pytest.mark.parametrize(("value", "shown"), [(0.314, "+0.31"), (-1.23, "−1.2"), (12.4, "+12"), (3456.0, "+3k")])
def test_a_number_fits_its_cell(value: float, shown: str) -> None:
    assert interference.in_cell(value) == shown


def test_understanding_starts_at_0_and_ends_at_its_last_cycle() -> None:
    figure = understanding.draw(tables(1, 4))
    left = max(figure.axes[0].lines, key=lambda line: (line.get_linewidth(), len(line.get_xdata())))
    assert (left.get_xdata()[0], left.get_ydata()[0]) == pytest.approx((0, 0))
    assert "64" in words(figure)


def test_many_paths_have_no_room_for_words() -> None:
    few, many = (understanding.draw(tables(count, 1)) for count in (4, 10))
    assert sum(len(axes.texts) for axes in few.axes) == 2 * 4
    assert sum(len(axes.texts) for axes in many.axes) == 0
    assert_legible(many)


def test_reliability_is_pooled_by_weight() -> None:
    table = tables(1)["confidence"]
    table = table[(table["cycle"] == 64) & table["condition"].isin(reliability.PROBES)].astype({"condition": object})
    bins = reliability.curve(table)
    assert bins["weight"].sum() == pytest.approx(1)
    assert bins.loc[14, "y"] == pytest.approx(0.075)
    assert bins.loc[14, "x"] == pytest.approx(14.5 / 15)


def test_the_moments_of_reliability_are_the_first_t50_and_the_last() -> None:
    given = tables(1)
    known = given["memorisation"][given["memorisation"]["measure"] == "token_accuracy"]
    known = known[known["condition"] == "clean"]
    assert reliability.moments(given["confidence"], known) == {"first": 0, "t50": 8, "last": 64}
    assert reliability.moments(given["confidence"], known.iloc[:0]) == {"first": 0, "last": 64}


def test_the_band_of_a_dose_is_an_interval_of_the_mean() -> None:
    low, high = dose.interval(pd.DataFrame([[1.0, 2.0, 3.0, 4.0]]))
    assert (low[0], high[0]) == pytest.approx((2.5 - 2.0543, 2.5 + 2.0543), abs=1e-3)
    assert len(dose.draw(tables(1, 4)).axes[0].collections) == 1
    assert len(dose.draw(tables(1, 3)).axes[0].collections) == 0


def test_of_many_learners_eight_have_a_line() -> None:
    figure = dose.draw(tables(10))
    assert len(figure.legends[0].get_texts()) == 8
    assert "the first 8 of 10 learners" in words(figure)


def test_critic_shows_own_output_only_beside_what_needs_no_head() -> None:
    figure = critic.draw(tables(2))
    (axes,) = figure.axes
    assert "AUROC 0.90 against 0.80" in words(figure)
    assert min(min(line.get_ydata()) for line in axes.lines) >= 0.5
    assert "+0.04" in words(figure)


def test_layers_go_from_dark_to_light() -> None:
    marks = geometry.layer_marks([0, 1, 2, 3])
    brightness = [sum(int(mark.colour[i : i + 2], 16) for i in (1, 3, 5)) for mark in marks]
    assert brightness == sorted(brightness)
    assert len({(mark.dash, mark.marker) for mark in marks}) == 4
    assert geometry.shown_layers(pd.DataFrame({"layer": range(13)})) == [0, 2, 5, 7, 10, 12]


def test_correspondence_stands_beside_common_words() -> None:
    figure = correspondence.draw(tables(1))
    assert "common words alone: 0.80" in words(figure)
    assert "reworded segments" not in words(figure)
    assert any(set(line.get_ydata()) == {0.8} for line in figure.axes[0].lines)


def test_links_stand_beside_clauses_that_say_something_else() -> None:
    figure = patching.draw(tables(1))
    assert "gpt: put back, a clause brings its linked one back better than others by at most +40% (layer 1)" in words(
        figure
    )
    (axes,) = figure.axes
    linked, other = (line.get_ydata().tolist() for line in axes.lines[:2])
    assert (linked, other) == (pytest.approx([0.2, 0.5]), pytest.approx([0.1, 0.1]))
    (band,) = axes.collections
    assert band.get_datalim(axes.transData).intervaly == pytest.approx([0.05, 0.2])


def test_t99_is_the_first_cycle_at_which_the_mean_is_reached() -> None:
    times = permutations.reached(runs(lambda schedule, seed: 10 + 2 * schedule + 5 * seed, 3, 2))
    assert times.to_numpy().tolist() == [[10, 15], [12, 17], [14, 19]]
    figure = permutations.draw({"loss": runs(lambda schedule, seed: 10 + 2 * schedule + 5 * seed, 3, 2)})
    assert "gpt knows 99% of its targets after 12 cycles under one schedule and 16 under another (× 1.32)" in words(
        figure
    )
    assert_legible(figure)


def test_a_run_that_did_not_get_there_is_open_and_named() -> None:
    figure = permutations.draw({"loss": runs(lambda schedule, seed: 80 if schedule == seed == 1 else 10, 2, 2)})
    assert "not reached" in words(figure)
    assert sum(line.get_markerfacecolor() == "white" for line in figure.axes[0].lines) == 1


def test_one_schedule_compares_nothing() -> None:
    assert "Nothing to show" in words(permutations.draw({"loss": runs(lambda schedule, seed: 10, 1, 3)}))


def test_depth_says_both_slopes() -> None:
    figure = depth.draw({"probes": doses(0.05, -0.2)})
    assert "+0.05 bit/byte per doubling of the block length and −0.2 bit/byte per doubling of the versions" in words(
        figure
    )
    assert_legible(figure)
    half = doses(0.05, -0.2)
    blocks_only = depth.draw({"probes": half[half["learner"] == "gpt"]})
    assert "no such runs" in words(blocks_only)
