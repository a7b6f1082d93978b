"""The words of a verb on runs: folders, fields `name=value`, and the flag --trust."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocoa.cli.arguments import check_surroundings, import_from_here
from cocoa.config.compose import parse
from cocoa.config.typed import suggest
from cocoa.errors import ConfigError
from cocoa.runs.folder import find_runs


@dataclass(frozen=True)
class Words:
    """What stands behind a verb."""

    runs: list[Path]
    """The folders of the runs, each once."""
    fields: dict[str, Any]
    """Values by field."""
    trust: bool
    """Whether modules may be imported that a run's configuration names."""


def words_of(arguments: Sequence[str], known: Collection[str], program: str) -> Words:
    """Return what the arguments are: a word is a field if it begins with one and no file has this name.

    Raises ConfigError for an unknown flag or field, or without a folder, and RunError for a folder without
    runs.
    """
    trust = "--trust" in arguments
    words = [word for word in arguments if word != "--trust"]
    check_surroundings(words)
    import_from_here(words, trust)
    folders, fields = [], {}
    for word in words:
        name, sign, _ = word.partition("=")
        if word.startswith("-"):
            raise ConfigError(f"Unknown flag {word}: {program} --help shows what may stand there.")
        if os.path.exists(word) or not sign or "/" in name:
            folders.append(word)
        elif name in known:
            fields[name] = parse([word])[0].value()
        else:
            raise ConfigError(f"There is no field {name} of {program}.{suggest(name, known)}")
    if not folders:
        raise ConfigError(f"Name the folder of a run, or a folder above runs: {program} runs/...")
    runs = list(dict.fromkeys(run for folder in folders for run in find_runs(folder)))
    return Words(runs, fields, trust)
