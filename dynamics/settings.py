"""Dataclasses of hyperparameters that remember which of their fields were passed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Self


class Settings:
    """Base of the dataclasses of hyperparameters.

    A field that was passed, even with its default value, is a choice that no preset replaces;
    `dataclasses.replace` passes all of them.
    """

    _passed: frozenset[str]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the names of the fields that are passed."""
        made = super().__new__(cls)
        names = [field.name for field in fields(cls) if field.init]  # type: ignore[arg-type]
        object.__setattr__(made, "_passed", frozenset([*names[: len(args)], *kwargs]))
        return made


def passed_fields(settings: Settings) -> Iterator[str]:
    """Yield the dotted names of the fields that were passed, of settings within settings as well."""
    for name in settings._passed:
        value = getattr(settings, name, None)
        if isinstance(value, Settings):
            yield from (f"{name}.{inner}" for inner in passed_fields(value))
        elif isinstance(value, Mapping):
            yield from _leaf_names(value, f"{name}.")
        else:
            yield name


def _leaf_names(values: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaf_names(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"
