"""Dataclasses from plain values, checked against their annotations, and the documentation of their fields."""

from __future__ import annotations

import ast
import inspect
import json
import math
import os
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cocoa.errors import ConfigError

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """Return an instance of the dataclass `cls` with `values`, of which any may be missing.

    Lists become tuples, whole floats become integers where these are asked for. Raises ConfigError for an
    unknown field or a wrong type; `path` is what errors write in front of a field.
    """
    hints = _hints(cls, path)
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise ConfigError(f"Unknown field {path}{name}.{suggest(str(name), names, path)}")
    converted = {name: _convert(value, hints[name], path + name) for name, value in values.items()}
    try:
        return cls(**converted)
    except ValueError as error:
        raise ConfigError(f"{path}{error}.") from error


def _hints(cls: type, path: str) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except (NameError, TypeError) as error:
        raise ConfigError(
            f"The annotations of {cls.__name__} ({path}...) cannot be read: {error}. Import the types that "
            "they name at the top of the module."
        ) from error


def suggest(word: str, options: Iterable[str], prefix: str = "") -> str:
    """Return a sentence that asks for the option nearest to `word`, or an empty one if none is near."""
    lower = {option.lower(): option for option in options}
    near = get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    return f" Did you mean {prefix}{lower[near[0]]}?" if near else ""


def check_choice(name: str, value: Any, options: Sequence[str]) -> None:
    """Raise ConfigError, naming the nearest option, unless `value` is one of `options`."""
    if value not in options:
        near = suggest(str(value), options, f"{name}=")
        raise ConfigError(f"{name}={literal(value)} is not possible.{near} Choices: {', '.join(options)}.")


def literal(value: Any) -> str:
    """Return a value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)


def leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of the values in nested mappings."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield path + key, value


def document(cls: type) -> dict[str, str]:
    """Return what the string literal below each field of a dataclass says, on one line."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        for statement, following in pairwise(body):
            match statement, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    texts[name] = " ".join(text.split())
    return texts


def _convert(value: Any, hint: Any, path: str) -> Any:
    """Return `value` as an instance of the annotation `hint`, or raise ConfigError.

    Numbers and arrays of NumPy or JAX count as Python's, paths as texts.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        (hint,) = (option for option in get_args(hint) if option is not type(None))
    if is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]
            return value
        if isinstance(value, Mapping):
            return build(hint, value, path + ".")  # type: ignore[arg-type]
    elif get_origin(hint) is tuple:
        if isinstance(value, list | tuple | range):
            return tuple(_convert(item, get_args(hint)[0], path) for item in value)
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    elif hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    elif type(value) is hint:
        return value
    raise ConfigError(f"{path}={literal(value)} is not possible: {path} must be {_kind(hint)}.")


def _kind(hint: Any) -> str:
    """Return what a value of the annotation `hint` is, in words."""
    if get_origin(hint) is tuple:
        return f"a list, such as [1,2], in which each is {_kind(get_args(hint)[0])}"
    if is_dataclass(hint):
        return "given field by field: " + ", ".join(field.name for field in fields(hint))
    kinds = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    if hint not in kinds:
        return f"of the type {hint}, but fields are of bool, int, float, str or tuples of one of them"
    return kinds[hint]
