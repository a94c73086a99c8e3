"""What goes wrong outside the program is one clear sentence and exit code 1, and nothing that was made is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline.repository import Repository, Said

RUN = "reader/spacing/shuffled/0"
TOKENS = "data/derived/tokens/spacing/pair/tokens.parquet"
FIRST, SECOND = "000000000002", "000000000004"
SCHEDULE = f"data/derived/schedules/spacing/pair/shuffled/0/{SECOND}.parquet"
STATE = f"results/states/{RUN}/{FIRST}.safetensors"
MARKS = f"results/marks/{RUN}/{FIRST}.safetensors"

MANY = """
import contextlib, io, json, os, sys
from pathlib import Path
from resonance.cli import main
for argv, full in json.load(sys.stdin):
    if full:
        Path(full).parent.mkdir(parents=True, exist_ok=True)
        Path(full).with_name(f".{Path(full).name}.{os.getpid()}.part").symlink_to("/dev/full")
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(argv)
    print(json.dumps([code, said.getvalue()]))
"""
"""Runs many verbs in one process, so that torch is loaded once; one file of each may be written to a full disk."""


@pytest.fixture(scope="module")
def copy(study: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """One copy for this module: a verb that is refused changes nothing in it."""
    return study.copy(tmp_path_factory.mktemp("faults") / "copy")


def verbs(repository: Repository, *calls: list[str], full: str = "") -> list[Said]:
    """What each verb says; the first one finds no space for the file `full`."""
    said = repository.python(
        "-c", MANY, stdin=json.dumps([[call, full * (number == 0)] for number, call in enumerate(calls)])
    )
    assert said.code == 0, said.text
    return [Said(*json.loads(line)) for line in said.text.splitlines() if line.startswith("[")]


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One bit changed, in what is data in all of these files."""
    changed = bytearray(content)
    changed[len(content) // 8] ^= 1
    return bytes(changed)


def foreign(content: bytes) -> bytes:
    return b"This is somebody else's file.\n" * 20


@pytest.fixture
def base(copy: Repository) -> str:
    bases = copy.files("data/derived/bases")
    return next(name for name in bases if "rwkv7" in name and name.endswith(".safetensors"))


@pytest.fixture
def told(copy: Repository) -> str:
    """The settings of the reader's run, as its jobs are told them."""
    program = (
        "from resonance.params import canonical, load; from resonance.plan import RunKey, Study;"
        f"print(canonical(Study(load()).run(RunKey.parse('{RUN}'))))"
    )
    return copy.python("-c", program).text.strip()


def train(told: str, files: dict[str, str], out: str) -> list[str]:
    """The second chunk of the reader."""
    return [
        *("train-chunk", "--name", RUN, "--run", told, "--start", "2", "--stop", "4"),
        *(word for key, file in files.items() for word in (f"--{key}", file)),
        *("--state", f"{out}/s.safetensors", "--table", f"{out}/l.parquet", "--marks", f"{out}/m.safetensors"),
        *("--scratch", f"{out}/scratch"),
    ]


def test_damaged_and_foreign_files_are_refused(copy: Repository, told: str, base: str, tmp_path: Path) -> None:
    before = copy.files("results", "data/derived")
    right = {"tokens": TOKENS, "base": base, "schedule": SCHEDULE, "previous": STATE}
    out = str(tmp_path / "out")
    calls: list[list[str]] = []

    def damaged(file: str, change: Callable[[bytes], bytes]) -> str:
        """A changed copy, with the files that stand beside it."""
        place = tmp_path / f"{len(calls)}"
        shutil.copytree((copy.folder / file).parent, place)
        path = place / Path(file).name
        path.unlink()
        path.write_bytes(change(copy.read(file)))
        return str(path)

    for change in (truncated, flipped, foreign):
        for key, file in right.items():
            calls.append(train(told, right | {key: damaged(file, change)}, out))
        marks = damaged(MARKS, change if change is not flipped else truncated)
        snapshot = ["snapshot-states", "--name", RUN, "--run", told, "--tokens", TOKENS, "--base", base]
        calls.append([*snapshot, "--marks", marks, "--out", f"{out}/snapshot.parquet"])
    other = {
        "previous": STATE.replace("reader", "gpt"),
        "schedule": SCHEDULE.replace(SECOND, FIRST),
        "base": next(name for name in before if "transformer" in name and name.endswith(".safetensors")),
        "tokens": "results/tables/loss.parquet",
    }
    calls += [train(told, right | {key: file}, out) for key, file in other.items()]
    for call, said in zip(calls, verbs(copy, *calls), strict=True):
        assert said.code == 1, (call, said.text)
        assert said.text.startswith("resonance: "), (call, said.text)
        assert said.text.count("\n") == 1, (call, said.text)
    assert not list((tmp_path / "out").glob("[slm].*")), "nothing was written"
    assert copy.files("results", "data/derived") == before


@pytest.mark.parametrize("file", ["l.parquet", "s.json"])
def test_a_full_disk_costs_nothing_that_was_made(
    copy: Repository, told: str, base: str, tmp_path: Path, file: str
) -> None:
    """Whichever file finds no space, the same job later gives what it would have given."""
    call = train(told, {"tokens": TOKENS, "base": base, "schedule": SCHEDULE, "previous": STATE}, str(tmp_path))
    refused, again = verbs(copy, call, call, full=str(tmp_path / file))
    assert refused.code == 1
    assert "no space left on the device; free some and run the same command again" in refused.text
    assert "Traceback" not in refused.text
    assert again.code == 0, again.text
    made = {"s.safetensors": "states", "s.json": "states", "l.parquet": "logs", "m.safetensors": "marks"}
    for name, kind in made.items():
        assert (tmp_path / name).read_bytes() == copy.read(f"results/{kind}/{RUN}/{SECOND}{Path(name).suffix}"), name


def test_a_gpu_or_a_network_that_is_not_there(copy: Repository, tmp_path: Path) -> None:
    program = "from resonance.params import canonical, load; p = load(); print(canonical(p.learners['reader'].network))"
    network = copy.python("-c", program).text.strip()
    gpu = [
        *("train-base", "--network", network, "--base", "{}", "--seed", "0", "--compute", '{"device":"cuda"}'),
        *("--corpus", "data/derived/corpus.parquet", "--tokens", TOKENS, "--out", str(tmp_path / "base.safetensors")),
    ]
    hub = '{"path":"nobody/nothing","revision":"0123456789abcdef0123456789abcdef01234567"}'
    pair = ["tokenize-pair", "--pair", "data/pairs/spacing", "--hub", hub, "--context", "512", "--out", str(tmp_path)]
    without_gpu, without_network = verbs(copy, gpu, pair)
    assert without_gpu.code == without_network.code == 1
    assert "no GPU is visible here; set it to auto or cpu" in without_gpu.text
    assert "nobody/nothing" in without_network.text
    assert "a network connection" in without_network.text
    assert without_network.text.count("\n") == 1


@pytest.mark.parametrize("command", [["snakemake"], ["dvc", "repro"]])
def test_a_typo_stops_everything_at_once(study: Repository, tmp_path: Path, command: list[str]) -> None:
    copy = study.copy(tmp_path / "copy")
    copy.edit("params.yaml", "evaluation: {generate: 8", "evaluation: {genrate: 8")
    said = copy.run(*command)
    assert said.code != 0
    assert "params.yaml: evaluation.genrate is not a known key; did you mean 'generate'?" in said.text
    assert "Traceback" not in said.text
    assert said.counts == {}
    assert copy.files("results", "data/derived") == study.files("results", "data/derived")


def test_a_text_that_cannot_be_read_stops_everything_at_once(study: Repository, tmp_path: Path) -> None:
    copy = study.copy(tmp_path / "copy")
    (copy.folder / "data/pairs/spacing/meta.txt").write_bytes(b"caf\xe9")
    said = copy.snakemake()
    assert said.code == 1
    assert "data/pairs/spacing/meta.txt" in said.text
    assert "UTF-8" in said.text
    assert "Traceback" not in said.text
    assert said.counts == {}


def test_the_advice_that_a_fault_gives_puts_it_right(study: Repository, tmp_path: Path) -> None:
    """A state that somebody damaged: the job that needs it says what to do, and that is enough."""
    copy = study.copy(tmp_path / "copy")
    state = f"results/states/{RUN}/{SECOND}.safetensors"
    path = copy.folder / state
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(flipped(content))
    copy.edit("params.yaml", "cycles: 4", "cycles: 8")
    target = state.replace(SECOND, "000000000008")
    said = copy.snakemake("--", target)
    assert said.code == 1
    assert f"{SECOND}.json describes: delete both and run `snakemake -- {state}`." in said.text
    assert "Traceback" not in said.text
    path.unlink()
    path.with_suffix(".json").unlink()
    said = copy.snakemake("--", state)
    assert said.code == 0, said.text
    assert said.counts == {"train_chunk": 1}
    assert path.read_bytes() == content
    said = copy.snakemake("--", target)
    assert said.code == 0, said.text
    assert said.counts == {"train_chunk": 1}
