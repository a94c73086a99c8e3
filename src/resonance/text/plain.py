"""One text file, read strictly: UTF-8, not empty, no NUL; what is normalised is said."""

from __future__ import annotations

from pathlib import Path

from resonance.errors import UserError

MARK = "\ufeff"
"""The byte order mark that some editors put first."""


def read_plain(path: Path) -> tuple[str, list[str]]:
    """The text of a file without white space at its ends, and a note on everything that was normalised.

    Raises UserError for a file that is missing, empty, not UTF-8, or holds a NUL character.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: a pair needs it; write it as plain text in UTF-8.")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start} belongs to another encoding "
            "or to a file that is not text; save it as plain text in UTF-8."
        ) from None
    if "\0" in text:
        raise UserError(
            f"{path} holds a NUL character at byte offset {data.index(0)}: it is not plain text; "
            "save it as plain text in UTF-8."
        )
    notes = []
    if text.startswith(MARK):
        text = text.removeprefix(MARK)
        notes.append(f"{path.name}: the byte order mark was removed")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        notes.append(f"{path.name}: line ends of Windows (CRLF) were read as LF")
    text = text.strip()
    if not text:
        raise UserError(f"{path} is empty: write at least one word into it.")
    return text, notes


def place(text: str, position: int) -> str:
    """Where a character is, for a person: 'character 210 (line 3)', both counted from 1."""
    return f"character {position + 1} (line {text.count(chr(10), 0, position) + 1})"
