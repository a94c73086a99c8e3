import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resonance import storage
from resonance.errors import UserError
from resonance.params import Block, Blocked, Fixed, OneDirection, Shuffled, Weighted
from resonance.schedule import files
from resonance.schedule.chunks import edges
from resonance.schedule.files import provenance, read_schedule, slots, write_schedule, write_schedules
from resonance.schedule.orders import indices, window_indices, words

ORDERS = (
    Shuffled(),
    Fixed(order=None),
    Fixed(order="2>2 1>1 1>2 2>1"),
    Blocked(length=3),
    Weighted(weights={"1>2": 2, "1>1": 1, "2>2": 1}),
    OneDirection(),
)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Row groups of 1,000 cycles, so that quick files have many."""
    monkeypatch.setattr(files, "PART", 1000)
    return 1000


def test_columns_and_types(tmp_path: Path) -> None:
    write_schedule(tmp_path / "one.parquet", Shuffled(), 0, 1, 64, 128)
    schema = pq.read_schema(tmp_path / "one.parquet")
    assert schema.names == ["cycle", "order"]
    assert schema.field("cycle").type == pa.int64()
    assert pa.types.is_dictionary(schema.field("order").type)
    assert schema.field("order").type.value_type == pa.string()
    column = pq.read_metadata(tmp_path / "one.parquet").row_group(0).column(0)
    assert "DELTA_BINARY_PACKED" in column.encodings


def test_cycles_count_from_1_in_the_file_as_in_what_is_read(tmp_path: Path) -> None:
    """`start` and `stop` are cycles done: between 0 and 3 lie cycles 1, 2 and 3, and cycle c has counter c − 1."""
    path = tmp_path / "one.parquet"
    write_schedule(path, Shuffled(), 0, 1, 0, 3)
    drawn = ["1>1 2>1 2>2 1>2", "1>1 2>1 2>2 1>2", "1>2 2>1 2>2 1>1"]
    assert pd.read_parquet(path).to_numpy().tolist() == [[1, drawn[0]], [2, drawn[1]], [3, drawn[2]]]
    assert [(cycle, " ".join(word)) for cycle, word, _ in slots(path)] == list(enumerate(drawn, 1))
    assert [(cycle, " ".join(word)) for cycle, word, _ in slots(path, 2)] == [(3, drawn[2])]
    assert [part.first for part in read_schedule(path).parts()] == [1]
    assert [part.first for part in read_schedule(path).parts(2)] == [3]


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_pandas_reads_cycles_and_text(tmp_path: Path, order: Block) -> None:
    write_schedule(tmp_path / "one.parquet", order, 3, 1, 64, 128)
    frame = pd.read_parquet(tmp_path / "one.parquet")
    assert frame["cycle"].tolist() == list(range(65, 129))
    assert frame["order"].tolist() == [words(order)[index] for index in indices(order, 3, 64, 128)]
    assert frame["order"].str.count(" ").eq(3).all()


def test_windows_have_columns_only_where_there_are_some(tmp_path: Path) -> None:
    write_schedule(tmp_path / "windows.parquet", Shuffled(), 3, 5, 10, 500)
    frame = pd.read_parquet(tmp_path / "windows.parquet")
    assert list(frame) == ["cycle", "order", "window_1", "window_2", "window_3", "window_4"]
    assert frame["window_1"].dtype == np.uint16
    assert np.array_equal(frame.filter(like="window").to_numpy(), window_indices(3, 5, 10, 500))


def test_metadata_says_what_made_it(tmp_path: Path) -> None:
    write_schedule(tmp_path / "one.parquet", Blocked(length=3), 7, 1, 0, 9, {"code": "abc"})
    assert storage.read_made_by(tmp_path / "one.parquet") == {
        "kind": "schedule",
        "order": {"tag": "blocked", "length": 3, "seed": None},
        "seed": 7,
        "windows": 1,
        "start": 0,
        "stop": 9,
        "code": "abc",
    }


def test_two_writes_give_the_same_bytes(tmp_path: Path, small_parts: int) -> None:
    for name in ("one", "two"):
        write_schedule(tmp_path / name, Shuffled(), 1, 3, 10, 10 + 3 * small_parts, {"code": "abc"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_cycle_takes_five_bits(tmp_path: Path) -> None:
    write_schedule(tmp_path / "one.parquet", Shuffled(), 0, 1, 0, 1_000_000)
    assert (tmp_path / "one.parquet").stat().st_size * 8 / 1_000_000 <= 5.3


def test_rows_come_in_groups_of_one_part(tmp_path: Path, small_parts: int) -> None:
    write_schedule(tmp_path / "one.parquet", Shuffled(), 0, 1, 5, 5 + 2500)
    metadata = pq.read_metadata(tmp_path / "one.parquet")
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [1000, 1000, 500]
    assert [len(part.indices) for part in read_schedule(tmp_path / "one.parquet").parts()] == [1000, 1000, 500]


def test_memory_does_not_grow_with_the_cycles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART", 50_000)

    def peak(cycles: int) -> int:
        tracemalloc.start()
        write_schedule(tmp_path / "one.parquet", Shuffled(), 0, 1, 0, cycles)
        for _ in read_schedule(tmp_path / "one.parquet").parts():
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(1_000_000) < 1.3 * peak(100_000)


@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize("start", [100, 101, 1099, 1100, 2345, 3599, 3600])
def test_reading_goes_on_from_any_cycle(tmp_path: Path, small_parts: int, start: int, windows: int) -> None:
    path = tmp_path / "one.parquet"
    write_schedule(path, Shuffled(), 2, windows, 100, 3600)
    whole = list(slots(path))
    assert [cycle for cycle, _, _ in whole] == list(range(101, 3601))
    assert list(slots(path, start)) == whole[start - 100 :]
    assert [cycle for cycle, _, _ in slots(path, start)] == list(range(start + 1, 3601))


def test_slots_keep_count_over_a_large_row_group(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    stop = 7 + 2 * files._LISTED + 3
    write_schedule(path, Shuffled(), 2, 2, 7, stop)
    read = list(slots(path))
    assert [cycle for cycle, _, _ in read] == list(range(8, stop + 1))
    known = words(Shuffled())
    assert [" ".join(word) for _, word, _ in read] == [known[index] for index in indices(Shuffled(), 2, 7, stop)]
    assert np.array_equal([of_slots for _, _, of_slots in read], window_indices(2, 2, 7, stop))


def test_slots_are_the_words_and_windows(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    write_schedule(path, Shuffled(), 2, 3, 0, 50)
    drawn, of_slots = indices(Shuffled(), 2, 0, 50), window_indices(2, 3, 0, 50)
    read = list(slots(path))
    assert [cycle for cycle, _, _ in read] == list(range(1, 51))
    for cycle, directions, windows in read:
        assert directions == tuple(words(Shuffled())[drawn[cycle - 1]].split())
        assert windows == tuple(of_slots[cycle - 1])


def test_slots_without_windows_have_window_0(tmp_path: Path) -> None:
    write_schedule(tmp_path / "one.parquet", OneDirection(), 2, 1, 0, 2)
    assert list(slots(tmp_path / "one.parquet")) == [(n, ("1>2",) * 4, (0,) * 4) for n in (1, 2)]


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_parts_hold_what_was_drawn(tmp_path: Path, small_parts: int, order: Block) -> None:
    path = tmp_path / "one.parquet"
    write_schedule(path, order, 2, 1, 100, 2600)
    parts = list(read_schedule(path).parts(1500))
    assert [part.first for part in parts] == [1501, 2101]
    assert all(part.words == tuple(words(order)) and part.windows is None for part in parts)
    assert np.array_equal(np.concatenate([part.indices for part in parts]), indices(order, 2, 1500, 2600))


@pytest.mark.parametrize(
    ("start", "firsts", "lengths"),
    [
        (100, [101, 1101, 2101], [1000, 1000, 500]),
        (1099, [1100, 1101, 2101], [1, 1000, 500]),
        (1100, [1101, 2101], [1000, 500]),
        (2599, [2600], [1]),
        (2600, [], []),
    ],
)
def test_parts_begin_with_the_cycle_after_start(
    tmp_path: Path, small_parts: int, start: int, firsts: list[int], lengths: list[int]
) -> None:
    write_schedule(tmp_path / "one.parquet", Shuffled(), 2, 3, 100, 2600)
    parts = list(read_schedule(tmp_path / "one.parquet").parts(start))
    assert [part.first for part in parts] == firsts
    assert [len(part.indices) for part in parts] == lengths
    for part in parts:
        done = part.first - 1
        assert part.windows is not None
        assert np.array_equal(part.windows, window_indices(2, 3, done, done + len(part.indices)))


def test_any_cutting_gives_the_same_cycles(tmp_path: Path) -> None:
    write_schedule(tmp_path / "whole.parquet", Shuffled(), 4, 2, 0, 1000)
    paths = write_schedules(tmp_path / "cut", Shuffled(), 4, 2, edges(1000, 7, 150))
    assert [path.name for path in paths[:2]] == ["000000000007.parquet", "000000000014.parquet"]
    assert [row for path in paths for row in slots(path)] == list(slots(tmp_path / "whole.parquet"))


def test_a_study_of_chunks_is_each_chunk_written_alone(tmp_path: Path) -> None:
    cuts = edges(300, 64, 100)
    paths = write_schedules(tmp_path / "study", Shuffled(), 4, 1, cuts, {"code": "abc"})
    for (start, stop), path in zip(pairwise([0, *cuts]), paths, strict=True):
        write_schedule(tmp_path / "alone", Shuffled(), 4, 1, start, stop, {"code": "abc"})
        assert path.read_bytes() == (tmp_path / "alone").read_bytes()


@pytest.mark.parametrize(("start", "stop", "said"), [(5, 5, "no cycles 6 to 5:"), (-1, 5, "no cycles 0 to 5:")])
def test_cycles_that_cannot_be_are_not_written(tmp_path: Path, start: int, stop: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        write_schedule(tmp_path / "one.parquet", Shuffled(), 0, 1, start, stop)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.parquet"
    write_schedule(path, Shuffled(), 0, 1, 0, 10)
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(files, "indices", fail)
    with pytest.raises(RuntimeError, match="killed"):
        write_schedule(path, Shuffled(), 1, 1, 0, 10)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_expected_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    order = Weighted(weights={"2>2": 1, "1>2": 2})
    write_schedule(path, order, 7, 1, 0, 10)
    same = Weighted(weights={"1>2": 2.0, "2>2": 1.0})
    schedule = read_schedule(path, provenance(same, 7, 1, 0, 10))
    assert (schedule.start, schedule.stop) == (0, 10)


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ({"seed": 8}, "seed 7 in place of 8"),
        ({"stop": 20, "seed": 7}, "stop 10 in place of 20"),
        ({"order": {"tag": "rotating"}}, 'order {"seed":null,"tag":"shuffled"} in place of {"tag":"rotating"}'),
        ({"code": "abc"}, 'code null in place of "abc"'),
    ],
)
def test_other_parameters_are_named(tmp_path: Path, expected: dict[str, Any], said: str) -> None:
    path = tmp_path / "one.parquet"
    write_schedule(path, Shuffled(), 7, 1, 0, 10)
    with pytest.raises(UserError) as error:
        read_schedule(path, expected)
    assert said in str(error.value)
    assert f"snakemake -- {path}" in str(error.value)
    assert "start" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"one.parquet is missing: run `snakemake -- "):
        read_schedule(tmp_path / "one.parquet")


def test_another_table_is_not_a_schedule(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    storage.write_table(path, pa.table({"cycle": [1]}), {"kind": "log"})
    with pytest.raises(UserError, match="is not a schedule: delete it and run `snakemake -- "):
        read_schedule(path)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_cut_off_file_is_damaged(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "one.parquet"
    write_schedule(path, Shuffled(), 7, 1, 0, 5000)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="damaged"):
        read_schedule(path)


def test_rows_that_are_not_there_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    storage.write_table(path, pa.table({"cycle": [1], "order": ["1>1"]}), provenance(Shuffled(), 7, 1, 0, 2))
    with pytest.raises(UserError, match="damaged"):
        read_schedule(path)


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    write_schedule(path, Shuffled(), 7, 1, 0, 5000)
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(1)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged: delete it and run `snakemake -- "):
        list(slots(path))


@pytest.mark.parametrize(("start", "cycle"), [(9, 10), (21, 22)])
def test_cycles_outside_the_file_are_refused(tmp_path: Path, start: int, cycle: int) -> None:
    write_schedule(tmp_path / "one.parquet", Shuffled(), 7, 1, 10, 20)
    said = f"cycle {cycle}, the one after {start}, is outside .*one.parquet, which holds cycles 11 to 20$"
    with pytest.raises(ValueError, match=said):
        list(slots(tmp_path / "one.parquet", start))


def test_nothing_is_left_after_the_last_cycle_of_the_file(tmp_path: Path) -> None:
    write_schedule(tmp_path / "one.parquet", Shuffled(), 7, 1, 10, 20)
    assert [cycle for cycle, _, _ in slots(tmp_path / "one.parquet", 19)] == [20]
    assert list(slots(tmp_path / "one.parquet", 20)) == []
