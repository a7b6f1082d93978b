"""D4RL-format HDF5 files: flat arrays by key, each read once and straight into its final type."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from cocoa.data.contents import (
    REMEDY,
    check_regular,
    explain,
    keys_of,
    open_array,
    other_format,
    other_layout,
)
from cocoa.data.flags import merge_flags, unread_ends
from cocoa.data.memory import check_memory
from cocoa.data.validation import FLAGS, VECTORS, check_layout, listed, warn_of_integers
from cocoa.errors import DataError, shown

_ENV_ATTRIBUTES = ("env_id", "env", "env_name")
_ATTRIBUTE = 4096  # bytes; no environment has a longer id
_SLICE = 1 << 26  # bytes read at a time, and of chunks that are decompressed at a time
_LARGE_CHUNK = 1 << 28  # bytes
_MANY_CHUNKS = 100_000
_PER_ROW = 32  # bytes of work: episodes, ends, returns


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
            return _columns(file, str(path)), _env(file), digest
    except DataError:
        raise
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        raise DataError(explain(error, path)) from error


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, after checking that it can be read and says that it is HDF5."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            empty = file.tell() == 0
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the path of a readable HDF5 file."
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
        _check_storage(dataset, origin, key)
    check_memory(_needed(stored), origin)
    for key, dataset in stored.items():
        if key in VECTORS:
            _check_written(dataset, origin, key)
    columns = {key: _read_column(dataset, origin, key) for key, dataset in stored.items()}
    warn_of_integers(columns["actions"], stored["actions"].dtype, origin)
    columns = merge_flags(columns, origin)
    unread_ends(file, keys, columns, origin)
    return columns


def _check_storage(dataset: h5py.Dataset, origin: str, key: str) -> None:
    """Check what a dataset's header says of its storage. Raises DataError."""
    if dataset.chunks is None:
        return
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if size > _LARGE_CHUNK and size > 4 * dataset.nbytes:
        raise DataError(
            f"{origin}: `{key}` has chunks of {size / 1e9:.1f} GB for {dataset.nbytes / 1e9:.3f} GB of "
            "data. Save it again with smaller chunks, for example with h5repack."
        )
    filters = dataset.id.get_create_plist()
    names = [filters.get_filter(index)[0] for index in range(filters.get_nfilters())]
    if h5py.h5z.FILTER_FLETCHER32 in names:
        _check_checksums_stored(dataset, 1 << names.index(h5py.h5z.FILTER_FLETCHER32), origin, key)


def _check_written(dataset: h5py.Dataset, origin: str, key: str) -> None:
    """Check that all rows were stored: what was not would be read as zeros. Raises DataError."""
    if dataset.id.get_storage_size() == 0 or _chunks(dataset) > _written(dataset):
        raise DataError(
            f"{origin}: `{key}` declares {dataset.shape[0]:,} rows, and not all were ever written. Record "
            "them again, or cut all keys to the rows that were recorded."
        )


def _chunks(dataset: h5py.Dataset) -> int:
    """Return how many chunks the whole of a dataset has; 0 if it is stored in one piece."""
    if dataset.chunks is None:
        return 0
    return math.prod(-(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True))


def _written(dataset: h5py.Dataset) -> int:
    return dataset.id.get_num_chunks() if dataset.chunks else 0


def _check_checksums_stored(dataset: h5py.Dataset, bit: int, origin: str, key: str) -> None:
    """Check that each chunk has its checksum: HDF5 verifies none in a chunk that is marked as unfiltered."""
    unchecked: list[tuple[int, ...]] = []

    def visit(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.filter_mask & bit:
            unchecked.append(chunk.chunk_offset)

    dataset.id.chunk_iter(visit)
    if unchecked:
        raise DataError(
            f"{origin}: `{key}` has checksums, but not in the chunk at row {unchecked[0][0]}: the file is "
            f"damaged. {REMEDY}"
        )


def _needed(stored: dict[str, h5py.Dataset]) -> int:
    """Return the bytes that reading columns and making transitions of them takes at the same time."""
    rows = len(stored["observations"])
    columns = sum(math.prod(d.shape) * (d.dtype.itemsize if key in FLAGS else 4) for key, d in stored.items())
    observations = 4 * math.prod(stored["observations"].shape)
    work = observations // 4 if "next_observations" in stored else columns + observations
    chunk = max(math.prod(d.chunks) * d.dtype.itemsize if d.chunks else 0 for d in stored.values())
    return columns + work + _PER_ROW * rows + 2 * max(chunk, min(_SLICE, columns))


def _read_column(dataset: h5py.Dataset, origin: str, key: str) -> np.ndarray:
    column = np.empty(dataset.shape, dataset.dtype if key in FLAGS else np.float32)
    try:
        if dataset.dtype == column.dtype:
            with contextlib.suppress(zlib.error, ValueError):  # HDF5 reports what is wrong, if anything is
                if _decompress(dataset, column):
                    return column
        rows = max(1, _SLICE // max(1, column[:1].nbytes))
        if dataset.chunks:
            rows = max(1, rows // dataset.chunks[0]) * dataset.chunks[0]
        for start in range(0, len(column), rows):
            part = np.s_[start : min(start + rows, len(column))]
            dataset.read_direct(column, part, part)
    except DataError:
        raise
    except Exception as error:
        reason = shown(error, 300)
        raise DataError(
            f"{origin}: `{key}` cannot be read, the file is damaged: {reason}. {REMEDY}"
        ) from error
    return column


def _decompress(dataset: h5py.Dataset, column: np.ndarray) -> bool:
    """Read a dataset into `column` if it is chunks of gzip, and return whether it was.

    Decompression takes longest, and HDF5 does it on one core; this uses all.
    """
    filters, shape = dataset.id.get_create_plist(), dataset.chunks
    gzip = filters.get_nfilters() == 1 and filters.get_filter(0)[0] == h5py.h5z.FILTER_DEFLATE
    if not gzip or shape is None:
        return False
    # Chunks that were never written hold a fill value.
    if (count := _chunks(dataset)) > _MANY_CHUNKS or _written(dataset) < count:
        return False
    size = math.prod(shape) * column.dtype.itemsize

    def place(offset: tuple[int, ...]) -> None:
        uncompressed, content = dataset.id.read_direct_chunk(offset)
        content = content if uncompressed else _unpacked(content, size)
        target = column[tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))]
        chunk = np.frombuffer(content, column.dtype).reshape(shape)
        target[...] = chunk[tuple(slice(size) for size in target.shape)]  # the last chunks hang over

    workers = max(1, min(os.cpu_count() or 1, _SLICE // size))
    starts = (range(0, size, step) for size, step in zip(column.shape, shape, strict=True))
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(place, itertools.product(*starts)):
            pass
    return True


def _unpacked(content: bytes, size: int) -> bytes:
    """Return the `size` bytes of a chunk, never making more of them. Raises DataError for another size."""
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(content, size + 1)
    if len(unpacked) == size and not unpacker.eof:
        unpacked += unpacker.decompress(unpacker.unconsumed_tail, 1)  # reads the checksum at the end
    if len(unpacked) > size:
        raise DataError(
            f"A chunk unpacks to more than the {size:,} bytes that the header declares: the file is damaged. "
            f"{REMEDY}"
        )
    if not unpacker.eof:
        raise zlib.error("the chunk ends early")
    return unpacked


def _env(file: h5py.File) -> str | None:
    for name in _ENV_ATTRIBUTES:
        attribute = file.attrs.get_id(name) if name in file.attrs else None
        if attribute is None or attribute.shape is None or math.prod(attribute.shape) > 1:
            continue
        if attribute.get_storage_size() > _ATTRIBUTE:
            continue
        value = file.attrs[name]
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, str) and value:
            return value
    return None
