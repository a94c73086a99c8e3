from __future__ import annotations

from pathlib import Path

import pytest

from resonance.errors import UserError
from resonance.text.plain import place, read_plain


def written(folder: Path, data: bytes) -> Path:
    path = folder / "article.txt"
    path.write_bytes(data)
    return path


def test_a_good_text_is_read_without_notes(tmp_path: Path) -> None:
    assert read_plain(written(tmp_path, "Ночь.\n\nДень.\n".encode())) == ("Ночь.\n\nДень.", [])


def test_byte_order_mark_and_windows_line_ends_are_normalised_with_a_note(tmp_path: Path) -> None:
    text, notes = read_plain(written(tmp_path, b"\xef\xbb\xbfone\r\ntwo\rthree\r\n"))
    assert text == "one\ntwo\nthree"
    assert len(notes) == 2
    assert all(note.startswith("article.txt: ") for note in notes)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"caf\xe9 au lait", "not UTF-8: byte 0xe9 at offset 3"),
        (b"\xff\xfeh\x00i\x00", "not UTF-8: byte 0xff at offset 0"),
        (b"\x89PNG\r\n\x1a\n\x00", "not UTF-8: byte 0x89 at offset 0"),
        ("ё\0".encode(), "NUL character at byte offset 2"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, data: bytes, says: str) -> None:
    path = written(tmp_path, data)
    with pytest.raises(UserError) as error:
        read_plain(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"meta\.txt is missing"):
        read_plain(tmp_path / "meta.txt")


def test_places_count_from_one() -> None:
    assert place("ab\ncd", 0) == "character 1 (line 1)"
    assert place("ab\ncd", 3) == "character 4 (line 2)"
