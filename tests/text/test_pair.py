from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resonance.errors import UserError
from resonance.text.pair import read_pair

Write = Callable[..., Path]
SHIPPED = sorted(path.parent for path in (Path(__file__).parents[2] / "data" / "pairs").glob("*/article.txt"))


def test_a_whole_folder(write: Write) -> None:
    pair = read_pair(
        write(**{f"probes/{name}.txt": f"A {name}." for name in ("paraphrase-article", "paraphrase-meta", "unrelated")})
    )
    assert pair.name == "mine"
    assert pair.texts["1"].startswith("Repetition")
    assert [pair.texts["1"][a:b] for a, b in pair.segments["1"]][1] == "Ebbinghaus learned lists,"
    assert pair.links == [(0, 1), (1, 0), (3, 2)]
    assert pair.anchors == ["1885", "Ebbinghaus"]
    assert list(pair.probes) == ["paraphrase-article", "paraphrase-meta", "unrelated"]
    assert pair.notes == []


def test_what_is_missing_is_said_and_skipped(write: Write) -> None:
    pair = read_pair(write(**{"segments.yaml": None}))
    assert (pair.segments, pair.links, pair.anchors, pair.probes) == ({}, [], [], {})
    assert pair.notes[0] == "no segments.yaml: measures that need segments are skipped"
    assert "no probes/unrelated.txt: measures that need it are skipped" in pair.notes


def test_segments_without_links_and_anchors_are_noted(write: Write) -> None:
    folder = write()
    whole = (folder / "segments.yaml").read_text()
    (folder / "segments.yaml").write_text(whole[: whole.index("links")])
    notes = read_pair(folder).notes
    assert any("no links" in note for note in notes)
    assert any("no anchors" in note for note in notes)


def test_normalised_files_are_noted(write: Write) -> None:
    pair = read_pair(write(**{"meta.txt": b"\xef\xbb\xbfShort.\r\n", "segments.yaml": None}))
    assert pair.texts["2"] == "Short."
    assert [note for note in pair.notes if note.startswith("meta.txt")]


def test_a_probe_of_any_name_and_other_files_beside_it(write: Write) -> None:
    pair = read_pair(write(**{"probes/my_own-2.txt": "Own.", "probes/read.me": "x", "probes/.hidden": "x"}))
    assert pair.probes == {"my_own-2": "Own."}
    assert [note for note in pair.notes if "is not read" in note] == [
        "probes/read.me is not read: probes are .txt files"
    ]


def test_a_missing_folder_lists_the_pairs_that_exist(write: Write) -> None:
    folder = write()
    with pytest.raises(UserError, match=r"mime is not a folder; did you mean 'mine'\?; pairs there: mine\."):
        read_pair(folder.with_name("mime"))
    with pytest.raises(UserError, match="there is no pair yet"):
        read_pair(folder / "deeper" / "still")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"meta.txt": None}, "meta.txt is missing"),
        ({"article.txt": " \n"}, "article.txt is empty"),
        ({"article.txt": b"\xff"}, "article.txt is not UTF-8: byte 0xff at offset 0"),
        ({"meta.txt": b"a\0"}, "meta.txt holds a NUL character"),
        ({"article.txt": "Same.\r\n", "meta.txt": "Same.\n"}, "hold the same text"),
        ({"probes/unrelated.txt": ""}, "unrelated.txt is empty"),
        ({"probes/unrelated.txt": b"\x80"}, "unrelated.txt is not UTF-8"),
        ({"probes/shuffled-1.txt": "x"}, "'shuffled-1' cannot be the name of a probe"),
        ({"probes/1.txt": "x"}, "'1' cannot be the name of a probe"),
        ({"probes/a b.txt": "x"}, "'a b' cannot be the name of a probe"),
        ({"meta.txt": "Short.", "segments.yaml": None, "probes/p.txt": "Short.\n"}, "same text as meta.txt"),
        ({"segments.yaml": "article: [x]\nmeta: [y]"}, "clause 1 of article ('x') does not match"),
    ],
)
def test_every_bad_input_is_one_clear_sentence(write: Write, files: dict[str, str | bytes | None], says: str) -> None:
    with pytest.raises(UserError) as error:
        read_pair(write(**files))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_shipped_pairs_are_whole(folder: Path) -> None:
    pair = read_pair(folder)
    assert pair.notes == []
    assert pair.links
    assert pair.anchors
