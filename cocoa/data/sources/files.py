"""Datasets in files of a user's own, named by their path: HDF5 in D4RL's format, and .npz with its keys."""

from __future__ import annotations

import os
from pathlib import Path

import gymnasium

from cocoa.data import archives, hdf5
from cocoa.data.dataset import Dataset
from cocoa.data.sources.base import SOURCES, DatasetInfo, DatasetSource
from cocoa.data.validation import warn
from cocoa.errors import shown
from cocoa.storage.files import expanded

SUFFIXES = (".hdf5", ".h5", ".npz")


class FileSource(DatasetSource):
    """Reads the file of a path; it is asked last, since nearly any text can be a path."""

    def answers(self, name: str) -> bool:
        """Return whether there is such a file, or the name looks like the path of one."""
        path = expanded(name, "dataset")
        if os.path.isfile(path) or path.suffix in SUFFIXES or len(path.parts) > 1:
            return True
        return os.path.lexists(path) and not path.is_dir()  # a pipe or a device, which reading refuses

    def finds(self, name: str) -> bool:
        """Return whether there is something at this path, or its ending is that of a data file."""
        path = expanded(name, "dataset")
        return os.path.lexists(path) or path.suffix in SUFFIXES

    def info(self, name: str) -> DatasetInfo:
        """Return the file of a path."""
        return DatasetInfo(name, files=(expanded(name, "dataset"),))

    def from_anywhere(self, name: str) -> str:
        """Return the absolute path."""
        return os.path.abspath(expanded(name, "dataset"))

    def reference_returns(self, name: str) -> tuple[float, float] | None:
        """Return the returns in the file's attribute `reference_returns`, if there is such a file."""
        path = expanded(name, "dataset")
        return hdf5.reference_returns(path) if path.suffix in SUFFIXES and path.is_file() else None

    def read(self, name: str, env: str | None) -> Dataset:
        """Return the dataset in the file, called by the stem of the file's name, unless a source has that."""
        path = expanded(name, "dataset")
        taken = any(source.answers(path.stem) for source in SOURCES)
        return read_file(path, path.name if taken else path.stem, env)


def read_file(
    path: Path,
    name: str,
    env: str | None,
    default_env: str | None = None,
    time_limit: int | None = None,
) -> Dataset:
    """Return the dataset in an HDF5 file in D4RL's format, or an .npz file with its keys, called `name`.

    The environment is `env`, else what the file's attributes name, else `default_env`. `time_limit` is as in
    `Dataset.from_columns`. Raises DataError, naming the file, the key and the row, if it cannot be trusted.
    """
    recorded = references = None  # an archive has no attributes
    if path.suffix == ".npz":
        columns, sha256 = archives.read(path)
    else:
        columns, recorded, sha256 = hdf5.read(path)
        references = hdf5.reference_returns(path)
    env = env or _known_to_gymnasium(recorded, path) or default_env
    return Dataset.from_columns(
        columns,
        name=name,
        origin=str(path),
        env=env,
        time_limit=time_limit,
        sha256=sha256,
        reference_returns=references,
    )


def _known_to_gymnasium(env: str | None, path: Path) -> str | None:
    """Return the environment that a file names, or None, with a warning, if Gymnasium does not know it."""
    if env is None or env in gymnasium.registry:
        return env
    warn(
        f"{path} says that it was recorded in {shown(repr(env))}, which Gymnasium does not know; this is "
        "ignored. Give env= to name an environment that it knows; env=module:Id-v0 imports the module first."
    )
    return None
