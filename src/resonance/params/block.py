"""What all settings are made of: strict, frozen blocks, and members of an axis that are named by a tag."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo, field_validator
from pydantic_core import core_schema

Direction = Literal["1>2", "2>1", "1>1", "2>2"]
DIRECTIONS: tuple[Direction, ...] = ("1>2", "2>1", "1>1", "2>2")
Marker = Literal["relation", "target", "none"]
Whole = Annotated[int, Field(ge=0)]


class Block(BaseModel):
    """A block of parameters: unknown keys are errors, values never change after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`cycles: true` would pass as 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("true and false are not allowed here")
        return value


class Member(Block):
    """Settings of a member of an axis; `tag` names it in params.yaml and names the module of its implementation."""

    tag: str
    published: ClassVar[bool] = False
    """True for a network that brings weights and a tokenizer of its own."""


class OneOf:
    """A value that names one member: `rwkv7`, or `{rwkv7: {width: 64}}` with that member's own settings."""

    def __init__(self, *members: type[Member]) -> None:
        self.members = {member.model_fields["tag"].default: member for member in members}

    def tagged(self, value: Any) -> Any:
        """`{rwkv7: {width: 64}}` → `{tag: rwkv7, width: 64}`; settings that are already parsed pass through."""
        if isinstance(value, Block):
            return value.model_dump()
        if isinstance(value, str):
            value = {value: {}}
        if isinstance(value, dict) and "tag" in value:
            return value
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError(f"name exactly one of {', '.join(self.members) or '(nothing yet)'}")
        ((tag, settings),) = value.items()
        if tag not in self.members:
            raise ValueError(f"{tag!r} is not known{nearest(str(tag), self.members)}")
        return {"tag": tag, **self.settings(settings)}

    def settings(self, value: Any) -> dict[str, Any]:
        """A member's own settings; none where only its name is given."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValueError(f"write its settings as {{key: value}}, not {value!r}")
        return value

    def inner(self, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The schema of one member, chosen by its tag."""
        if not self.members:
            return core_schema.any_schema()
        choices = {tag: handler.generate_schema(member) for tag, member in self.members.items()}
        return core_schema.tagged_union_schema(choices, discriminator="tag")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.tagged, self.inner(handler))


class ManyOf(OneOf):
    """Several members by name: `{lm: 1.0, ema: {weight: 0.5}}`; a bare number is the member's weight."""

    def all_tagged(self, value: Any) -> Any:
        """Every member in the form that `inner` reads."""
        if isinstance(value, dict):
            return tuple(self.tagged({tag: settings}) for tag, settings in value.items())
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"write {{name: settings}} with names from {', '.join(self.members) or '(nothing yet)'}")
        members = tuple(self.tagged(member) for member in value)
        if len({member["tag"] for member in members}) < len(members):
            raise ValueError("each may stand there once")
        return members

    def settings(self, value: Any) -> dict[str, Any]:
        """As above, a number being the weight."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"weight": value}
        return super().settings(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        members = core_schema.tuple_variable_schema(self.inner(handler))
        return core_schema.no_info_before_validator_function(self.all_tagged, members)


def nearest(word: str, known: Any) -> str:
    """'; did you mean ...?', or the list of what is allowed where it is short."""
    close = difflib.get_close_matches(word, list(known), n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; allowed: {', '.join(known)}" if 0 < len(known) < 12 else ""
