"""Published or tuned settings by dataset, from configs/presets."""

from __future__ import annotations

import functools
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any, cast

from omegaconf import OmegaConf

from cocoa.algos.base import REGISTRY, Algorithm
from cocoa.config.schema import Config
from cocoa.config.typed import leaves, literal
from cocoa.data.sources import label, registered_source


@dataclass(frozen=True)
class Preset:
    """Settings for datasets by name, and where they are from."""

    name: str
    """Of the file in configs/presets."""
    datasets: tuple[str, ...]
    """Patterns of dataset names; behind a "!", of those it is not for. Empty: for every dataset."""
    algo: str | None
    """The algorithm it is for; None for all."""
    source: str
    settings: dict[str, Any]
    """Values by dotted field."""

    def __str__(self) -> str:
        settings = " ".join(f"{key}={literal(value)}" for key, value in self.settings.items())
        return f"{settings} ({self.source})"

    @property
    def special(self) -> bool:
        """Whether it is for single datasets, not for all or all of some kind."""
        return bool(self.datasets) and not any("*" in pattern for pattern in self.datasets)

    def fits(self, dataset: str) -> bool:
        """Return whether it is for a dataset: by a name that has presets, never by the path of a file."""
        if not self.datasets:
            return True
        excluded = [pattern[1:] for pattern in self.datasets if pattern.startswith("!")]
        return _has_presets(dataset) and _match(dataset, self.datasets) and not _match(dataset, excluded)

    def only(self, keys: Container[str]) -> Preset:
        """Return what remains when nothing but `keys` is set."""
        return replace(self, settings={key: value for key, value in self.settings.items() if key in keys})


def _match(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _has_presets(dataset: str) -> bool:
    source = registered_source(dataset)
    return source is not None and source.presets


@functools.cache
def load_presets() -> tuple[Preset, ...]:
    """Return all presets, in the order in which they are applied: those for one algorithm come last."""
    presets = []
    for file in sorted((resources.files("cocoa.configs") / "presets").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            entries = OmegaConf.to_container(OmegaConf.create(file.read_text()))
            presets += [
                _read(file.name.removesuffix(".yaml"), **entry)
                for entry in cast(list[dict[str, Any]], entries)
            ]
    return tuple(sorted(presets, key=lambda preset: preset.algo is not None))


def _read(
    name: str, source: str, set: dict[str, Any], datasets: Sequence[str] = (), algo: str | None = None
) -> Preset:
    return Preset(name, tuple(datasets), algo, " ".join(source.split()), dict(leaves(set)))


def presets_class(cls: type[Algorithm]) -> type[Algorithm]:
    """Return the class whose presets an algorithm has: its own, or the nearest registered parent's."""
    parents = [parent for parent in cls.__mro__ if issubclass(parent, Algorithm)]
    return next((parent for parent in parents if parent in REGISTRY.values()), cls)


def find_presets(cls: type[Algorithm], dataset: str) -> list[Preset]:
    """Return the presets for an algorithm on a dataset, in the order in which they are applied."""
    names = (None, presets_class(cls).name)
    return [preset for preset in load_presets() if preset.algo in names and preset.fits(dataset)]


def preset_notes(config: Config, applied: Sequence[Preset]) -> list[str]:
    """Return what a run says of its presets, and of those that it does not have."""
    algo, dataset = presets_class(type(config.algo)).name, config.dataset
    lines = [f"Preset {preset.name}: {preset}" for preset in applied]
    namesake = label(dataset).lower().replace("_", "-")
    if not _has_presets(dataset) and _has_presets(namesake):
        lines.append(
            f"No preset of {namesake} is applied to the file {dataset}: presets are for datasets by name, "
            f"as in dataset={namesake}."
        )
    special = [preset for preset in load_presets() if preset.algo == algo and preset.special]
    if special and not any(preset.fits(dataset) for preset in special):
        fields = sorted({field for preset in special for field in preset.settings})
        lines.append(
            f"No preset is for {algo} on {label(dataset)}: unless they are set, "
            f"{', '.join(fields)} are at their defaults. configs/presets has them for other datasets."
        )
    return lines
