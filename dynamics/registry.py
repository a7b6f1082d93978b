"""Classes by name, so that a user's own are found as the project's are."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def registration(registry: MutableMapping[str, Any], kind: str, name: str) -> Callable[[C], C]:
    """Return a class decorator that registers a class, whose `name` attribute it sets.

    `kind` is what errors call such a class. A class that is defined again, as in a notebook, replaces the
    former one. Raises ValueError if the name belongs to another class, or is not made of letters, digits, `_`
    and `-`.
    """
    if not re.fullmatch(r"\w[\w-]*", name):
        raise ValueError(f"{kind} name {name!r} must be made of letters, digits, _ and -")

    def add(cls: C) -> C:
        taken = registry.get(name, cls)
        if (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{kind} name {name!r} is already taken by {taken.__qualname__}")
        cls.name = name  # type: ignore[attr-defined]
        registry[name] = cls
        return cls

    return add
