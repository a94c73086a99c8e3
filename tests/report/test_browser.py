"""The page in a real browser: run by `make test-system` on machines that have one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from report.chromium import Tab, chromium
from report.conftest import NASTY

pytestmark = pytest.mark.system
Report = Callable[..., str]

COLOURS = (
    "[...document.querySelectorAll('[data-tokens=\"{}\"] span')].map(each => getComputedStyle(each).backgroundColor)"
)
PATH = "document.querySelector('[data-part=\"path\"]').innerHTML"
NOW = "document.querySelector('[data-part=\"now\"]').textContent"
CHOSEN = "document.querySelector('[data-part=\"chosen\"]').textContent"
FOCUS = "document.activeElement.dataset.{}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def tab(browser: Tab, full: Report, tmp_path: Path) -> Iterator[Tab]:
    """The full page, as a desktop shows it. It must neither complain nor ask anything of anybody."""
    browser.complaints.clear()
    browser.requests.clear()
    full()
    browser.open(tmp_path / "report.html")
    yield browser
    assert browser.complaints == []
    assert all(request.startswith(("file:", "data:")) for request in browser.requests)


@pytest.mark.parametrize("dark", [True, False])
def test_a_browser_shows_the_page_light_and_dark(tab: Tab, tmp_path: Path, dark: bool) -> None:
    tab.open(tmp_path / "report.html", width=900, height=2400, dark=dark)
    tab.shoot(tmp_path / "shot.png")
    pixels = imread(tmp_path / "shot.png")[..., :3]
    assert pixels.shape[:2] == (2400, 900)
    assert (pixels[5, 5].mean() < 0.5) == dark
    assert pixels.std() > 0.05
    tab.shoot(tmp_path / "card.png", ".card")
    # the card of a figure is white in both schemes
    assert (imread(tmp_path / "card.png")[20, 20, :3] == 1).all()
    colours = tab.get(COLOURS.format("target"))
    assert len(set(colours)) > 5


def test_the_slider_moves_through_the_cycles(tab: Tab) -> None:
    assert tab.get(NOW) == "cycle 2 of 64"
    seen = [(tab.get(PATH), tab.get(COLOURS.format("target")))]
    tab.get("document.querySelector('[data-part=\"cycle\"]').focus()")
    for key, cycle in (("ArrowRight", "4"), ("ArrowRight", "64"), ("Home", "0"), ("ArrowRight", "1")):
        tab.press(key)
        assert tab.get(NOW) == f"cycle {cycle} of 64"
        seen.append((tab.get(PATH), tab.get(COLOURS.format("target"))))
    for what in zip(*seen, strict=True):
        assert len({str(each) for each in what}) == len(seen)


def test_pictures_answer_to_arrow_keys(tab: Tab) -> None:
    tab.get("document.querySelector('[data-part=\"path\"]').focus()")
    tab.press("End")
    assert tab.get(NOW) == "cycle 64 of 64"
    tab.press("ArrowRight")
    assert tab.get(NOW) == "cycle 64 of 64"
    tab.press("ArrowLeft")
    assert tab.get(NOW) == "cycle 4 of 64"
    label = tab.get("document.querySelector('[data-part=\"path\"]').getAttribute('aria-label')")
    assert "now at cycle 4" in label


def test_everything_is_reached_by_tab_and_seen_there(tab: Tab) -> None:
    tab.get("document.querySelector('[data-pick=\"learner\"]').focus()")
    found = [tab.get(FOCUS.format("pick"))]
    for _ in range(9):
        tab.press("Tab")
        expression = "(each => each.dataset.part || each.dataset.tokens || each.name)(document.activeElement)"
        found.append(tab.get(expression))
        # a radio is drawn by the word beside it
        outline = "(each => getComputedStyle(each.type === 'radio' ? each.nextElementSibling : each).outlineStyle)"
        assert tab.get(f"{outline}(document.activeElement)") == "solid"
    radios = ["explorer-direction", "explorer-colour", "explorer-layer"]
    assert found == ["learner", *radios, "play", "cycle", "input", "target", "path", "curve"]


def test_arrow_keys_choose_a_token_and_escape_leaves_it(tab: Tab) -> None:
    tab.get("document.querySelector('[data-tokens=\"target\"]').focus()")
    tab.press("ArrowRight", times=3)
    assert tab.get(CHOSEN).startswith("“w2”: token 3 of the target; segment 1; drift ")
    assert "costs 2.4 nat" in tab.get(CHOSEN)
    assert tab.get("document.querySelectorAll('.tokens .chosen').length") == 1
    tab.press("ArrowLeft")
    assert tab.get(CHOSEN).startswith("“w1”")
    tab.press("End")
    assert tab.get(CHOSEN).startswith("“w59”: token 60")
    tab.press("Escape")
    assert tab.get(CHOSEN) == "No token is chosen."


def test_a_click_chooses_a_token_and_its_line_is_drawn(tab: Tab) -> None:
    lines = "document.querySelectorAll('[data-part=\"curve\"] path').length"
    before = tab.get(lines)
    tab.click("[data-tokens='input'] span:nth-child(5)")
    assert tab.get(CHOSEN).startswith("“two”: token 5 of the input")
    assert tab.get(lines) == before + 1


def test_direction_layer_and_colour_are_chosen(tab: Tab) -> None:
    def pick(name: str, value: str) -> None:
        tab.get(f'document.querySelector(\'[name="explorer-{name}"][value="{value}"]\').click()')

    title = "document.querySelector('[data-part=\"target-title\"]').textContent"
    assert tab.get(title) == "● target: text 2, the meta-analysis"
    pick("direction", "2>1")
    assert tab.get(title) == "● target: text 1, the article"
    assert set(tab.get(COLOURS.format("input"))) == {"rgba(0, 0, 0, 0)"}
    pick("colour", "drift")
    high = tab.get(COLOURS.format("input"))
    assert len(set(high)) > 10
    pick("layer", "0")
    assert tab.get(COLOURS.format("input")) != high
    assert "in layer 0" in tab.get("document.querySelector('[data-part=\"curve-key\"]').textContent")


def test_another_learner_keeps_cycle_and_layer(tab: Tab) -> None:
    tab.get("document.querySelector('[data-part=\"cycle\"]').focus()")
    tab.press("End")
    tab.get(
        "(each => { each.value = 'loreft'; each.dispatchEvent(new Event('change')); })"
        "(document.querySelector('[data-pick=\"learner\"]'))"
    )
    assert tab.get("document.querySelector('[data-pick=\"learner\"]').value") == "loreft"
    assert tab.get(NOW) == "cycle 64 of 64"
    assert (
        tab.get("[...document.querySelectorAll('[data-pick]')].filter(each => !each.parentElement.hidden).length") == 1
    )


def test_play_runs_to_the_end_and_stops(tab: Tab) -> None:
    word = "document.querySelector('[data-part=\"play-word\"]').textContent"
    tab.get("document.querySelector('[data-part=\"play\"]').focus()")
    tab.press(" ")
    assert tab.get(word) == "pause"
    tab.until(f"{NOW} === 'cycle 64 of 64'")
    tab.until(f"{word} === 'play'")
    tab.press("Enter")
    assert tab.get(NOW) == "cycle 0 of 64"
    tab.press("Enter")
    assert tab.get(word) == "play"


def test_texts_stay_texts(tab: Tab) -> None:
    first = "document.querySelector('[data-tokens=\"input\"] span').textContent"
    assert tab.get(first) == NASTY
    assert tab.get("document.querySelectorAll('.explorer .tokens *:not(span)').length") == 0
    assert tab.get("document.querySelectorAll('[onerror], [onclick]').length") == 0
    whole = tab.get("document.querySelector('[data-tokens=\"input\"]').textContent")
    assert whole == f"{NASTY} </script><!-- one two three four five"


@pytest.mark.parametrize("width", [320, 390, 768, 1400])
def test_nothing_sticks_out_sideways(tab: Tab, tmp_path: Path, width: int) -> None:
    tab.open(tmp_path / "report.html", width=width, height=640)
    tab.get("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert tab.get("document.documentElement.scrollWidth") <= width
    sticking = (
        "[...document.querySelectorAll('#verdicts *, #explorer *')].filter(each => each.getBoundingClientRect().right "
        "> innerWidth + 1 && !each.closest('.scroll, .card, .tokens, script')).map(each => each.outerHTML.slice(0, 90))"
    )
    assert tab.get(sticking) == []


def test_a_link_opens_its_claim(tab: Tab) -> None:
    open_ = "document.querySelector('#claim-C7').closest('details').open"
    assert not tab.get(open_)
    tab.click("a[href='#claim-C7']")
    tab.until(open_)
    place = "document.querySelector('#claim-C7').getBoundingClientRect()"
    tab.until(f"{place}.top >= 0 && {place}.top < innerHeight")


def test_marks_that_were_not_measured_do_no_harm(
    browser: Tab, full: Report, explored: list[dict[str, Any]], tmp_path: Path
) -> None:
    ways = explored[0]["ways"]
    recall = {way: {"target": {key: own["target"][key] for key in ("nll", "right")}} for way, own in ways.items()}
    drift = {"1>1": {side: {"drift": own["drift"]} for side, own in ways["1>1"].items()}}
    blind = explored[0] | {"ways": recall, "layers": [], "planes": []}
    bare = explored[1] | {"ways": drift, "run": explored[1]["run"] | {"seed": 5}}
    browser.complaints.clear()
    full(explored=[blind, bare])
    browser.open(tmp_path / "report.html")
    assert "no states were recorded" in browser.get(PATH)
    assert browser.get('document.querySelector(\'[name="explorer-colour"][value="drift"]\').disabled')
    change = "(each => { each.value = '5'; each.dispatchEvent(new Event('change')); })"
    browser.get(f"{change}(document.querySelector('[data-pick=\"seed\"]'))")
    assert browser.get("document.querySelector('[data-pick=\"learner\"]').value") == "loreft"
    assert browser.get('document.querySelector(\'[name="explorer-colour"][value="drift"]\').checked')
    assert len(set(browser.get(COLOURS.format("target")))) > 3
    assert browser.complaints == []
