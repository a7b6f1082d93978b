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
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from cocoa.errors import ConfigError

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """Return an instance of the dataclass `cls` with `values`, of which any may be missing.

    Lists become tuples, whole floats become integers where the annotation says int. Raises ConfigError for an
    unknown field or a wrong type, and for a class that is no dataclass of such fields; `path` is what errors
    write in front of a field.
    """
    hints = field_types(cls, path)
    names = list(hints)
    for name in values:
        if name not in names:
            raise ConfigError(f"Unknown field {path}{name}.{suggest(str(name), names, path)}")
    converted = {name: _convert(value, hints[name], path + name) for name, value in values.items()}
    try:
        return cls(**converted)
    except ValueError as error:
        raise ConfigError(f"{path}{error}.") from error
    except TypeError as error:  # a field without a default, an abstract method
        raise ConfigError(
            f"{cls.__name__} cannot be made of its fields: {error}. Implement all abstract methods, and let "
            "it be a frozen dataclass whose fields all have defaults."
        ) from error


def field_types(cls: type, path: str = "") -> dict[str, Any]:
    """Return the annotations of a dataclass's fields.

    Raises ConfigError, with `path` in front of the field, for types that are no configuration's.
    """
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError) as error:
        raise ConfigError(
            f"The annotations of {cls.__name__} ({path}...) cannot be read: {error}. Import the types that "
            "they name at the top of the module."
        ) from error
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    own = inspect.get_annotations(cls)
    if missing := [name for name in own if name not in names and get_origin(hints[name]) is not ClassVar]:
        raise ConfigError(
            f"{missing[0]} is annotated in {cls.__name__}, but is no field of it. Decorate the class with "
            "@dataclass(frozen=True)."
        )
    for name in names:
        if not _supported(hints[name]):
            raise ConfigError(
                f"The field {path}{name} of {cls.__name__} is of the type {_type_name(hints[name])}. Fields "
                "are of bool, int, float, str, tuples of one of them as tuple[int, ...], or a dataclass."
            )
    return {name: hints[name] for name in names}


def _supported(hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        return len(options) == 1 and _supported(options[0])
    if get_origin(hint) is tuple:
        items = get_args(hint)
        return len(items) == 2 and items[1] is Ellipsis and _supported(items[0])
    return hint in _KINDS or is_dataclass(hint)


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


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
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), default=str, ensure_ascii=False)


def leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of the values in nested mappings."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield path + key, value


def put(node: dict[str, Any], name: str, value: Any) -> None:
    """Set the value of a dotted name in nested dicts; of a dict as the value, each of its values."""
    key, dot, rest = name.partition(".")
    if not dot and not isinstance(value, Mapping):
        node[key] = value
        return
    if not isinstance(node.get(key), dict):
        node[key] = {}
    for inner, item in {rest: value}.items() if dot else value.items():
        put(node[key], inner, item)


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


_KINDS = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
"""The plain types of fields, and what a value of each is."""


def _kind(hint: Any) -> str:
    """Return what a value of the annotation `hint` is, in words."""
    if get_origin(hint) is tuple:
        (item, _) = get_args(hint)
        return f"a list, such as {'[a,b]' if item is str else '[1,2]'}, in which each is {_kind(item)}"
    if is_dataclass(hint):
        return "given field by field: " + ", ".join(field.name for field in fields(hint))
    return _KINDS[hint]
