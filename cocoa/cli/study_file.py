"""Studies in YAML files: each field with its value, or with a list of the values to sweep over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Quote, QuotedString

from cocoa.config.typed import leaves, literal
from cocoa.errors import ConfigError
from cocoa.runs.yaml import load_yaml
from cocoa.storage.files import read_regular, reason

_LIMIT = 2**20
_SUFFIXES = (".yaml", ".yml")


def study_files(words: Sequence[str]) -> list[str]:
    """Return those of the arguments that name YAML files."""
    return [word for word in words if "=" not in word and word.endswith(_SUFFIXES)]


def spelled_out(words: Sequence[str]) -> list[str]:
    """Return the arguments of `-m` with those in place of a YAML file that stand in it.

    The study of a file is called after it, unless `study` is set. An argument beside the file wins over one
    in it. Raises ConfigError if a file cannot be read.
    """
    files = study_files(words)
    beside = [word for word in words if word not in files]
    fields = {_field(word) for word in beside}
    inside = [word for file in files for word in _words(Path(file)) if _field(word) not in fields]
    return [*inside, *beside]


def _field(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


def _words(path: Path) -> Iterator[str]:
    """Yield the arguments that a file stands for."""
    try:
        values = load_yaml(read_regular(path, _LIMIT).decode())
        if not isinstance(values, dict) or not all(isinstance(name, str) for name, _ in leaves(values)):
            raise ValueError("it must hold fields with their values")
    except (OSError, ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"The study {path} cannot be read ({reason(error)}). It must be a YAML file of fields and values,"
            " such as `algo: [iql, td3_bc]`."
        ) from error
    if isinstance(values.get("cocoa"), dict):
        yield "cocoa=default"
    for name, value in leaves({"study": path.stem, **values}):
        choices = value if isinstance(value, list) else [value]
        yield f"{name}={','.join(map(_in_grammar, choices))}"


def _in_grammar(value: Any) -> str:
    """Return a value as Hydra's grammar takes it."""
    text = "null" if value is None else literal(value)
    plain = not isinstance(value, str) or re.fullmatch(r"[\w./-]+", text)
    return text if plain else QuotedString(text, Quote.single).with_quotes()
