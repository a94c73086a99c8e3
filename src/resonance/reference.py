"""docs/params.md: every key of params.yaml, written from the models that check it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import chain
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from resonance.params import Block, Learner, ManyOf, Member, OneOf, Params

HEAD = """\
# params.yaml

Every key that may stand in `params.yaml`, with its limits, its default and its meaning. A key without a default must be
given; any other key is an error. Names of learners, pairs and schedules are made of letters, digits, `-` and `_`.

Where a value is *one of* several members, write the name of one (`network: rwkv7`), or its name with settings of its
own (`network: {rwkv7: {width: 64}}`). Where it is *any of* them, write `{name: settings, ...}`; a bare number stands
for the member's weight (`objective: {lm: 1.0}`).

This page is made by `python -m resonance reference --out docs/params.md` from `src/resonance/params/`.
"""

KINDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def markdown() -> str:
    """The whole page."""
    sections = [_section("The study", Params, 2), _blocks(), _section("A learner", Learner, 2), _axes()]
    return "\n".join([HEAD, *chain.from_iterable(sections)])


def _blocks() -> Iterator[str]:
    """A section for each block of the study."""
    for name, field in Params.model_fields.items():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, Block):
            yield from _section(f"`{name}`", field.annotation, 2)


def _axes() -> Iterator[str]:
    """A section for each axis, with its members."""
    for name, field in {**Learner.model_fields, "schedules": Params.model_fields["schedules"]}.items():
        axis = next((part for part in _parts(field.annotation, field.metadata) if isinstance(part, OneOf)), None)
        if axis and axis.members:
            yield f"## Members of `{name}`\n"
            for tag, member in axis.members.items():
                yield from _section(f"`{tag}`", member, 3)


def _parts(annotation: Any, metadata: list[Any]) -> Iterator[Any]:
    """Everything that is said about a type and about the types in it."""
    yield from metadata
    if get_origin(annotation) is Annotated:
        inner, *said = get_args(annotation)
        yield from _parts(inner, said)
    else:
        for inner in get_args(annotation):
            yield from _parts(inner, [])


def _section(title: str, block: type[Block], level: int) -> Iterator[str]:
    """Heading, what it is, and a table of its keys."""
    yield f"{'#' * level} {title}\n"
    yield f"{inspect.cleandoc(block.__doc__ or '')}\n"
    keys = {name: field for name, field in block.model_fields.items() if name != "tag"}
    if keys:
        yield "| key | value | default | meaning |\n|---|---|---|---|"
        for name, field in keys.items():
            default = "" if field.is_required() else f"`{_default(field)}`"
            yield f"| `{name}` | {_words(field.annotation, field.metadata)} | {default} | {field.description or ''} |"
        yield ""


def _words(annotation: Any, metadata: list[Any]) -> str:
    """What may be written for a type."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(inner[0], list(inner[1:]))
    axis = next((part for part in metadata if isinstance(part, OneOf)), None)
    if axis:
        names = ", ".join(f"`{name}`" for name in axis.members) or "(nothing yet)"
        return f"{'any' if origin is tuple else 'one'} of {names}"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        words = [_words(kind, metadata) for kind in inner if kind is not NoneType]
        return " or ".join([*words, "null"] if NoneType in inner else words)
    if origin is tuple:
        return f"list of: {_words(inner[0], [])}" if inner[-1] is Ellipsis else f"{len(inner)} × {_words(inner[0], [])}"
    if origin is dict:
        return f"{{{_words(inner[0], [])}: {_words(inner[1], [])}}}"
    if inspect.isclass(annotation) and issubclass(annotation, Block):
        return "[a learner](#a-learner)" if annotation is Learner else "keys and values, see below"
    return ", ".join([KINDS[annotation], *_limits(metadata)])


def _limits(metadata: list[Any]) -> Iterator[str]:
    """`≥ 1`, ...: limits of a number, those of an inner field too; not those that only keep it inside 64 bits."""
    for part in metadata:
        if isinstance(part, FieldInfo):
            yield from _limits(part.metadata)
        for name, sign in SIGNS.items():
            if (limit := getattr(part, name, None)) is not None and limit < 2**63:
                yield f"{sign} {limit:,}"


def _default(field: FieldInfo) -> str:
    """The default of a key: `{}` for no member of many, which are written as name and settings, `[]` for no item."""
    many = any(isinstance(part, ManyOf) for part in field.metadata)
    return "[]" if field.default == () and not many else written(field.default)


def written(default: Any) -> str:
    """A default as it would be written in params.yaml."""
    if isinstance(default, Member):
        return default.tag
    if isinstance(default, tuple) and all(isinstance(member, Member) for member in default):
        return f"{{{', '.join(f'{member.tag}: {{}}' for member in default)}}}"
    if isinstance(default, tuple):
        return f"[{', '.join(map(written, default))}]"
    return {"None": "null", "True": "true", "False": "false"}.get(str(default), str(default))
