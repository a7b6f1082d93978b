"""Configurations as plain YAML: reading one cannot run code, read other files, or exhaust the memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from cocoa.errors import RunError
from cocoa.storage.files import read_regular, reason

_LIMIT = 2**20  # bytes; the longest configuration, with 10,000 seeds, has a seventh of it
_INT = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
)
_RESOLVERS = {
    first: [(tag, form) for tag, form in forms if tag.rpartition(":")[2] not in ("int", "float", "timestamp")]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
"""YAML 1.1's types of unquoted text, but no dates, no numbers to the base of 60, and floats such as 1e-3."""


if yaml.__with_libyaml__:

    class _SafeLoader(Composer, yaml.CSafeLoader):
        """Parses in C, five times as fast, and composes in Python, where aliases can be refused."""

        def __init__(self, stream: Any):
            yaml.CSafeLoader.__init__(self, stream)
            Composer.__init__(self)
else:
    _SafeLoader = yaml.SafeLoader  # type: ignore[assignment]


class _Loader(_SafeLoader):
    yaml_implicit_resolvers = _RESOLVERS

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases, with which a few lines expand to gigabytes."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse duplicate keys."""
        values = super().construct_mapping(node, deep)
        if len(values) < len(node.value):
            raise yaml.YAMLError("it has a duplicate key")
        return values


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _RESOLVERS

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal objects in full, without aliases."""
        return True


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return nested mappings and sequences of plain values as text from which they can be read back."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)


def read_values(folder: Path) -> dict[str, Any]:
    """Return the values in the config.yaml of a run's folder, without interpolation.

    Raises RunError if it is missing, damaged, not a regular file, longer than 1 MiB, or uses YAML aliases.
    """
    path = folder / "config.yaml"
    try:
        values = load_yaml(read_regular(path, _LIMIT).decode())
        if not isinstance(values, dict):
            raise ValueError("it holds no configuration")
        return values
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise unreadable(path, error) from error


def load_yaml(text: str | bytes) -> Any:
    """Return the values in YAML text as in `read_values`. Raises ValueError or YAMLError."""
    return yaml.load(text, _Loader)  # a safe one


def unreadable(path: Path, error: Exception) -> RunError:
    """Return the error for a config.yaml that cannot be used."""
    return RunError(
        f"{path} cannot be read ({reason(error)}). It is damaged, or of another version of this project. "
        "Put it back as it was, or start a new run."
    )
