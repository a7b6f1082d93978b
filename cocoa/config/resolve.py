"""The one way to a configuration: what the user chose, then presets, then types and checks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from cocoa.algos.base import Algorithm
from cocoa.anchors import Seek
from cocoa.config.effect import idle_fields
from cocoa.config.presets import Preset, find_presets, presets_class
from cocoa.config.schema import Config, from_dict, seeds_of, to_dict
from cocoa.config.typed import check_choice, leaves, put
from cocoa.data.sources import dataset_name
from cocoa.dynamics.config import ENSEMBLES


def resolve(values: Mapping[str, Any]) -> tuple[Config, list[Preset]]:
    """Return the configuration of what the user chose, and the presets in it.

    `values` are nested as in `to_dict` and hold the user's choices alone, of which each wins, even if it is
    the default. All else is set by the presets of the dataset, then by the defaults. `seeds` may be a number,
    `dataset` a list.
    A class that is not registered has the presets of its nearest registered parent, but for fields that it
    gives another default. Raises ConfigError for an unknown field or a value that is not possible, RunError
    for a class that is not there.
    """
    if "seeds" in values:
        values = {**values, "seeds": seeds_of(values["seeds"])}
    if isinstance(values.get("dataset"), list | tuple):
        values = {**values, "dataset": dataset_name(values["dataset"])}
    config = from_dict(values)
    algorithm, known = type(config.algo), dict(leaves(to_dict(config)))
    kept = {name for name, _ in leaves(values)} | _own_defaults(algorithm, presets_class(algorithm))
    kept |= idle_fields(known, known["algo.name"], known.get("cocoa.variant")).keys()
    presets = [preset.only(known.keys() - kept) for preset in find_presets(algorithm, config.dataset)]
    complete: dict[str, Any] = {}
    for part in (values, *(preset.settings for preset in presets)):
        for name, value in leaves(part):
            put(complete, name, value)
    return from_dict(complete), [preset for preset in presets if preset.settings]


def values_of(field: str, name: str) -> Any:
    """Return the values that the name of an algorithm, an anchor variant or an ensemble stands for.

    Of an ensemble these are all of its fields, so that no preset changes any of them.
    """
    if field == "algo":
        return {"name": name}
    if field == "cocoa":
        return None if name == "none" else {"variant": Seek.name if name == "default" else name}
    check_choice(field, name, tuple(ENSEMBLES))
    return asdict(ENSEMBLES[name])


def _own_defaults(cls: type[Algorithm], parent: type[Algorithm]) -> set[str]:
    """Return the fields of `algo` that a class declares, or gives another default than `parent`."""
    before = {field.name: field.default for field in fields(parent)}
    changed = {x.name for x in fields(cls) if x.default != before.get(x.name, MISSING)}
    for base in cls.__mro__:
        if base is not parent and issubclass(base, parent):
            changed |= inspect.get_annotations(base).keys()
    return {f"algo.{name}" for name in changed}
