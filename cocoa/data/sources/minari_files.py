"""Minari's folders: metadata.json, and main_data.hdf5 with a group for each episode."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cocoa.data.chunks import AT_ONCE, all_written, check_chunks, read_array
from cocoa.data.contents import REMEDY, check_regular, explain, keys_of, open_array, other_format
from cocoa.data.memory import check_memory
from cocoa.environments.layouts import Layout, layout_of
from cocoa.errors import DataError, shown
from cocoa.storage.files import read_regular, reason

METADATA, DATA = "metadata.json", "main_data.hdf5"
_LARGEST = 2**26  # bytes of metadata.json
_EPISODE = re.compile(r"episode_(0|[1-9]\d{0,9})")
_COLUMNS = {"rewards": "rewards", "terminations": "terminals", "truncations": "timeouts"}
"""Names of Minari's arrays with one number per step, and those of D4RL's format."""


@dataclass(frozen=True)
class Metadata:
    """What metadata.json says of a dataset."""

    values: Mapping[str, Any]
    origin: str

    @classmethod
    def read(cls, folder: Path, origin: str) -> Metadata:
        """Read it from the folder of the data; nothing in it is executed. Raises DataError."""
        path = folder / METADATA
        try:
            values = json.loads(read_regular(path, _LARGEST).decode())
            if not isinstance(values, dict):
                raise ValueError("it holds no mapping")
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path} cannot be read ({reason(error)}). {REMEDY}") from error
        return cls(values, origin)

    def spec(self, key: str) -> Any:
        """Return an environment's specification in JSON, or None; `key` is env_spec or eval_env_spec."""
        return self.values.get(key)

    @property
    def references(self) -> tuple[float, float] | None:
        """The returns that Minari scores as 0 and 100 %, if it does."""
        low, high = self.values.get("ref_min_score"), self.values.get("ref_max_score")
        numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in (low, high))
        return (float(low), float(high)) if numbers and low < high else None  # type: ignore[arg-type, operator]

    def space(self, key: str) -> Mapping[str, Any]:
        """Return a space in Minari's notation; `key` is observation_space or action_space."""
        try:
            space = json.loads(self.values[key])
            if not isinstance(space, dict):
                raise ValueError("it is no mapping")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(
                f"{self.origin}: its metadata.json has no {key} that can be read ({shown(error)}). {REMEDY}"
            ) from error
        return space

    def observations(self, env: str) -> Layout:
        """Return how observations become vectors; `env` is the environment's id, or empty."""
        return layout_of(self.space("observation_space"), env, self.origin)

    def action_size(self) -> int:
        """Return A, having checked that actions are vectors of continuous numbers."""
        space = self.space("action_space")
        kind, shape = space.get("type"), space.get("shape")
        size = shape[0] if isinstance(shape, list) and len(shape) == 1 else None
        if kind != "Box" or type(size) is not int or str(space.get("dtype"))[:5] != "float":
            seen = f"{shown(kind)}({shown(space['n'])})" if "n" in space else f"{shown(kind)} {shown(shape)}"
            raise DataError(
                f"{self.origin}: its actions are {seen}. Only vectors of continuous numbers, a Box with one "
                "axis, are supported."
            )
        return size


def read_columns(folder: Path, metadata: Metadata, layout: Layout) -> dict[str, np.ndarray]:
    """Return all episodes in D4RL's columns, one row per step, with the next observation of each step.

    Episodes are read one by one. Nothing outside of the file is opened. Raises DataError, naming the episode
    and the key, if the file cannot be read, lacks something, or needs more memory than there is.
    """
    if (kind := metadata.values.get("data_format", "hdf5")) != "hdf5":
        raise DataError(
            f"{metadata.origin} is stored as {shown(kind)}, and only Minari's HDF5 is read: record or "
            'write its episodes again, with data_format="hdf5".'
        )
    path = folder / DATA
    check_regular(path)
    if not h5py.is_hdf5(path):
        raise DataError(f"{path} is not an HDF5 file. {other_format(path)}")
    try:
        with h5py.File(path, "r") as file:
            return _Episodes(file, metadata, layout).columns()
    except DataError:
        raise
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        raise DataError(explain(error, path)) from error


class _Episodes:
    """The episodes of a file."""

    def __init__(self, file: h5py.File, metadata: Metadata, layout: Layout):
        self._file, self._origin, self._layout = file, metadata.origin, layout
        self._actions = metadata.action_size()
        self._keys = self._find(metadata)
        self._lengths = [len(self._open(f"{key}/rewards", (None,))) for key in self._keys]
        self._check_steps(metadata)

    def _find(self, metadata: Metadata) -> list[str]:
        numbers = sorted(int(found[1]) for key in keys_of(self._file) if (found := _EPISODE.fullmatch(key)))
        declared, gaps = metadata.values.get("total_episodes"), numbers != list(range(len(numbers)))
        if gaps or declared != len(numbers) or not numbers:
            raise DataError(
                f"{self._origin}: {METADATA} declares {shown(declared)} episodes, and {DATA} holds "
                f"{len(numbers):,}{', not numbered from 0 on' if gaps else ''}."
                f" {'Record at least one episode.' if declared == 0 else REMEDY}"
            )
        return [f"episode_{number}" for number in numbers]

    def _check_steps(self, metadata: Metadata) -> None:
        total, declared = sum(self._lengths), metadata.values.get("total_steps")
        if declared != total or total == 0:
            raise DataError(
                f"{self._origin}: {METADATA} declares {shown(declared)} steps, and {DATA} holds {total:,}. "
                f"{REMEDY}"
            )
        longest = max(self._lengths) + 1
        numbers = total * (2 * self._layout.size + self._actions + 1) + longest * self._layout.size
        check_memory(4 * numbers + 34 * total + 8 * longest * self._layout.size + AT_ONCE, self._origin)

    def columns(self) -> dict[str, np.ndarray]:
        """Read all episodes."""
        total, size = sum(self._lengths), self._layout.size
        columns = {
            "observations": np.empty((total, size), np.float32),
            "next_observations": np.empty((total, size), np.float32),
            "actions": np.empty((total, self._actions), np.float32),
            "rewards": np.empty(total, np.float32),
            "terminals": np.empty(total, bool),
            "timeouts": np.empty(total, bool),
        }
        start = 0
        for key, length in zip(self._keys, self._lengths, strict=True):
            rows = slice(start, start + length)
            start += length
            if length:
                self._read(key, length, {name: column[rows] for name, column in columns.items()})
        return columns

    def _read(self, key: str, length: int, columns: dict[str, np.ndarray]) -> None:
        """Read one episode into its rows."""
        vectors = np.zeros((length + 1, self._layout.size), np.float32)
        parts = {
            path: self._numbers("/".join((key, "observations", *path)), (length + 1, size), np.float32)
            for path, size in self._layout.parts
        }
        self._layout.fill(vectors, parts.__getitem__)
        columns["observations"][:], columns["next_observations"][:] = vectors[:-1], vectors[1:]
        columns["actions"][:] = self._numbers(f"{key}/actions", (length, self._actions), np.float32)
        for name, column in _COLUMNS.items():
            kind = np.float32 if name == "rewards" else None
            values = self._numbers(f"{key}/{name}", (length,), kind).reshape(length)
            if name != "rewards" and values.dtype != bool and ((values != 0) & (values != 1)).any():
                raise DataError(f"{self._origin}: `{key}/{name}` holds other numbers than 0 and 1. {REMEDY}")
            columns[column][:] = values

    def _numbers(self, key: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array of the file in another type, None for its own, as (rows, columns)."""
        dataset = self._open(key, shape)
        if not all_written(dataset):
            raise DataError(f"{self._origin}: `{key}` was not written to its end. {REMEDY}")
        array = read_array(dataset, np.dtype(dtype or dataset.dtype), self._origin, key)
        return array.reshape(len(array), -1)

    def _open(self, key: str, shape: tuple[int | None, ...]) -> h5py.Dataset:
        """Return an array of numbers without reading it, after checks of its shape and storage.

        A size that is None may be any; one axis more or less of size 1 does not matter.
        """
        dataset = open_array(self._file, key, self._origin)
        check_chunks(dataset, self._origin, key)
        actual = dataset.shape or ()
        flat = (*actual[:1], math.prod(actual[1:]))
        wanted = (*shape, 1)[:2]
        fits = len(actual) in (1, 2) and all(w in (None, a) for w, a in zip(wanted, flat, strict=True))
        if not fits or dataset.dtype.kind not in "fiub":
            text = ", ".join("any" if size is None else str(size) for size in shape)
            raise DataError(
                f"{self._origin}: `{key}` has shape {actual} and type {dataset.dtype}, where numbers of "
                f"shape ({text}) belong. An episode of N steps has N + 1 observations and N of all "
                f"else. {REMEDY}"
            )
        return dataset
