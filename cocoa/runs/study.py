"""Studies: folders of runs that are named by their settings, so that each is made once and goes on if cut."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import filelock

from cocoa.config.effect import effective
from cocoa.config.schema import Config, defaults_of
from cocoa.config.typed import leaves, literal
from cocoa.data.sources import from_anywhere
from cocoa.errors import ConfigError
from cocoa.runs.places import folder_name, study_folder
from cocoa.storage.files import write_error

_SHOWN = ("algo.", "cocoa.", "seeds", "dynamics.")
"""How the fields begin that a run's name shows. Those of the algorithm stand there without `algo.`."""
_PLAIN = str.maketrans(",", "+", "[]'\"")
"""In a run's name: [256,256] as 256+256."""
_LONGEST = 60
"""Characters of a run's name before its digest."""
_DIGITS = 10


def named(config: Config, sha256: str | None = None) -> Config:
    """Return the configuration of a run of a study, with the name that its settings give it.

    The name begins with what is not at its default, for the reader. A digest ends it: of all settings that
    have an effect on the result, and of the data's `sha256` if they are not known by a name or path. Raises
    ConfigError if the run has a name already.
    """
    if config.name is not None:
        raise ConfigError(
            f"name={config.name} is not possible with study={config.study}: a study names its runs by their "
            "settings. Leave out one of the two."
        )
    settings = _settings(replace(config, dataset=from_anywhere(config.dataset)))
    defaults = _settings(defaults_of(config))
    changed = [name for name in settings if name.startswith(_SHOWN) and settings[name] != defaults.get(name)]
    shown = ",".join(f"{name.removeprefix('algo.')}={settings[name].translate(_PLAIN)}" for name in changed)
    text = "\n".join(f"{name}={value}" for name, value in sorted(settings.items())) + (sha256 or "")
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
    return replace(config, name=f"{folder_name(shown or 'defaults')[:_LONGEST]}-{digest}")


def _settings(config: Config) -> dict[str, str]:
    """Return the fields that tell runs apart, by their dotted names, as text."""
    return {name: literal(value) for name, value in leaves(effective(config))}


@contextmanager
def starting(config: Config) -> Iterator[None]:
    """Let no other process look for the run of a study, or begin it, meanwhile."""
    if config.study is None:
        yield
        return
    folder = study_folder(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        lock.acquire()
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def find(config: Config) -> Path | None:
    """Return the folder of the run of a study, or None if it has not been started. `config` is `named`."""
    return find_named(study_folder(config), config.name or "")


def find_named(study: Path, name: str) -> Path | None:
    """Return the folder of the run of this name in a study's folder, or None if it has not been started."""
    found = study.glob(f"*/*/{glob.escape(name)}/config.yaml")
    return next((path.parent for path in sorted(found)), None)
