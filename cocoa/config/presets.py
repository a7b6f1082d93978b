"""Published or tuned settings by dataset, from configs/presets: between the defaults and the command line."""

from __future__ import annotations

import functools
import json
from collections.abc import Container, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from cocoa.algos.base import REGISTRY, Algorithm
from cocoa.config.effect import idle_fields
from cocoa.config.extensions import ALGORITHMS
from cocoa.config.schema import Config, from_dict, to_dict
from cocoa.config.typed import leaves, literal
from cocoa.dynamics.settings import passed_fields


@dataclass(frozen=True)
class Preset:
    """Settings for datasets by name, and where they are from."""

    name: str
    """Of the file in configs/presets."""
    datasets: tuple[str, ...]
    """Patterns of dataset names or Gymnasium ids, in lower case; behind a "!", of those it is not for."""
    algo: str | None
    """The algorithm it is for; None for all."""
    source: str
    settings: dict[str, Any]
    """Values by dotted field."""

    def __str__(self) -> str:
        settings = " ".join(f"{key}={literal(value)}" for key, value in self.settings.items())
        return f"{settings} ({self.source})"

    @property
    def overrides(self) -> list[str]:
        """The settings in Hydra's grammar."""
        return [f"{key}={json.dumps(value)}" for key, value in self.settings.items()]

    @property
    def special(self) -> bool:
        """Whether it is for datasets one by one, not for all of some kind."""
        return not any("*" in pattern for pattern in self.datasets)

    def fits(self, names: Sequence[str]) -> bool:
        """Return whether it is for what has these names."""
        wanted = [pattern for pattern in self.datasets if not pattern.startswith("!")]
        unwanted = [pattern[1:] for pattern in self.datasets if pattern.startswith("!")]
        return _match(names, wanted) and not _match(names, unwanted)

    def without(self, keys: Container[str]) -> Preset:
        """Return what remains when nothing is set for `keys`."""
        return replace(self, settings={key: value for key, value in self.settings.items() if key not in keys})


def _match(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


@functools.cache
def load_presets() -> tuple[Preset, ...]:
    """Return all presets, in the order in which they are applied: those for one algorithm come last."""
    presets = []
    for file in sorted((resources.files("cocoa.configs") / "presets").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            for entry in cast(
                list[dict[str, Any]], OmegaConf.to_container(OmegaConf.create(file.read_text()))
            ):
                name, settings = file.name.removesuffix(".yaml"), dict(leaves(entry.pop("set")))
                datasets, source = tuple(entry.pop("datasets")), " ".join(entry.pop("source").split())
                presets.append(Preset(name, datasets, entry.pop("algo", None), source, settings))
                assert not entry, f"{file} has an unknown key: {', '.join(entry)}"
    return tuple(sorted(presets, key=lambda preset: preset.algo is not None))


def find_presets(algo: str, variant: str | None, dataset: str, env: str | None) -> list[Preset]:
    """Return the presets that apply, in order, without settings that have no effect.

    `algo` and `variant` are references to classes as in `Axis.find`; no variant in a plain run. Raises
    ConfigError for an unknown name.
    """
    names = _names(dataset, env)
    return [
        preset.without(idle_fields(preset.settings, algo, variant))
        for preset in load_presets()
        if preset.algo in (None, algo) and preset.fits(names)
    ]


def _names(dataset: str, env: str | None) -> list[str]:
    """Return what patterns are compared with.

    A path counts by the name of its file, and D4RL's files (hopper_medium-v2.hdf5) by D4RL's names.
    """
    return [Path(name).stem.lower().replace("_", "-") for name in (dataset, env) if name]


def preset_notes(config: Config, applied: Sequence[Preset]) -> list[str]:
    """Return what a run says of its presets, and of settings that its algorithm has for other datasets."""
    lines = [f"Preset {preset.name}: {preset}" for preset in applied]
    algo = _registered(config.algo).name
    special = [preset for preset in load_presets() if preset.algo == algo and preset.special]
    if special and not any(preset.fits(_names(config.dataset, config.env)) for preset in special):
        fields = sorted({field for preset in special for field in preset.settings})
        lines.append(
            f"No preset is for {algo} on {Path(config.dataset).stem}: where they were not given, "
            f"{', '.join(fields)} are at their defaults. configs/presets has them for other datasets."
        )
    return lines


def _registered(algorithm: Algorithm) -> type[Algorithm]:
    """Return the class whose presets an algorithm has: its own, or the nearest registered parent's."""
    classes = [cls for cls in type(algorithm).__mro__ if issubclass(cls, Algorithm)]
    return next((cls for cls in classes if REGISTRY.get(getattr(cls, "name", "")) is cls), type(algorithm))


def _own_defaults(algorithm: Algorithm, parent: type[Algorithm]) -> set[str]:
    """Return the fields of which the algorithm's class has another default than `parent`."""
    before = {field.name: field.default for field in fields(parent)}
    return {f"algo.{x.name}" for x in fields(algorithm) if x.default != before.get(x.name, MISSING)}


def with_presets(config: Config) -> tuple[Config, list[Preset]]:
    """Return `config` with the presets that apply to it, and what they set.

    They set the fields that were not passed, neither to `config` nor to the settings in it. A subclass of a
    registered algorithm that is not registered itself has the presets of its parent, but for the fields that
    it gives another default. Raises ConfigError for a value of the wrong type.
    """
    parent = _registered(config.algo)
    passed = {*passed_fields(config), *_own_defaults(config.algo, parent)}
    values = to_dict(from_dict(to_dict(config)))
    anchors = (values["cocoa"] or {}).get("variant")
    found = find_presets(ALGORITHMS.reference(parent), anchors, config.dataset, config.env)
    known = dict(leaves(values))
    applied = [
        preset.without({*passed, *(key for key in preset.settings if key not in known)}) for preset in found
    ]
    for preset in applied:
        for key, value in preset.settings.items():
            *path, last = key.split(".")
            node = values
            for step in path:
                node = node[step]
            node[last] = value
    return from_dict(values), [preset for preset in applied if preset.settings]
