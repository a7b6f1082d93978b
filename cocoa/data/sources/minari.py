"""Minari's datasets by name, as in `minari:mujoco/hopper/medium-v0`: read from Minari's own cache.

Reading needs no package of Minari's; the extra `minari` downloads what the cache lacks.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from cocoa.data.dataset import Dataset
from cocoa.data.reference import REFERENCE_RETURNS, family_of
from cocoa.data.sources.base import DatasetInfo, DatasetSource, register_source
from cocoa.data.sources.minari_files import DATA, METADATA, Metadata, read_columns
from cocoa.data.validation import warn
from cocoa.environments.layouts import Layout
from cocoa.environments.recorded import (
    RecordedEnvironment,
    RecordedSpec,
    recorded_spec,
    register_recorded,
)
from cocoa.errors import DataError, shown
from cocoa.extras import missing, require
from cocoa.storage.files import expanded

_REMOTE = "hf://farama-minari"
"""Minari's default; the environment variable MINARI_REMOTE names another."""
_ID = re.compile(r"[\w-]+(/[\w-]+)*")
_VERSION = re.compile(r"-v(\d{1,9})$")
_DEEPEST = 8  # folders in folders
_KITCHENS: dict[tuple[str, ...], str] = {
    ("kettle", "light switch", "microwave", "slide cabinet"): "D4RL/kitchen-complete-v0",
    ("bottom burner", "kettle", "light switch", "microwave"): "D4RL/kitchen-mixed-v0",
}
"""The environments of D4RL's kitchen, by the subtasks that are goals."""


@register_source("minari:")
class MinariSource(DatasetSource):
    """Reads Minari's folders, and registers the environments that they describe."""

    def names(self) -> Collection[str]:
        """Return the names of all datasets in Minari's cache."""
        return tuple(f"{self.prefix}{name}" for name in sorted(_cached(minari_cache())))

    def info(self, name: str) -> DatasetInfo:
        """Return what the cache knows of a dataset, and register its environment."""
        folder = _folder(self._id(name))
        files = tuple(folder / file for file in (DATA, METADATA))
        if not all(file.is_file() for file in files):
            return DatasetInfo(name, extra="minari", files=files)
        env = None
        with contextlib.suppress(DataError):  # reading says what is wrong
            env = _Recording(name, Metadata.read(folder, name)).env
        return DatasetInfo(name, env, files=files)

    def from_anywhere(self, name: str) -> str:
        """Return the name with its version."""
        try:
            return f"{self.prefix}{self._id(name)}"
        except DataError:
            return name

    def read(self, name: str, env: str | None) -> Dataset:
        """Return the dataset of this name, the latest version in the cache if the name has none.

        Raises DataError if it is not there and cannot be downloaded, or cannot be read.
        """
        number = self._id(name)
        name, folder = f"{self.prefix}{number}", _folder(number)
        if not (folder / METADATA).is_file():
            self._download(number)
        metadata = Metadata.read(folder, name)
        recording = _Recording(name, metadata)
        for note in recording.notes(env):
            warn(f"{name}: {note}")
        columns = read_columns(folder, metadata, recording.layout)
        return Dataset.from_columns(columns, name=name, env=env or recording.makeable)

    def reference_returns(self, name: str) -> tuple[float, float] | None:
        """Return the dataset's own returns, else D4RL's for its environment, else None."""
        with contextlib.suppress(DataError):
            metadata = Metadata.read(_folder(self._id(name)), name)
            env = _Recording(name, metadata).env
            return metadata.references or REFERENCE_RETURNS.get(family_of(env or ""))
        return None

    def _id(self, name: str) -> str:
        """Return Minari's name of a dataset, with a version. Raises DataError."""
        number = name.removeprefix(self.prefix)
        if not _ID.fullmatch(number):
            raise DataError(
                f"{shown(repr(name))} is no name of a Minari dataset. They are made of letters, digits, _, - "
                "and /, as in minari:mujoco/hopper/medium-v0."
            )
        if _VERSION.search(number):
            return number
        versions = {
            int(found[1]): other
            for other in _cached(minari_cache())
            if (found := _VERSION.search(other)) and other[: found.start()] == number
        }
        if versions:
            return versions[max(versions)]
        raise DataError(
            f"{shown(repr(name))} has no version, and none is in Minari's cache, {minari_cache()}. Write the "
            f"version, as in {self.prefix}{number}-v0.{self._near(number)}"
        )

    def _near(self, number: str) -> str:
        """Return a sentence with names in the cache that are like one, if there are any."""
        near = get_close_matches(f"{self.prefix}{number}", self.names(), n=4, cutoff=0.5)
        return f" The cache has {', '.join(near)}." if near else ""

    def _download(self, number: str) -> None:
        """Fetch a dataset into Minari's cache. Raises DataError."""
        absent = f"{self.prefix}{number} is not in Minari's cache, {minari_cache()}"
        require("minari", f"{absent}, and downloading it")
        import minari

        remote = os.environ.get("MINARI_REMOTE", _REMOTE)
        started = f"Downloading {number} from {remote} to {_folder(number).parent}"
        tqdm.write(f"{started}; without a network this fails after half a minute", file=sys.stderr)
        lock = minari_cache() / f"{number.replace('/', '.')}.lock"
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock), contextlib.redirect_stdout(sys.stderr):
                if not (_folder(number) / METADATA).is_file():
                    minari.download_dataset(number, force_download=_folder(number).exists())
            if not (_folder(number) / METADATA).is_file():
                raise OSError("it ended without a metadata.json")
        except Exception as error:  # of Minari, the hub's client, or the network
            raise DataError(
                f"Downloading {self.prefix}{number} from {remote} failed ({type(error).__name__}: "
                f"{shown(error, 200)}). Check the name and the network, or copy the dataset's folder from a "
                f"machine that has it to {_folder(number).parent}; the environment variable "
                f"MINARI_DATASETS_PATH names another cache.{self._near(number)}"
            ) from error


class _Recording:
    """The environment of a dataset: what describes it, and the id under which it is registered."""

    def __init__(self, name: str, metadata: Metadata):
        """Register it. Raises DataError if observations cannot become vectors."""
        self._recorded, self._problem = _spec(metadata.spec("env_spec"))
        evaluated, problem = _spec(metadata.spec("eval_env_spec"))
        self._spec, self._problem = evaluated or self._recorded, problem or self._problem
        self.layout: Layout = metadata.observations(self._spec.id if self._spec else "")
        self.env = self._register(name, metadata) if self._spec else None
        """Gymnasium id; None if the dataset describes none that can be made here."""

    @property
    def makeable(self) -> str | None:
        """`env`, unless it needs an extra that is missing."""
        lacks = self._spec and self._spec.robotics and missing("robotics")
        return None if lacks else self.env

    def _register(self, name: str, metadata: Metadata) -> str:
        assert self._spec
        if self.layout.size == 60 and self._spec.id.startswith("FrankaKitchen"):
            subtasks = tuple(sorted(path[1] for path, _ in self.layout.parts if len(path) == 2))
            if kitchen := _KITCHENS.get(subtasks):
                return kitchen
        if self._spec.plain and not (self.layout.description or metadata.references):
            return self._spec.id
        env = f"minari/{name.partition(':')[2].replace('/', '.')}"
        register_recorded(env, RecordedEnvironment(self._spec, self.layout, metadata.references))
        return env

    def notes(self, env: str | None) -> Iterator[str]:
        """Yield what the user should know; `env` is the environment that they named."""
        if self.layout.description:
            yield f"observations are {self.layout.description}."
        if env:
            return
        if self._problem:
            yield (
                f"its environment is not used, since {self._problem}. Name one with env=, which "
                "env=module:Id-v0 imports first."
            )
        elif self.env and not self.makeable:
            yield "evaluating policies in its environment needs the extra robotics."
        elif self.env and self.env.startswith("D4RL/"):
            yield f"policies are evaluated in {self.env}, which has these observations, actions and subtasks."
        elif self._spec and self._recorded and _walls(self._spec) != _walls(self._recorded):
            yield (
                "the maze of its evaluations has other walls than that of its recording (known of Minari's "
                "AntMaze, where it is mirrored: Minari issue 304)."
            )


def _spec(text: object) -> tuple[RecordedSpec | None, str]:
    """Return a specification, or None and what is wrong with it, if there is one."""
    if text is None:
        return None, ""
    try:
        return recorded_spec(text), ""
    except DataError as error:
        return None, str(error)


def _walls(spec: RecordedSpec) -> list[list[bool]] | None:
    return [[cell == 1 for cell in row] for row in spec.maze] if spec.maze else None


def minari_cache() -> Path:
    """Return the folder of Minari's datasets: $MINARI_DATASETS_PATH or ~/.minari/datasets."""
    return expanded(os.environ.get("MINARI_DATASETS_PATH") or "~/.minari/datasets", "MINARI_DATASETS_PATH")


def _folder(number: str) -> Path:
    """Return the folder with the files of a dataset."""
    return minari_cache() / number / "data"


def _cached(folder: Path, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """Yield Minari's names of the datasets in a folder."""
    with contextlib.suppress(OSError):
        for inner in sorted(folder.iterdir()):
            name = f"{prefix}{inner.name}"
            if not inner.is_dir() or not _ID.fullmatch(inner.name):
                continue
            if (inner / "data" / METADATA).is_file():
                yield name
            elif depth < _DEEPEST:
                yield from _cached(inner, f"{name}/", depth + 1)
