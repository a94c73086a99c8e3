from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from figures.synthetic_tables import tables
from report.conftest import NASTY, STUDY, generations
from report.judged import VERDICTS
from report.page import Page

from resonance.errors import UserError
from resonance.figures.notice import notice
from resonance.figures.save import save
from resonance.params import parse

Report = Callable[..., str]


def words(page: str) -> str:
    return " ".join(" ".join(Page(page).words).split())


def test_the_page_is_well_formed_and_ids_are_unique(report: Report) -> None:
    page = Page(report())
    assert page.faults == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 5
    targets = [attributes["href"] for attributes in page.all("a")]
    assert all(target.startswith("#") and target[1:] in ids for target in targets)
    labels = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert set(labels) <= set(ids)


def test_nothing_is_asked_of_a_network(report: Report) -> None:
    text = report()
    page = Page(text)
    for _, attributes in page.elements:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(key, "#").startswith(("#", "data:"))
    assert not {"script", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in page.elements}
    outside = re.sub(r"data:[a-z/+]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert "://" not in outside
    assert "url(" not in outside
    assert "@import" not in outside
    assert "default-src 'none'" in text


def test_texts_of_the_network_stay_texts(report: Report) -> None:
    text = report()
    assert "<script" not in text
    assert "onerror" not in {key for _, attributes in Page(text).elements for key in attributes}
    assert "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in words(text)
    shown = "".join(Page(text).words)
    assert f"{NASTY} and so on↵↵gpt" in shown


def test_two_renders_are_the_same_bytes(report: Report, tmp_path: Path) -> None:
    assert report("a.html") == report("b.html")
    assert str(tmp_path) not in report("a.html")


def test_words_as_categories_or_as_strings_give_the_same_page(report: Report) -> None:
    plain = {
        family: table.astype({"measure": object, "learner": object}) for family, table in tables(2, seeds=2).items()
    }
    assert report("a.html", tables=plain) == report("b.html")


def test_light_and_dark(report: Report) -> None:
    text = report()
    assert "prefers-color-scheme: dark" in text
    assert "color-scheme: light dark" in text
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in text.split("@media (prefers", 2)[:2]
    )
    assert light.keys() == dark.keys()
    for scheme in (light, dark):
        for ink, ground in (
            ("ink", "page"),
            ("soft", "page"),
            ("accent", "page"),
            ("agree-ink", "agree"),
            ("ink", "raised"),
            ("ink", "high"),
            ("ink", "low"),
            ("yes", "yes-ground"),
            ("no", "no-ground"),
            ("blind", "blind-ground"),
            ("wait", "wait-ground"),
            ("input", "page"),
            ("target", "page"),
        ):
            assert contrast(scheme[ink], scheme[ground]) >= 4.5


def contrast(one: str, other: str) -> float:
    """Ratio of luminances as in WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_figures_are_shown_with_their_titles_and_captions(report: Report) -> None:
    text = report()
    pictures = Page(text).all("img")
    assert len(pictures) == 2
    assert all(each["src"].startswith("data:image/svg+xml;base64,") for each in pictures)
    assert any(each["alt"].startswith("Loss after 64 cycles: from 0.0226 (gpt)") for each in pictures)
    assert "Loss alone cannot tell reading from reciting" in words(text)


def test_a_figure_without_anything_to_show_is_a_line_of_text(report: Report, drawn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(drawn, folder)
    save(notice("Depth", "there are no <such> runs."), folder / "depth-spacing")
    page = Page(text := report(figures_dir=folder))
    assert page.faults == []
    assert len(page.all("img")) == 2
    assert "Depth of the interweaving, or data? Nothing to show: there are no <such> runs." in words(text)
    assert text.count('id="figure-1-depth"') == 1


def test_everything_that_scrolls_can_be_reached_by_keyboard(report: Report) -> None:
    page = Page(report())
    scrolling = [a for _, a in page.elements if a.get("class") in ("scroll", "card")] + page.all("pre")
    assert scrolling
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scrolling)
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("a")[0]["href"] == "#main"


def test_the_study_the_numbers_and_the_parameters_are_said(report: Report) -> None:
    said = words(report())
    for phrase in (
        "What does a network learn from two texts that never change",
        "loreft (layers 2, rank 4, positions f4+l4, tied no)",
        "loss 1→2 nat/token",
        "recited exactly from the start",
        "from 7.61",
        "of the words agree",
        "torch 2.13.0",
        "cycles: 64",
    ):
        assert phrase in said


def test_agreement_is_marked(report: Report) -> None:
    text = report()
    assert "and so </mark>on" in text
    assert "and so </mark>it ended" in text


def test_learners_stand_as_in_the_tables(report: Report) -> None:
    text = report()
    assert text.index('<th scope="row">gpt</th>') < text.index('<th scope="row">loreft</th>')


def test_a_study_before_its_first_mark(report: Report, tmp_path: Path) -> None:
    text = report(tables={}, generations=pd.DataFrame(), figures_dir=tmp_path / "none", provenance={})
    assert Page(text).faults == []
    assert "Nothing has been measured yet" in text
    assert "No learner has been asked to speak" in text


def test_several_pairs_and_schedules_have_a_chapter_each(report: Report) -> None:
    study = STUDY | {"pairs": ["spacing", "other"], "schedules": {"shuffled": "shuffled", "fixed": "fixed"}}
    page = Page(text := report(params=study))
    assert page.faults == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"part-1-1", "part-1-2", "part-2-1", "part-2-2"} <= set(ids)
    assert words(text).count("Nothing has been measured yet") == 3


def test_parameters_may_come_as_written_or_as_dumped(report: Report) -> None:
    dumped = parse(STUDY).model_dump(mode="json")
    written, parsed = words(report()), words(report(params=dumped))
    assert written[: written.index("Provenance What")] == parsed[: parsed.index("Provenance What")]


def test_wrong_parameters_are_refused(report: Report) -> None:
    with pytest.raises(UserError, match="cycels"):
        report(params=STUDY | {"cycels": 3})


def test_an_empty_output_is_said(report: Report) -> None:
    silent = generations().assign(output="")
    assert ">nothing</span>" in report(generations=silent)


def test_the_full_page_is_well_formed_and_its_links_lead_somewhere(full: Report) -> None:
    page = Page(text := full())
    assert page.faults == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"verdicts", "explorer", "claim-C1a", "explorer-data"} <= set(ids)
    assert all(attributes["href"][1:] in ids for attributes in page.all("a"))
    assert (
        text.index('id="verdicts"')
        < text.index('id="glance"')
        < text.index('id="explorer"')
        < text.index('id="part-1"')
    )
    assert full("a.html") == full("b.html")


def test_only_the_scripts_of_this_package_may_run(full: Report) -> None:
    text = full()
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = re.search(r"script-src([^\"]*)\">", text)
    assert allowed is not None
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    assert allowed[1].split() == [f"'sha256-{digest}'" for digest in digests]
    assert len(scripts) == 2
    assert text.count("<script") == text.count("</script>") == 3
    outside = re.sub(r"data:[a-z/+]+;base64,[A-Za-z0-9+/=]+", "", text)
    for script in scripts:
        assert not {"innerHTML", "eval(", "fetch(", "import("} & set(
            re.findall(r"innerHTML|eval\(|fetch\(|import\(", script)
        )
    assert set(re.findall(r"\w+://[\w./]+", outside)) == {"http://www.w3.org/2000/svg"}
    assert "on" + "error" not in {key for _, attributes in Page(text).elements for key in attributes}


def test_the_explorers_data_hold_every_token_as_it_is(full: Report, explored: list[dict[str, Any]]) -> None:
    text = full()
    found = re.search(r'<script type="application/json" id="explorer-data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    assert not set("<>&") & set(found[1])
    data = json.loads(found[1])
    tokens = data["texts"][data["runs"][1]["texts"]["1"]]["tokens"]
    assert tokens == explored[1]["texts"]["1"]["tokens"]
    assert tokens[0] == NASTY
    assert [run["run"]["learner"] for run in data["runs"]] == ["gpt", "loreft"]


def test_a_script_stands_there_only_where_it_is_needed(report: Report, explored: list[dict[str, Any]]) -> None:
    assert report("a.html", judged={"claims": []}).count("<script") == 0
    assert report("b.html", judged=VERDICTS).count("<script") == 1
    assert report("c.html", explored=explored).count("<script") == 2
    assert 'href="#explorer"' not in report("a.html")


def test_what_is_not_shown_is_said(full: Report) -> None:
    study = STUDY | {"seeds": [0, 1, 2]}
    assert "2 of the 6 runs of the study can be looked at here" in words(full(params=study))


def test_a_learner_that_is_not_run_on_a_schedule_has_no_column_there(report: Report) -> None:
    study = STUDY | {"schedules": {"shuffled": "shuffled", "fixed": "fixed"}}
    learners = {**STUDY["learners"], "loreft": STUDY["learners"]["loreft"] | {"schedules": ["fixed"]}}
    text = report(params=study | {"learners": learners})
    chapter = text[text.index('id="part-1-1"') : text.index('id="part-1-2"')]
    assert '<th scope="col">gpt</th>' in chapter
    assert '<th scope="col">loreft</th>' not in chapter


def test_rendering_loads_neither_torch_nor_matplotlib() -> None:
    code = "import resonance.report.render, sys; print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
