"""Dataclasses of hyperparameters that remember which of their fields were passed."""

from __future__ import annotations

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


def passed_values(settings: Settings) -> dict[str, Any]:
    """Return the fields that were passed and their values, as nested dicts for settings within settings."""
    values = {name: getattr(settings, name) for name in settings._passed}
    return {
        name: passed_values(value) if isinstance(value, Settings) else value for name, value in values.items()
    }
