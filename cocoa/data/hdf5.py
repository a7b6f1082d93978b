"""D4RL-format HDF5 files: flat arrays by key, each read once and straight into its final type."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import h5py
import numpy as np
from h5py import h5l  # type: ignore[attr-defined]

from cocoa.data.chunks import AT_ONCE, all_written, check_chunks, read_array
from cocoa.data.contents import (
    REMEDY,
    check_regular,
    explain,
    keys_of,
    open_array,
    other_format,
    other_layout,
)
from cocoa.data.flags import may_be_flags, merge_flags, unread_ends
from cocoa.data.heaps import heaps_are_whole
from cocoa.data.memory import check_memory, memory_of
from cocoa.data.validation import FLAGS, VECTORS, check_layout, listed, warn, warn_of_integers
from cocoa.errors import DataError

_ENV_ATTRIBUTES = ("env_id", "env", "env_name")
REFERENCES = "reference_returns"
"""The attribute with two returns: of random actions and of an expert, between which a file is scored."""
_ATTRIBUTE = 4096  # bytes; no environment has a longer id


def read(path: Path) -> tuple[dict[str, np.ndarray], str | None, str]:
    """Return a file's columns by key, the environment its attributes name, and the SHA-256 of its bytes.

    Columns have the shapes of the file and are float32, flags of any type, under D4RL's names; groups
    (`infos`, `metadata`) and unknown keys are ignored, with a warning where an unknown key seems to mark ends
    of episodes. Nothing outside of the file is opened. Raises DataError if the file cannot be read, its
    layout is wrong, or it needs more memory than there is.
    """
    check_regular(path)
    digest = _digest(path)
    try:
        with h5py.File(path, "r") as file:
            return _columns(file, str(path)), _env(file, path), digest
    except DataError:
        raise
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        raise DataError(explain(error, path)) from error


def reference_returns(path: Path) -> tuple[float, float] | None:
    """Return the returns that score 0 % and 100 %, from a file's attribute of this name, or None."""
    try:
        with h5py.File(path, "r") as file:
            attribute = file.attrs.get_id(REFERENCES) if REFERENCES in file.attrs else None
            if attribute is None or attribute.shape != (2,) or attribute.dtype.kind not in "fiu":
                return None
            low, high = np.asarray(file.attrs[REFERENCES], np.float64).tolist()
    except Exception:  # `read` says what is wrong with the file
        return None
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, after checking that it can be read and says that it is HDF5."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            empty = file.tell() == 0
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the path of a readable data file."
        ) from error
    if empty:
        raise DataError(f"{path} is empty (0 bytes). {REMEDY}")
    if not h5py.is_hdf5(path):
        raise DataError(f"{path} is not an HDF5 file. {other_format(path)}")
    return digest


def _columns(file: h5py.File, origin: str) -> dict[str, np.ndarray]:
    keys = keys_of(file)
    stored = {key: open_array(file, key, origin) for key in keys if key in FLAGS or key in VECTORS}
    if "rewards" in keys:
        stored["rewards"] = open_array(file, "rewards", origin)
    if "observations" not in stored and (layout := other_layout(keys)):
        raise DataError(f"{origin} is not in D4RL's format. {layout}")
    check_layout(stored, origin, present=listed(keys) or "nothing")
    for key, dataset in stored.items():
        check_chunks(dataset, origin, key)
    chunk = max(math.prod(d.chunks) * d.dtype.itemsize if d.chunks else 0 for d in stored.values())
    check_memory(memory_of(stored, max(chunk, AT_ONCE)), origin)
    for key, dataset in stored.items():
        if key in VECTORS:
            _check_written(dataset, origin, key)
    if "rewards" in stored and stored["rewards"].id.get_storage_size() == 0:
        fill = stored["rewards"].fillvalue
        warn(f"{origin}: `rewards` was made and never written: every reward is {fill:g}. Record them again.")
    columns = {
        key: read_array(dataset, dataset.dtype if key in FLAGS else np.dtype(np.float32), origin, key)
        for key, dataset in stored.items()
    }
    warn_of_integers(columns["actions"], stored["actions"].dtype, origin)
    columns = merge_flags(columns, origin)
    unread_ends(keys, columns, origin, lambda key, rows: _flag(file, key, rows, origin))
    return columns


def _check_written(dataset: h5py.Dataset, origin: str, key: str) -> None:
    """Check that all rows were stored: what was not would be read as zeros. Raises DataError."""
    if not all_written(dataset):
        raise DataError(
            f"{origin}: `{key}` declares {dataset.shape[0]:,} rows, and not all were ever written. Record "
            "them again, or cut all keys to the rows that were recorded."
        )


def _flag(file: h5py.File, key: str, rows: int, origin: str) -> np.ndarray | None:
    """Return a column of flags that is not needed; None if it is none, damaged, or no part of the file."""
    if file.id.links.get_info(key.encode("utf-8", "surrogateescape")).type != h5l.TYPE_HARD:
        return None
    try:
        dataset = open_array(file, key, origin)
        if not may_be_flags(key, dataset.shape, dataset.dtype, rows):
            return None
        if dataset.chunks and dataset.chunks[0] > 4 * rows + 1024:
            return None
        check_chunks(dataset, origin, key)
        return read_array(dataset, dataset.dtype, origin, key)
    except DataError:
        return None


def _env(file: h5py.File, path: Path) -> str | None:
    """Return the text in the first attribute that names an environment. Raises DataError if it is damaged."""
    for name in _ENV_ATTRIBUTES:
        attribute = file.attrs.get_id(name) if name in file.attrs else None
        if attribute is None or attribute.shape is None or math.prod(attribute.shape) > 1:
            continue
        kind = attribute.get_type()
        if not isinstance(kind, h5py.h5t.TypeStringID) or attribute.get_storage_size() > _ATTRIBUTE:
            continue
        if kind.is_variable_str() and not heaps_are_whole(path):
            raise DataError(f"{path}: the attribute `{name}` is damaged. {REMEDY}")
        value = file.attrs[name]
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, str) and value:
            return value
    return None
