from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from resonance import cli
from resonance.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was before."""
    handlers, propagate, raising = cli.log.handlers, cli.log.propagate, logging.raiseExceptions
    yield
    cli.log.handlers, cli.log.propagate = handlers, propagate
    logging.raiseExceptions = raising


def main(*argv: str) -> int:
    """One call of the program, with its log closed, as at the end of a process."""
    code = cli.main(argv)
    for handler in cli.log.handlers:
        with suppress(OSError):
            handler.close()
    return code


def give(monkeypatch: pytest.MonkeyPatch, verb: cli.Verb, *arguments: str) -> None:
    """A verb of the test's own."""
    monkeypatch.setattr(cli, "VERBS", {})
    cli.verb(*arguments)(verb)


def test_a_verb_is_given_its_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[argparse.Namespace] = []

    def do_it(a: argparse.Namespace) -> None:
        """Do it."""
        seen.append(a)

    give(monkeypatch, do_it, "name", "files*", "base?", "logs*?")
    assert main("do-it", "--name", "x", "--files", "a", "b") == 0
    (a,) = seen
    assert (a.name, a.files, a.base, a.logs) == ("x", ["a", "b"], None, None)


def test_a_users_fault_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(a: argparse.Namespace) -> None:
        """Fail."""
        raise UserError("params.yaml: cycles is 0; set it to 1 or more.")

    give(monkeypatch, fail)
    assert main("fail") == 1
    assert capsys.readouterr().err == "resonance: params.yaml: cycles is 0; set it to 1 or more.\n"


def test_a_fault_of_the_program_says_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(a: argparse.Namespace) -> None:
        """Fail."""
        raise ZeroDivisionError("by nothing")

    give(monkeypatch, fail)
    assert main("fail") == 2
    said = capsys.readouterr().err
    assert "This is a fault of the program." in said
    assert "ZeroDivisionError: by nothing" in said


def test_the_log_holds_everything_and_the_terminal_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def speak(a: argparse.Namespace) -> None:
        """Speak."""
        logging.getLogger("resonance.training").info("cycle 3")
        raise UserError("no more")

    give(monkeypatch, speak)
    file = tmp_path / "logs/speak.log"
    assert main("speak", "--log", str(file)) == 1
    assert [line.split(" ", 1)[1] for line in file.read_text().splitlines()] == ["cycle 3", "no more"]
    assert capsys.readouterr().err == "resonance: no more\n"
    assert main("speak") == 1
    assert "resonance: cycle 3\n" in capsys.readouterr().err


def test_a_log_on_a_full_disk_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(a: argparse.Namespace) -> None:
        """Fail."""
        raise UserError("no space left")

    give(monkeypatch, fail)
    (tmp_path / "log").symlink_to("/dev/full")
    assert main("fail", "--log", str(tmp_path / "log")) == 1
    assert capsys.readouterr().err == "resonance: no space left\n"


def test_an_unknown_verb_or_a_missing_option_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["trane-chunk"], ["write-curve", "--out", "x"]):
        with pytest.raises(SystemExit) as left:
            cli.main(argv)
        assert left.value.code == 2
    assert "required: --logs" in capsys.readouterr().err


def test_every_job_calls_a_verb_with_options_that_it_has() -> None:
    """The commands of the rules, as they stand there."""
    called = set()
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for command in re.findall(r'shell:\n((?:\s+"[^\n]*"\n)+)', file.read_text()):
            words = "".join(re.findall(r'"([^\n]*)"\n', command)).split()
            assert words[:3] == ["python", "-m", "resonance"]
            verb = words[3]
            called.add(verb)
            parser = argparse.ArgumentParser()
            cli.VERBS[verb][1](parser)
            known = {option for action in parser._actions for option in action.option_strings}
            assert {word for word in words[4:] if word.startswith("--")} <= known, verb
    assert called <= set(cli.VERBS)
    assert len(called) > 8


def test_every_verb_says_what_it_does() -> None:
    assert all(function.__doc__ for function, _ in cli.VERBS.values())


def test_help_answers_at_once() -> None:
    """Without torch, which alone takes seconds."""
    told = {"PYTHONPATH": str(ROOT / "src")}
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "resonance", "--help"], env=told, capture_output=True, text=True
    )
    assert said.returncode == 0
    assert "train-chunk" in said.stdout
    assert "torch" not in said.stderr
