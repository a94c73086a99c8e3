"""The page says what the code declares."""

from __future__ import annotations

from pathlib import Path

from resonance.claims.declared import START, STOP, declarations, main

PAGE = Path(__file__).parents[2] / "docs" / "claims.md"


def test_the_page_is_not_stale() -> None:
    part = PAGE.read_text(encoding="utf-8").partition(START)[2].partition(STOP)[0]
    assert part.strip() == declarations(), "run `python -m resonance.claims.declared docs/claims.md`"


def test_only_the_part_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\nold\n{STOP}\nafter\n", encoding="utf-8")
    main(page)
    assert page.read_text(encoding="utf-8") == f"before\n{START}\n{declarations()}\n{STOP}\nafter\n"
