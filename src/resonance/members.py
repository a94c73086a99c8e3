"""From the settings of a member to the class that implements it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from resonance.params import Learner, Member


def module_name(package: str, settings: Member) -> str:
    """`resonance.networks` and the settings of `rwkv7` → `resonance.networks.rwkv7`."""
    return f"{package}.{settings.tag.replace('-', '_')}"


def implementation(package: str, settings: Member) -> Any:
    """The class that bears the name of its settings, in the module that bears the name of its tag."""
    return getattr(import_module(module_name(package, settings)), type(settings).__name__)


def modules(learner: Learner) -> list[str]:
    """The members that a learner names, as modules."""
    axes = {
        "resonance.networks": [learner.network, *others(learner.objective)],
        "resonance.learning.scopes": [learner.train],
        "resonance.learning.objectives": learner.objective,
        "resonance.learning.heads": learner.heads,
    }
    found = [module_name(package, member) for package, chosen in axes.items() for member in chosen]
    return list(dict.fromkeys(found))


def others(objectives: Iterable[Member]) -> list[Member]:
    """The networks that objectives bring along: peers of other kinds."""
    values = [value for term in objectives for value in vars(term).values() if isinstance(value, tuple)]
    return [member for value in values for member in value if isinstance(member, Member)]
