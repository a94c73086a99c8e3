"""What each figure that is drawn from tables shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from figures.legible import texts
from figures.synthetic_tables import DIRECTIONS, tables, tidy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resonance.figures import drift, loss, probes, reader, recall
from resonance.figures.style import DIRECTIONS as MARKS

ALL = [loss, recall, probes, reader, drift]


def words(figure: Figure) -> str:
    return " | ".join(text for text, _ in texts(figure))


def line(axes: Axes, colour: str) -> tuple[list[float], list[float]]:
    """The thickest line of a colour: the mean over seeds."""
    drawn = max((each for each in axes.lines if each.get_color() == colour), key=lambda each: each.get_linewidth())
    return list(drawn.get_xdata()), list(drawn.get_ydata())


@pytest.mark.parametrize("module", ALL)
def test_without_its_family_a_figure_says_why_it_is_empty(module: object) -> None:
    figure = module.draw({})
    assert "Nothing to show" in words(figure)
    assert not figure.axes


@pytest.mark.parametrize("module", ALL)
def test_with_rows_of_other_measures_only_a_figure_says_why_it_is_empty(module: object) -> None:
    other = tidy([{"learner": "gpt", "measure": "something else", "cycle": 0, "seed": 0, "value": 1.0}])
    assert "Nothing to show" in words(module.draw(dict.fromkeys(tables(1), other)))


@pytest.mark.parametrize("module", ALL)
def test_a_table_with_a_value_missing_is_drawn(module: object) -> None:
    holes = {
        family: table.assign(value=table["value"].where(table["cycle"] != 4)) for family, table in tables(1).items()
    }
    assert module.draw(holes).axes


def test_loss_shows_every_direction_from_cycle_0() -> None:
    given = tables(2)
    figure = loss.draw(given)
    assert [axes.get_title("left") for axes in figure.axes] == ["gpt", "loreft"]
    nll = given["loss"][given["loss"]["measure"] == "nll"]
    for axes, name in zip(figure.axes, ("gpt", "loreft"), strict=True):
        for direction in DIRECTIONS:
            own = nll[(nll["learner"] == name) & (nll["direction"] == direction)]
            cycles, values = line(axes, MARKS[direction].colour)
            assert cycles == list(own["cycle"])
            assert cycles[0] == 0
            assert values == pytest.approx(list(own["value"]))


def test_loss_draws_the_steps_between_the_marks_pale() -> None:
    pale = [each for each in loss.draw(tables(1)).axes[0].lines if each.get_alpha() == 0.35]
    assert len(pale) == 4
    assert all(min(each.get_xdata()) == 1 for each in pale)


def test_loss_without_the_steps_is_drawn_too() -> None:
    given = tables(1)
    marks_only = {"loss": given["loss"][given["loss"]["measure"] == "nll"]}
    assert "pale" not in words(loss.draw(marks_only))
    assert "pale" in words(loss.draw(given))


def test_titles_hold_the_numbers_at_the_ends() -> None:
    assert "gpt: loss 7.61 → 0.0226 nat/token in 64 cycles" in words(loss.draw(tables(1)))
    assert "(gpt) to 1.54\u00a0(reader)" in words(loss.draw(tables(4))).replace(" | ", " ")


def test_recall_has_a_line_per_prefix_of_clean_inputs_only() -> None:
    axes = recall.draw(tables(1)).axes[0]
    assert len(axes.lines) == 3
    assert [each.get_ydata()[0] for each in axes.lines] == pytest.approx([0.0, 0.08, 0.32])
    assert axes.get_ylim() == (0.0, 1.0)


def test_prefixes_are_taken_from_the_table() -> None:
    table = tidy(
        [
            {"learner": "gpt", "pair": "p", "schedule": "s", "seed": 0, "cycle": cycle, "direction": "1>2"}
            | {"condition": "clean", "measure": f"exact_continuation_{prefix}", "value": 0.5}
            for prefix in (100, 5)
            for cycle in (0, 1)
        ]
    )
    figure = recall.draw({"memorisation": table})
    assert "Nothing" not in words(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["5", "100"]


def test_probes_has_a_row_per_learner_and_three_columns() -> None:
    figure = probes.draw(tables(3))
    assert len(figure.axes) == 9
    assert [len(axes.lines) for axes in figure.axes[:3]] == [3, 4, 3]
    first = [axes.get_ylim() for axes in figure.axes[::3]]
    assert first == [first[0]] * 3


def test_probes_that_a_pair_lacks_are_said_to_be_missing() -> None:
    given = tables(1)["probes"]
    figure = probes.draw({"probes": given[given["measure"] != "bits_per_byte"]})
    assert "not asked" in words(figure)


def test_the_shares_at_edited_places_sum_to_one() -> None:
    lines = probes.draw(tables(1)).axes[2].lines
    assert np.sum([each.get_ydata() for each in lines], axis=0) == pytest.approx(1)


def test_reader_is_log_log_and_has_only_learners_that_carry_a_state() -> None:
    figure = reader.draw(tables(4))
    change, gain, _ = figure.axes
    assert (change.get_xscale(), change.get_yscale(), gain.get_yscale()) == ("log", "log", "linear")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["gpt", "reader"]
    assert "−0.3" in words(figure)


def test_a_state_that_comes_to_rest_does_not_break_the_logarithm() -> None:
    given = tables(1)["reader"]
    still = given.assign(value=given["value"].where(given["measure"] != "state_change", 0.0))
    assert "0 in every cycle" in words(reader.draw({"reader": still}))


def test_reader_shows_growth_from_cycle_0_around_a_line_at_0() -> None:
    figure = reader.draw(tables(4))
    growth = figure.axes[2]
    drawn = [each for each in growth.lines if len(each.get_xdata()) > 2]
    assert [set(each.get_ydata()) for each in drawn] == [{-0.5}, {0.5}]
    assert min(drawn[0].get_xdata()) == 0
    assert [0, 0] in [list(each.get_ydata()) for each in growth.lines]
    assert "nat/cycle" in growth.get_ylabel()


def test_reader_has_two_panels_where_no_growth_was_measured() -> None:
    given = tables(4)["reader"]
    figure = reader.draw({"reader": given[given["measure"] != "lyapunov_1"]})
    assert len(figure.axes) == 2
    only = given[given["measure"] == "lyapunov_1"]
    assert "Nothing to show" in words(reader.draw({"reader": only}))


def test_drift_squared_is_rotation_squared_plus_rest_squared() -> None:
    given = tables(1)["similarity"]
    maps = drift.split(given)
    whole = given[given["measure"] == "drift"].pivot_table(index="layer", columns="cycle", values="value")
    assert (maps.rotation**2 + maps.rest**2).to_numpy(float) == pytest.approx((whole**2).to_numpy(float))


def test_a_rotation_that_predicts_worse_than_none_is_drawn_as_0() -> None:
    key = {"learner": "a", "pair": "p", "schedule": "s", "seed": 0, "cycle": 1, "layer": 0, "condition": "probes"}
    table = tidy([key | {"measure": "drift", "value": 1.0}, key | {"measure": "rest", "value": 1.2}])
    assert drift.split(table).rotation.to_numpy(float).tolist() == [[0.0]]
    assert drift.draw({"similarity": table}).axes


def test_drift_maps_share_one_scale_with_layer_0_at_the_bottom() -> None:
    figure = drift.draw(tables(2))
    maps = [axes.collections[0] for axes in figure.axes[:4]]
    assert len({mapped.norm for mapped in maps}) == 1
    rotation = np.asarray(maps[0].get_array())
    assert rotation.shape == (3, 7)
    assert (np.diff(rotation, axis=0) > 0).all()
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["gpt: rotation", "gpt: rest"]


def test_networks_of_different_depth_stand_side_by_side() -> None:
    shallow, deep = tables(1, depth=2)["similarity"], tables(1, depth=6)["similarity"]
    both = pd.concat([shallow, deep.assign(learner="deep")], ignore_index=True)
    figure = drift.draw({"similarity": both})
    assert [np.asarray(axes.collections[0].get_array()).shape[0] for axes in figure.axes[:4]] == [3, 3, 7, 7]


def test_a_frozen_network_that_never_drifts_is_drawn() -> None:
    given = tables(1)["similarity"]
    still = given[given["measure"].isin(["drift", "rest"])].assign(value=0.0)
    assert "Drift of the hidden states" in words(drift.draw({"similarity": still}))


def test_one_learner_far_out_does_not_take_all_colours_from_the_others() -> None:
    assert drift.scale_end(np.array([1.0, 1.2, 40.0])) == 2.4
    assert drift.scale_end(np.array([1.0, 1.2, 3.0])) == 3.0
    assert drift.scale_end(np.array([0.0, 0.0, 5.0])) == 5.0
