from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from resonance import storage
from resonance.errors import UserError
from resonance.text.facts import facts
from resonance.text.pair import Pair
from resonance.text.tokenizer import MARKERS, PairTokenizer
from resonance.text.tokens import SCHEMA, Tokens, as_tokens, read_tokens, tokenize


def tokens(pair: Pair, tokenizer: PairTokenizer, context: int = 1024) -> Tokens:
    table = tokenize(pair, tokenizer, context)
    return as_tokens(table, facts(table))


def test_the_table_opens_in_pandas_and_is_read_back(tmp_path: Path, pair: Pair, tokenizer: PairTokenizer) -> None:
    path = tmp_path / "tokens.parquet"
    table = tokenize(pair, tokenizer, 1024)
    assert table.schema.equals(SCHEMA)
    assert [field.metadata for field in table.schema] == [field.metadata for field in SCHEMA]
    storage.write_table(path, table, facts(table) | {"fingerprint": "f"})
    frame = pd.read_parquet(path)
    assert list(frame.columns) == SCHEMA.names
    assert set(frame["text"]) == {"1", "2", "unrelated", "shuffled-1", "shuffled-2", *MARKERS}
    read = read_tokens(path)
    assert read.name == "mine"
    assert read.texts == ("1", "2", "unrelated", "shuffled-1", "shuffled-2")
    assert read.probes == ("unrelated", "shuffled-1", "shuffled-2")
    assert read.vocabulary == 400
    assert read.windows == 1
    assert read.context == 1024
    assert read.markers == tokenizer.markers
    assert read.links == pair.links
    assert read.tokenizer == tokenizer.sha256
    assert "no probes/paraphrase-meta.txt: measures that need it are skipped" in read.notes


def test_equal_inputs_give_equal_bytes(tmp_path: Path, pair: Pair, tokenizer: PairTokenizer) -> None:
    digests = set()
    for name in ("a", "b"):
        table = tokenize(pair, tokenizer, 64)
        storage.write_table(tmp_path / name, table, facts(table))
        digests.add(storage.sha256(tmp_path / name))
    assert len(digests) == 1


def test_another_kind_of_table_is_refused(tmp_path: Path) -> None:
    storage.write_table(tmp_path / "x.parquet", pa.table({"a": [1]}), {"kind": "schedule"})
    with pytest.raises(UserError, match="does not hold tokens"):
        read_tokens(tmp_path / "x.parquet")


def test_tokens_give_the_texts_back(pair: Pair, tokenizer: PairTokenizer) -> None:
    read = tokens(pair, tokenizer)
    for side, text in pair.texts.items():
        assert tokenizer.decode(read.ids(side)) == text
        assert read.ids(side).dtype == np.int64
        assert read.bytes_of(side) == len(text.encode())
        assert "".join(text[a:b] for a, b in read.offsets(side)) == text
        assert list(read.pieces(side)) == [text[a:b] for a, b in read.offsets(side)]
    assert tokenizer.decode(read.ids("unrelated")) == pair.probes["unrelated"]


def test_arrays_cannot_be_written_to(pair: Pair, tokenizer: PairTokenizer) -> None:
    with pytest.raises(ValueError, match="read-only"):
        tokens(pair, tokenizer).ids("1")[0] = 0


def test_segments_of_tokens(pair: Pair, bytewise: PairTokenizer) -> None:
    read = tokens(pair, bytewise)
    for side, text in pair.texts.items():
        for number, span in enumerate(pair.segments[side]):
            inside = np.flatnonzero(read.segments(side) == number)
            assert (inside[0], inside[-1] + 1) == span  # one token per byte of ASCII
        assert {text[place] for place in np.flatnonzero(read.segments(side) == -1)} <= {" ", "\n"}
    assert set(read.segments("unrelated")) == {-1}


def test_a_token_with_a_space_in_front_belongs_to_the_segment_of_its_word(pair: Pair, tokenizer: PairTokenizer) -> None:
    read = tokens(pair, tokenizer)
    first = int(np.flatnonzero(read.segments("1") == 1)[0])
    assert read.pieces("1")[first].startswith(" E")


def test_anchors_have_token_spans(pair: Pair, tokenizer: PairTokenizer) -> None:
    read = tokens(pair, tokenizer)
    assert read.anchors.keys() == {"1885", "Ebbinghaus"}
    for anchor, sides in read.anchors.items():
        for side, spans in sides.items():
            assert len(spans) == 1
            for first, stop in spans:
                assert tokenizer.decode(read.ids(side)[first:stop]).strip(" .") == anchor


def test_windows_partition_a_long_text(pair: Pair, tokenizer: PairTokenizer) -> None:
    read = tokens(pair, tokenizer, 40)
    assert read.windows > 1
    for side in ("1", "2"):
        parts = [read.ids(side, window) for window in range(read.windows)]
        assert np.array_equal(np.concatenate(parts), read.ids(side))
        assert max(map(len, parts)) <= 18
        assert sum(read.bytes_of(side, window) for window in range(read.windows)) == read.bytes_of(side)
        for window, part in enumerate(parts):
            assert read.bytes_of(side, window) == len(tokenizer.decode(part).encode())
            assert read.span(side, window).stop - read.span(side, window).start == len(part)
            assert len(read.segments(side, window)) == len(read.pieces(side, window)) == len(part)


def test_probes_are_cut_to_a_window_with_a_note(pair: Pair, tokenizer: PairTokenizer) -> None:
    read = tokens(pair, tokenizer, 32)
    whole = len(tokenizer.encode(pair.probes["unrelated"]).ids)
    assert len(read.ids("unrelated")) == 14
    assert f"probe unrelated is cut to its first 14 of {whole} tokens" in read.notes
    start = tokenizer.decode(read.ids("unrelated"))
    assert pair.probes["unrelated"].startswith(start)
    assert read.bytes_of("unrelated") == len(start.encode())


def test_a_probe_is_never_cut_inside_a_character(bytewise: PairTokenizer) -> None:
    pair = Pair("p", {"1": "one", "2": "two"}, probes={"other": "ab" + "👩" * 20})
    read = tokens(pair, bytewise, 32)
    assert bytewise.decode(read.ids("other")) == "ab👩👩👩"
    assert read.bytes_of("other") == 14


def test_a_window_that_does_not_exist_is_an_error(pair: Pair, tokenizer: PairTokenizer) -> None:
    read = tokens(pair, tokenizer)
    with pytest.raises(ValueError, match="has windows 0 to 0, not 1"):
        read.ids("unrelated", 1)
    with pytest.raises(ValueError, match="has windows 0 to 0, not -1"):
        read.bytes_of("1", -1)


def test_a_text_in_which_a_tokenizer_finds_nothing_is_refused(pair: Pair, tokenizer: PairTokenizer) -> None:
    class Deaf(PairTokenizer):
        def encode(self, text: str):  # type: ignore[no-untyped-def]
            return super().encode("")

    with pytest.raises(UserError, match="finds nothing in text '1'"):
        tokenize(pair, Deaf(tokenizer.tokenizer), 1024)
