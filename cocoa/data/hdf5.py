"""D4RL-format HDF5 files: flat arrays by key, each read once and straight into its final type."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from cocoa.data.validation import FLAGS, KEYS, check_layout
from cocoa.errors import DataError

_ENV_ATTRIBUTES = ("env_id", "env", "env_name")
_REMEDY = "If it was downloaded or copied, delete it and fetch it again."


def read(path: Path) -> tuple[dict[str, np.ndarray], str | None, str]:
    """Return a file's columns by key, the environment its attributes name, and the SHA-256 of its bytes.

    Columns have the shapes of the file and are float32, flags of any type; groups (`infos`, `metadata`) and
    unknown keys are ignored. Raises DataError if the file cannot be read or its layout is wrong.
    """
    digest = _digest(path)
    try:
        with h5py.File(path, "r") as file:
            return _columns(file, str(path)), _env(file), digest
    except DataError:
        raise
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        raise DataError(f"{path} is a damaged HDF5 file, perhaps cut short: {error}. {_REMEDY}") from error


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, after checking that it can be read and says that it is HDF5."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            empty = file.tell() == 0
    except FileNotFoundError as error:
        raise DataError(
            f"There is no file {path}. Check the path; it is taken from the working directory."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the path of a readable HDF5 file."
        ) from error
    if empty:
        raise DataError(f"{path} is empty (0 bytes). {_REMEDY}")
    if not h5py.is_hdf5(path):
        raise DataError(f"{path} is not an HDF5 file. Datasets are read in D4RL's format, HDF5. {_REMEDY}")
    return digest


def _columns(file: h5py.File, source: str) -> dict[str, np.ndarray]:
    stored: dict[str, h5py.Dataset] = {}
    for key in KEYS:
        if key in file:
            item = file[key]
            if not isinstance(item, h5py.Dataset):
                raise DataError(f"{source}: `{key}` is a group. D4RL's format has arrays, one row per step.")
            stored[key] = item
    check_layout(stored, source, found=", ".join(file) or "nothing")
    return {key: _read_column(dataset, source, key) for key, dataset in stored.items()}


def _read_column(dataset: h5py.Dataset, source: str, key: str) -> np.ndarray:
    column = np.empty(dataset.shape, dataset.dtype if key in FLAGS else np.float32)
    try:
        if dataset.dtype == column.dtype:
            with contextlib.suppress(zlib.error, ValueError):  # HDF5 tells what is wrong, if anything is
                if _decompress(dataset, column):
                    return column
        dataset.read_direct(column)
    except Exception as error:
        raise DataError(
            f"{source}: `{key}` cannot be read, the file is damaged: {error}. {_REMEDY}"
        ) from error
    return column


def _decompress(dataset: h5py.Dataset, column: np.ndarray) -> bool:
    """Read a dataset into `column` if it is chunks of gzip, and tell whether it was.

    It is done on all cores: decompression, for which HDF5 has one, is what takes longest.
    """
    filters, shape = dataset.id.get_create_plist(), dataset.chunks
    gzip = filters.get_nfilters() == 1 and filters.get_filter(0)[0] == h5py.h5z.FILTER_DEFLATE
    if not gzip or shape is None:
        return False
    starts = (range(0, size, step) for size, step in zip(column.shape, shape, strict=True))
    offsets = list(itertools.product(*starts))
    if dataset.id.get_num_chunks() < len(offsets):  # those that were never written hold a fill value
        return False

    def place(offset: tuple[int, ...]) -> None:
        uncompressed, content = dataset.id.read_direct_chunk(offset)
        content = content if uncompressed else zlib.decompress(content)
        target = column[tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))]
        chunk = np.frombuffer(content, column.dtype).reshape(shape)
        target[...] = chunk[tuple(slice(size) for size in target.shape)]  # the last chunks hang over

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(place, offsets):
            pass
    return True


def _env(file: h5py.File) -> str | None:
    for name in _ENV_ATTRIBUTES:
        value = file.attrs.get(name)
        if isinstance(value, bytes):
            value = value.decode()
        if isinstance(value, str) and value:
            return value
    return None
