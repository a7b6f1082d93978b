"""Studies: folders of runs that are named by their settings, so that each is made once and goes on if cut."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock

from cocoa.config.schema import Config, defaults_of, to_dict
from cocoa.config.typed import leaves, literal
from cocoa.data.sources import from_anywhere
from cocoa.errors import ConfigError, RunError
from cocoa.runs.checkpoint import read_position
from cocoa.runs.folder import checkpoint_path, read_config
from cocoa.runs.places import folder_name, study_folder
from cocoa.runs.summary import read_summary
from cocoa.storage.files import write_error

SURROUNDINGS = {
    *("name", "study", "runs_dir", "cache_dir", "devices", "distributed", "stream"),
    *("wandb", "wandb_project"),
}
"""Fields that do not tell two runs of a study apart: they say where and how a run is made."""
_SHOWN = ("algo.", "cocoa.", "seeds")
"""How the fields begin that a run's name shows."""
_LONGEST = 60
"""Characters of a run's name before its digest."""
_DIGITS = 10


@dataclass(frozen=True)
class State:
    """How far a run of a study is."""

    word: str
    """planned, running, cut, failed or finished."""
    updates: int = 0
    """Gradient updates made and saved, per seed."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Of the run; empty if it cannot be read."""


def named(config: Config, sha256: str | None = None) -> Config:
    """Return the configuration of a run of a study, with the name that its settings give it.

    The name begins with what is not at its default, for the reader; the digest of all settings ends it, and
    of the data's `sha256` if they are not known by a name or path. Raises ConfigError if the run has a name
    already.
    """
    if config.name is not None:
        raise ConfigError(
            f"name={config.name} is not possible with study={config.study}: a study names its runs by their "
            "settings. Leave out one of the two."
        )
    settings = _settings(replace(config, dataset=from_anywhere(config.dataset)))
    defaults = _settings(defaults_of(config))
    changed = [name for name in settings if name.startswith(_SHOWN) and settings[name] != defaults[name]]
    shown = ",".join(f"{name.rpartition('.')[2]}={settings[name]}" for name in changed)
    text = "\n".join(f"{name}={value}" for name, value in sorted(settings.items())) + (sha256 or "")
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
    return replace(config, name=f"{folder_name(shown or 'defaults')[:_LONGEST]}-{digest}")


def _settings(config: Config) -> dict[str, str]:
    """Return the fields that tell runs apart, by their dotted names, as text."""
    values = {name: value for name, value in to_dict(config).items() if name not in SURROUNDINGS}
    return {name: literal(value) for name, value in leaves(values)}


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


def state_of(folder: Path | None) -> State:
    """Return how far the run in a folder is; None: it has not been started."""
    if folder is None:
        return State("planned")
    summary: Mapping[str, Any] = {}
    updates = 0
    try:
        summary = read_summary(folder)
        updates = read_position(checkpoint_path(folder), read_config(folder)).step
    except (RunError, ConfigError):  # not written yet, or damaged; the run tells when it goes on
        pass
    word = summary.get("status", "cut")
    if word not in ("finished", "failed"):
        word = "running" if _held(folder) else "cut"
    return State(word, updates, summary)


def data_changed(summary: Mapping[str, Any]) -> bool:
    """Return whether a file that a run has read holds other bytes now; one that is gone has not changed."""
    return any(_other_bytes(file) for file in summary.get("dataset_files") or ())


def _other_bytes(file: Mapping[str, Any]) -> bool:
    path = Path(file["path"])
    if file["sha256"] is None or not path.is_file():
        return False
    stat = path.stat()
    return stat.st_size != file["bytes"] or _sha256(path, stat.st_mtime_ns) != file["sha256"]


@lru_cache
def _sha256(path: Path, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _held(folder: Path) -> bool:
    """Return whether a process is training the run in a folder."""
    try:
        with filelock.FileLock(folder / ".lock", blocking=False):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False
