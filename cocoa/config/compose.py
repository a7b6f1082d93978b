"""From the arguments of a command line to a configuration: Hydra's grammar, our fields and errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cocoa.algos import REGISTRY
from cocoa.anchors import ANCHORS, Seek
from cocoa.config.extensions import import_trusted
from cocoa.config.presets import Preset
from cocoa.config.program import program
from cocoa.config.resolve import resolve, values_of
from cocoa.config.schema import Config, from_dict, to_dict
from cocoa.config.typed import leaves, put, suggest
from cocoa.errors import ConfigError
from cocoa.storage.files import expanded

GROUPS = ("algo", "cocoa", "dynamics")
"""Fields that are chosen by name, and then hold fields of their own."""
_TEXT = re.compile(r"""(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|[^\s,()\[\]{}"'][^,()\[\]{}"']*""")
_ONLY_IN_QUOTES = re.compile(r"[^\x00-\x7f]|[!#&;<>^`~]")
"""Characters of texts that Hydra's grammar takes in quotes alone; `=` also names arguments of functions."""


def compose(arguments: Sequence[str]) -> tuple[Config, list[Preset]]:
    """Return the configuration that `arguments` (`field=value`, `+cocoa`) ask for, and the presets in it.

    Raises ConfigError, one paragraph that names the nearest valid field or value.
    """
    overrides = parse(arguments)
    for override in overrides:
        _check_form(override)
    values = choose(overrides)
    base = to_dict(from_dict(values))
    for override in overrides:
        if override.key_or_group not in GROUPS:
            _check_field(override, base)
            put(values, override.key_or_group, override.value())
    return resolve(_interpolated(values))


def choose(overrides: Sequence[Override]) -> dict[str, Any]:
    """Return the values of a configuration that the choices of GROUPS among `overrides` stand for.

    The modules that they name are imported: who types a name trusts it.
    """
    for override in overrides:
        if override.key_or_group in GROUPS and isinstance(override.value(), dict | list):
            field = override.key_or_group
            raise ConfigError(
                f"{override.input_line} is not possible: {field} is chosen by name, as in {field}=<name>; "
                f"its fields are set one by one, as in {field}.<field>=<value>."
            )
    names = {override.key_or_group: str(override.value()) for override in overrides}
    values = {"algo": "iql", **{field: names[field] for field in GROUPS if field in names}}
    for field in ("algo", "cocoa"):
        import_trusted(values.get(field, ""), trust=True)
    return {field: values_of(field, name) for field, name in values.items()}


def parse(arguments: Sequence[str]) -> list[Override]:
    """Return `arguments` read by Hydra's grammar. Raises ConfigError."""
    parser, overrides = OverridesParser.create(), []
    for argument in arguments:
        try:
            overrides.append(parser.parse_override(rewrite(argument)))
        except HydraException as error:
            hint = suggest(argument, ["+cocoa"]) if "=" not in argument else ""
            raise ConfigError(
                f"Cannot read {argument!r}.{hint} Write field=value, as in algo=iql or seeds=[3,7]; a text "
                f"with special characters needs two pairs of quotes: 'dataset=\"a=b.hdf5\"'. ({line(error)})"
            ) from error
    return overrides


def rewrite(argument: str) -> str:
    """Return `argument` in Hydra's grammar: no bare flags, `~` replaced, texts in quotes as needed.

    Raises ConfigError if there is no such home folder.
    """
    if argument == "+cocoa":
        return "cocoa=default"
    if argument.startswith("+cocoa="):
        return argument.removeprefix("+")
    key, equal, value = argument.partition("=")
    return key + equal + _with_quotes(str(expanded(value, key)) if value.startswith("~") else value)


def _with_quotes(value: str) -> str:
    """Return `value` with its texts of other letters than a to z, such as the path of a folder, in quotes."""

    def quoted(match: re.Match[str]) -> str:
        text = match[0]
        if match["quoted"] or not _ONLY_IN_QUOTES.search(text):
            return text
        return QuotedString(text.rstrip(), Quote.double).with_quotes()

    return value if "${" in value else _TEXT.sub(quoted, value)


def replaced(arguments: Sequence[str]) -> list[str]:
    """Return a sentence for each argument without an effect, because a later one sets the same field."""
    lines, last = [], {}
    for override in parse(arguments):
        key, text = override.key_or_group, override.input_line
        if last.get(key, text) != text:
            lines.append(f"{last[key]} has no effect, since {text} comes later.")
        last[key] = text
    return lines


def line(error: Exception) -> str:
    """Return the messages of an error and its cause on one line."""
    causes = [error] if error.__cause__ is None else [error, error.__cause__]
    return " ".join(" ".join(str(cause).split()) for cause in causes)


def _check_form(override: Override) -> None:
    """Raise ConfigError for a part of Hydra's grammar that makes no sense for one run."""
    if override.is_sweep_override():
        raise ConfigError(
            f"{override.input_line} holds several values. Add -m to train with one after the other, or "
            "write a list as [1,2], and quote a text with a comma in it: 'dataset=\"a,b.hdf5\"'."
        )
    if override.is_delete():
        raise ConfigError(
            f"{override.input_line} takes a field away, but a run needs them all. Give it a value; a run "
            "without COCOA is one without +cocoa."
        )
    if override.package is not None:
        raise ConfigError(f"{override.input_line} has an @, which is not possible here. Write field=value.")
    if override.is_add() and override.key_or_group in GROUPS:
        raise _misplaced_plus(override)


def _misplaced_plus(override: Override) -> ConfigError:
    return ConfigError(f"{override.input_line}: write it without the +, which belongs to +cocoa alone.")


def _interpolated(values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with the references in them, such as name=${algo.expectile}, replaced by values."""
    plain: dict[str, Any] = {}
    references = {}
    for name, value in leaves(values):
        if "${" in str(value):
            references[name] = value
        else:
            put(plain, name, value)
    if not references:
        return values
    config, _ = resolve(plain)
    tree = OmegaConf.create(to_dict(config))
    try:
        for name, value in references.items():
            OmegaConf.update(tree, name, value)
        for name in references:
            value = OmegaConf.select(tree, name)
            resolved = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            put(plain, name, resolved)
    except OmegaConfBaseException as error:
        raise ConfigError(f"The configuration cannot be composed: {line(error)}") from error
    return plain


def _check_field(override: Override, base: Mapping[str, Any]) -> None:
    """Raise ConfigError, naming the nearest field, unless `override` sets a field of `base`."""
    key, text = override.key_or_group, override.input_line
    known = [name for name in _names(base) if name not in ("algo.name", "cocoa.variant")]
    if key in known and override.is_add():
        raise _misplaced_plus(override)
    if key in known:
        return
    if key == "cocoa.variant":
        raise ConfigError(f"Write +cocoa={override.value()} instead of {text}.")
    others = {name: owners for name, owners in _owners().items() if name not in known}
    if key in others:
        raise ConfigError(_elsewhere(key, others[key], base))
    raise ConfigError(f"Unknown field {key}. {_nearest(key, known, others, base)}")


def _nearest(
    key: str, known: Sequence[str], others: Mapping[str, Sequence[str]], base: Mapping[str, Any]
) -> str:
    """Return a sentence about the fields that a user may have meant by `key`.

    These are the `known` fields of the configuration `base`, and `others` with the classes that have them.
    """
    group, _, last = key.rpartition(".")
    names = [*known, *others]
    near = [name for name in names if name.rpartition(".")[2] == last] or get_close_matches(key, names, n=1)
    if isinstance(base.get(group), Mapping) and not any(name.startswith(f"{group}.") for name in near):
        fields = sorted(set(base[group]) - {"name", "variant"})
        return f"The fields of {_chosen(group, base)} are {', '.join(fields)}."
    if near and near[0] in others:
        return _elsewhere(near[0], others[near[0]], base)
    return f"Did you mean {' or '.join(near)}?" if near else f"{program()} --help lists all fields."


def _elsewhere(name: str, owners: Sequence[str], base: Mapping[str, Any]) -> str:
    """Return how to get a field that the chosen algorithm and anchor variant do not have."""
    group = name.partition(".")[0]
    if base[group] is None:
        flag = "+cocoa" if Seek.name in owners else f"+cocoa={owners[0]}"
        return f"{name} needs anchors: add {flag} to the command."
    return f"{name} is a field of {', '.join(owners)}, not of {_chosen(group, base)}."


def _chosen(group: str, base: Mapping[str, Any]) -> str:
    """Return the name of the class chosen for a group of fields, or else that of the group."""
    return base[group].get("name") or base[group].get("variant") or group


def _owners() -> dict[str, list[str]]:
    """Return the names of the registered algorithms and anchor variants that have a field, by dotted name."""
    owners: dict[str, list[str]] = {}
    for group, registry in (("algo", REGISTRY), ("cocoa", ANCHORS)):
        for name, cls in registry.items():
            for field in _names({group: asdict(cls())}):
                owners.setdefault(field, []).append(name)
    return owners


def _names(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the dotted names of all fields, those that hold others included."""
    for key, value in node.items():
        yield path + key
        if isinstance(value, dict):
            yield from _names(value, f"{path}{key}.")
