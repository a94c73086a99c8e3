"""params.yaml itself: read, checked, and every fault said in a sentence that names its key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resonance.errors import UserError
from resonance.params.block import Block, nearest
from resonance.params.study import Params


def load(path: str | Path = "params.yaml") -> Params:
    """Read (as YAML 1.2, like DVC) and check the parameters; every fault is one sentence that names its key."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is missing: restore it with `git checkout -- {path}` or copy a file from studies/.")
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not valid YAML: {_fault(error)}; correct it, or `git checkout -- {path}`."
        ) from None
    return parse(values, path.name)


def _fault(error: Exception) -> str:
    """What is wrong with a file that is no YAML, and in which line."""
    mark = getattr(error, "problem_mark", None)
    return f"{error.problem} (line {mark.line + 1})" if mark else " ".join(str(error).split())  # type: ignore[attr-defined]


def parse(values: Any, source: str = "params.yaml") -> Params:
    """The typed parameters of a mapping, or a UserError that names the first wrong keys."""
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        sentences = {_key(fault): _sentence(fault, source) for fault in reversed(error.errors())}
        raise UserError("; ".join([*reversed(sentences.values())][:5])) from None


WORDS = {
    "missing": "is missing (docs/params.md says what may stand there)",
    "model_type": "write {key: value}, or {} for the defaults",
    "tuple_type": "write a list: [first, second]",
    "too_short": "at least one is needed",
}
"""What is said in place of pydantic's own words."""


def _key(fault: Any) -> str:
    """`learners.gpt.optimizer`."""
    return ".".join(str(part) for part in fault["loc"] if not isinstance(part, int) and part != "[key]") or "the file"


def _sentence(fault: Any, source: str) -> str:
    """`params.yaml: learners.gpt.optimzer is not a known key; did you mean 'optimizer'?`"""
    key = _key(fault)
    if fault["type"] == "extra_forbidden":
        return f"{source}: {key} is not a known key{nearest(str(fault['loc'][-1]), _all_keys())}"
    message = WORDS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    found = repr(fault["input"])
    shown = fault["type"] != "missing" and len(found) < 60
    return f"{source}: {key}: {message[:1].lower() + message[1:]}" + shown * f" (found: {found})"


def _all_keys() -> list[str]:
    """Every key of every block."""
    return sorted({key for block in _below(Block) for key in block.model_fields} - {"tag"})


def _below(block: type[Block]) -> Iterator[type[Block]]:
    """All classes that are made from one."""
    for each in block.__subclasses__():
        yield each
        yield from _below(each)
