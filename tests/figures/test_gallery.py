from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from figures.synthetic_tables import tables
from figures.test_trajectory import write_snapshot

from resonance.errors import UserError
from resonance.figures import gallery
from resonance.figures.captions import ACROSS, CAPTIONS, PER_PAIR, PER_RUNS, PER_STUDY

DOCS = Path(__file__).parents[2] / "docs" / "figures.md"


def test_names_of_a_study() -> None:
    names = gallery.figure_names(["spacing", "coffee"], ["shuffled"])
    assert names[:3] == ["verdicts", "pair-spacing", "concepts-spacing"]
    assert {"pair-coffee", "depth-coffee", "loss-coffee-shuffled"} <= set(names)
    assert len(names) == len(set(names)) == 2 * len(CAPTIONS) - len(PER_STUDY)


def test_names_that_would_collide_are_refused() -> None:
    with pytest.raises(UserError, match=r"would be called .*-a-b-c; rename"):
        gallery.figure_names(["a", "a-b"], ["b-c", "c"])


def test_every_kind_is_drawn_has_a_caption_and_is_documented() -> None:
    assert {*gallery.FROM_TABLES, "trajectory"} == set(PER_RUNS)
    assert set(gallery.OVER_SCHEDULES) == set(ACROSS)
    assert {*PER_RUNS, *PER_PAIR, *PER_STUDY} == set(CAPTIONS)
    documented = DOCS.read_text(encoding="utf-8")
    for kind, caption in CAPTIONS.items():
        assert f"## `{kind}`" in documented
        assert caption.reading in documented
        assert caption.source.split()[0].rstrip(",") in documented


def test_all_files_of_a_pair_and_schedule_are_drawn(tmp_path: Path) -> None:
    snapshot = tmp_path / "s.parquet"
    write_snapshot(snapshot, [0, 1], 3)
    gallery.draw_runs("spacing", "shuffled", ["gpt"], tables(2), [snapshot], tmp_path / "figures")
    wanted = {f"{kind}-spacing-shuffled" for kind in PER_RUNS}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{n}.{s}" for n in wanted for s in ("svg", "png")
    }


def test_other_pairs_schedules_and_learners_are_left_out() -> None:
    both = pd.concat([tables(3)["loss"], tables(3, pair="other")["loss"], tables(3, schedule="fixed")["loss"]])
    kept = gallery.of_runs(both, "spacing", "shuffled", ["rwkv7", "gpt"])
    assert list(dict.fromkeys(kept["learner"])) == ["rwkv7", "gpt"]
    assert set(kept["pair"]) == {"spacing"}
    assert set(kept["schedule"]) == {"shuffled"}
    assert len(kept) == len(tables(3)["loss"]) * 2 / 3


def test_snapshots_of_other_runs_are_not_read(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "a.parquet", [0], 3)
    write_snapshot(tmp_path / "b.parquet", [0], 3, pair="other")
    write_snapshot(tmp_path / "c.parquet", [0], 3, learner="other")
    kept = [path.name for path in sorted(tmp_path.iterdir()) if gallery.is_of(path, "spacing", "shuffled", ["gpt"])]
    assert kept == ["a.parquet"]


def test_the_pair_is_drawn_from_its_tokens(tmp_path: Path, tokens_file: Path) -> None:
    gallery.draw_pair(tokens_file, tmp_path)
    assert {path.name for path in tmp_path.glob("*.svg")} == {"pair-tiny.svg", "concepts-tiny.svg"}


def test_what_compares_schedules_is_drawn_once_per_pair(tmp_path: Path) -> None:
    gallery.draw_across("spacing", ["gpt"], tables(2), tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"permutations-spacing.png", "depth-spacing.png"}


def test_the_claims_are_drawn_once(tmp_path: Path) -> None:
    gallery.draw_verdicts({"claims": []}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"verdicts.svg", "verdicts.png"}


def test_drawing_loads_no_network_library() -> None:
    code = "import resonance.figures.gallery, sys; print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
