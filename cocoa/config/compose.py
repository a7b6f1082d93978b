"""From arguments to a configuration: Hydra's grammar and composition, our types and errors.

Later wins: the dataclasses' defaults, the chosen YAML of configs/algo and configs/cocoa, the presets of
configs/presets that apply, the command line.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from difflib import get_close_matches
from typing import Any, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cocoa.algos import REGISTRY
from cocoa.anchors import ANCHORS, Seek
from cocoa.config.presets import Preset, find_presets
from cocoa.config.program import program
from cocoa.config.schema import Config, from_dict, seeds_of
from cocoa.config.typed import check_choice, suggest
from cocoa.dynamics.config import ENSEMBLES
from cocoa.errors import ConfigError
from cocoa.storage.files import expanded

_MOST_JOBS = 10_000
GROUPS = ("algo", "cocoa", "dynamics")
"""Fields that are chosen by name, and then hold fields of their own."""


def rewrite(argument: str) -> str:
    """Return `argument` in Hydra's grammar, which knows neither bare flags nor the home folder's `~`.

    Raises ConfigError if there is no such home folder.
    """
    if argument == "+cocoa":
        return "cocoa=default"
    if argument.startswith("+cocoa="):
        return argument.removeprefix("+")
    key, equal, value = argument.partition("=")
    return key + equal + (str(expanded(value, key)) if value.startswith("~") else value)


def compose(arguments: Sequence[str]) -> tuple[Config, list[Preset]]:
    """Return the configuration that `arguments` (`field=value`, `+cocoa`) ask for, and the presets in it.

    Raises ConfigError, one paragraph that names the nearest valid field or value.
    """
    overrides = parse(arguments)
    for override in overrides:
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
        if override.is_add() and override.key_or_group in GROUPS:
            raise _misplaced_plus(override)
    choices = [override for override in overrides if _is_choice(override)]
    values = [override for override in overrides if not _is_choice(override)]
    base = choose(choices)
    for override in values:
        _check_key(override, base)
    given: dict[str, Any] = {override.key_or_group: override.value() for override in values}
    dataset, env = str(given.get("dataset", base["dataset"])), given.get("env")
    variant = base["cocoa"]["variant"] if base["cocoa"] else None
    presets = find_presets(base["algo"]["name"], variant, dataset, env)
    presets = [preset.without({*given, *_chosen(choices, base), *_missing(base)}) for preset in presets]
    settings = [setting for preset in presets for setting in preset.overrides]
    composed = _hydra(_lines(choices) + settings + _lines(values))
    composed["seeds"] = seeds_of(composed["seeds"])
    return from_dict(composed), [preset for preset in presets if preset.settings]


def choose(choices: Sequence[Override]) -> dict[str, Any]:
    """Return the defaults that belong to `choices` of GROUPS. Raises ConfigError for an unknown one."""
    return _hydra(_lines(choices), choices)


def expand(arguments: Sequence[str]) -> list[list[str]]:
    """Return the arguments of each run of `-m`: every combination of the values in Hydra's sweep syntax.

    Settings of Hydra itself are left out. Raises ConfigError for a sweep without values, or with too many.
    """
    store_defaults()
    with initialize_config_module("cocoa.configs", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        overrides = [override for override in parse(arguments) if not override.is_hydra_override()]
        alternatives = [_alternatives(replace(override, config_loader=loader)) for override in overrides]
    if math.prod(map(len, alternatives)) > _MOST_JOBS:
        raise ConfigError(f"These are more than {_MOST_JOBS:,} runs. Give fewer values.")
    jobs = [_without_idle(job) for job in itertools.product(*alternatives)]
    return [list(job) for job in dict.fromkeys(jobs)]


def _alternatives(override: Override) -> list[str]:
    """Return an argument for each value of a sweep, or the argument itself. Raises ConfigError."""
    line = override.input_line or ""
    if not override.is_sweep_override():
        return [line]
    if not override.is_discrete_sweep():
        raise ConfigError(f"{line} is a range without steps; give values, such as 0.7,0.9.")
    try:
        values = list(itertools.islice(override.sweep_string_iterator(), _MOST_JOBS + 1))
    except (HydraException, ValueError, TypeError) as error:
        raise ConfigError(f"The values of {line} cannot be listed: {_line(error)}") from error
    if not values:
        choices = f"; glob() chooses among names of {', '.join(GROUPS)}" if "glob" in line else ""
        raise ConfigError(f"{line} stands for no value at all{choices}.")
    return [f"{override.get_key_element()}={value}" for value in values]


def _without_idle(job: tuple[str, ...]) -> tuple[str, ...]:
    """Return a job's arguments, and none of the fields of `cocoa` if it is one of `+cocoa=none`."""
    if "cocoa=none" not in job:
        return job
    return tuple(argument for argument in job if not argument.startswith("cocoa."))


def replaced(arguments: Sequence[str]) -> list[str]:
    """Return a sentence for each argument without an effect, because a later one sets the same field."""
    lines, last = [], {}
    for override in parse(arguments):
        key, line = override.key_or_group, override.input_line
        if last.get(key, line) != line:
            lines.append(f"{last[key]} has no effect, since {line} comes later.")
        last[key] = line
    return lines


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
                f"with special characters needs two pairs of quotes: 'dataset=\"a=b.hdf5\"'. ({_line(error)})"
            ) from error
    return overrides


def store_defaults() -> None:
    """Offer Hydra the dataclasses' defaults, and a choice for each algorithm, anchor variant and ensemble."""
    store = ConfigStore.instance().store
    for name, cls in REGISTRY.items():
        store(name, {"name": name, **asdict(cls())}, group="algo")
    store("none", {"cocoa": None}, group="cocoa", package="_global_")
    for name, variant in {"default": Seek, **ANCHORS}.items():
        store(name, {"variant": variant.name, **asdict(variant())}, group="cocoa")
    for name, ensemble in ENSEMBLES.items():
        store(name, asdict(ensemble), group="dynamics")
    values = asdict(Config(algo=next(iter(REGISTRY.values()))()))
    store("fields", {name: value for name, value in values.items() if name not in GROUPS})


def _hydra(arguments: Sequence[str], choices: Iterable[Override] = ()) -> dict[str, Any]:
    """Compose configs/config.yaml with `arguments`, after looking whether the `choices` exist."""
    store_defaults()
    with initialize_config_module("cocoa.configs", version_base="1.3"):
        for choice in choices:
            if choice.key_or_group in GROUPS and not choice.is_delete():
                options = GlobalHydra.instance().config_loader().get_group_options(choice.key_or_group)
                check_choice(choice.key_or_group, str(choice.value()), options)
        try:
            composed = OmegaConf.to_container(hydra_compose("config", list(arguments)), resolve=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"The configuration cannot be composed: {_line(error)}") from error
    return cast(dict[str, Any], composed)


def _lines(overrides: Iterable[Override]) -> list[str]:
    return [override.input_line or "" for override in overrides]


def _is_choice(override: Override) -> bool:
    return override.key_or_group in GROUPS or override.is_hydra_override()


def _chosen(choices: Sequence[Override], base: Mapping[str, Any]) -> list[str]:
    """Return the fields of the ensemble if it was chosen by name: it is then as the name says."""
    named = any(choice.key_or_group == "dynamics" for choice in choices)
    return [f"dynamics.{name}" for name in base["dynamics"]] if named else []


def _missing(base: Mapping[str, Any]) -> list[str]:
    """Return the fields of all anchor variants that the chosen one, if any, does not have."""
    present = set(_names(base))
    names = dict.fromkeys(name for cls in ANCHORS.values() for name in _names({"cocoa": asdict(cls())}))
    return [name for name in names if name not in present or not base["cocoa"]]


def _check_key(override: Override, base: Mapping[str, Any]) -> None:
    """Raise ConfigError, naming the nearest, unless `override` is about a field of the chosen `base`."""
    key, last = override.key_or_group, override.key_or_group.rpartition(".")[2]
    known, missing = set(_names(base)) - {"algo.name", "cocoa.variant"}, _missing(base)
    if key in known and override.is_add():
        raise _misplaced_plus(override)
    if key in known:
        return
    if key == "cocoa.variant":
        raise ConfigError(f"Write +cocoa={override.value()} instead of {override.input_line}.")
    if key in missing and not base["cocoa"]:
        raise ConfigError(f"{override.input_line} needs anchors: add +cocoa to the command.")
    if key in missing:
        raise ConfigError(
            f"{key} is a field of {', '.join(_variants_with(key))}, not of {base['cocoa']['variant']}."
        )
    same_name = sorted(name for name in [*known, *missing] if name.rpartition(".")[2] == last)
    owners = [name for name, cls in REGISTRY.items() if last in {field.name for field in fields(cls)}]
    near = same_name or get_close_matches(key, [*known, *missing], n=1)
    if owners and not same_name:
        hint = f"algo.{last} is a field of {', '.join(owners)}, not of {base['algo']['name']}."
    elif key.startswith("algo.") and not any(name.startswith("algo.") for name in near):
        hint = f"The fields of {base['algo']['name']} are {', '.join(sorted(set(base['algo']) - {'name'}))}."
    elif near:
        hint = f"Did you mean {' or '.join(near)}{' (with +cocoa)' if near[0] in missing else ''}?"
    else:
        hint = f"{program()} --help lists all fields."
    raise ConfigError(f"Unknown field {key}. {hint}")


def _variants_with(key: str) -> list[str]:
    """Return the names of the anchor variants that have a field `cocoa...`."""
    return [name for name, cls in ANCHORS.items() if key in _names({"cocoa": asdict(cls())})]


def _misplaced_plus(override: Override) -> ConfigError:
    return ConfigError(f"{override.input_line}: write it without the +, which belongs to +cocoa alone.")


def _names(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the dotted names of all fields, those that hold others included."""
    for key, value in node.items():
        yield path + key
        if isinstance(value, dict):
            yield from _names(value, f"{path}{key}.")


def _line(error: Exception) -> str:
    """Return the messages of an error and its cause on one line."""
    causes = [error] if error.__cause__ is None else [error, error.__cause__]
    return " ".join(" ".join(str(cause).split()) for cause in causes)
