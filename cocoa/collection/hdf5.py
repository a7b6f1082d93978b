"""D4RL's HDF5 files, written in slices, and whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cocoa.storage.files import whole_file, write_error

_CHUNK = 1 << 17  # bytes


def write_hdf5(path: Path, slices: Iterable[Mapping[str, np.ndarray]], attributes: Mapping[str, Any]) -> None:
    """Write columns (N, ...), given in slices of their rows, and the attributes of the file.

    Raises RunError if the file cannot be written.
    """
    try:
        with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
            for name, value in attributes.items():
                file.attrs[name] = value
            for rows in slices:
                for key, column in rows.items():
                    _append(file, key, column)
    except OSError as error:
        raise write_error(path, error) from error


def _append(file: h5py.File, key: str, rows: np.ndarray) -> None:
    if key not in file:
        length = max(1, _CHUNK // max(1, rows[:1].nbytes))
        file.create_dataset(
            key,
            data=rows,
            maxshape=(None, *rows.shape[1:]),
            chunks=(length, *rows.shape[1:]),
            compression="gzip",
            compression_opts=4,
        )
        return
    dataset: Any = file[key]
    start = len(dataset)
    dataset.resize(start + len(rows), axis=0)
    dataset[start:] = rows
