"""Chunks of HDF5 datasets, decompressed here: on all cores, and never to more than their header declares."""

from __future__ import annotations

import itertools
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np

from cocoa.errors import DataError, shown

REMEDY = "If it was downloaded or copied, delete it and fetch it again."
AT_ONCE = 1 << 26
"""Bytes that are read, or decompressed, at a time."""
_GZIP, _SHUFFLE, _CHECKSUM = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
_UNDONE_HERE = {_GZIP, _SHUFFLE, _CHECKSUM}
_SUM, _MODULUS, _WORDS = np.dtype("<u4"), 65_535, 1 << 20
_UNSAFE = {h5py.h5z.FILTER_SCALEOFFSET: "scale-offset", h5py.h5z.FILTER_NBIT: "n-bit"}
"""Filters whose decoders read beyond damaged chunks, which ends the interpreter."""
_LARGE = 1 << 28  # bytes of a chunk
_BATCH = 1000  # chunks that wait for a core
_LONGER = 1 << 16  # bytes by which incompressible data may grow


def check_chunks(dataset: h5py.Dataset, origin: str, key: str) -> None:
    """Check how a dataset is stored, without decompressing anything. Raises DataError.

    Refused are chunks that are far larger than the data or than their header declares, filters that are not
    safe, and chunks that are marked to lack the checksum that all others have.
    """
    if dataset.chunks is None:
        return
    size = _chunk_bytes(dataset)
    if size > _LARGE and size > 4 * dataset.nbytes:
        raise DataError(
            f"{origin}: `{key}` has chunks of {size / 1e9:.1f} GB for {dataset.nbytes / 1e9:.3f} GB of "
            "data. Save it again with smaller chunks, for example with h5repack."
        )
    filters = _filters(dataset)
    if unsafe := [_UNSAFE[number] for number in filters if number in _UNSAFE]:
        raise DataError(
            f"{origin}: `{key}` is stored with HDF5's {unsafe[0]} filter, which is not safe to read from "
            "damaged files. Save it again with gzip, for example with h5repack."
        )
    if _GZIP in filters and not (set(filters) <= _UNDONE_HERE and _is_plain(dataset)):
        raise DataError(
            f"{origin}: `{key}` is stored with gzip and another filter, or as numbers of an unusual kind. "
            "Save it again as float32 with gzip alone."
        )
    checksum = 1 << filters.index(_CHECKSUM) if _CHECKSUM in filters else 0
    least = _SUM.itemsize + 1 if checksum else 1
    damaged: list[tuple[str, int]] = []

    def visit(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.filter_mask & checksum:
            damaged.append(("has checksums, but not in", chunk.chunk_offset[0]))
        elif not least <= chunk.size <= 2 * size + _LONGER:
            damaged.append((f"stores {chunk.size:,} bytes for {size:,} in", chunk.chunk_offset[0]))

    if filters:
        dataset.id.chunk_iter(visit)
    if damaged:
        what, row = damaged[0]
        raise DataError(f"{origin}: `{key}` {what} the chunk at row {row}: the file is damaged. {REMEDY}")


def all_written(dataset: h5py.Dataset) -> bool:
    """Return whether all rows of a dataset were stored: what was not is read as a fill value, such as 0."""
    if dataset.chunks is None:
        return dataset.id.get_storage_size() > 0
    steps = zip(dataset.shape, dataset.chunks, strict=True)
    return dataset.id.get_num_chunks() >= math.prod(-(-size // step) for size, step in steps)


def read_array(dataset: h5py.Dataset, dtype: np.dtype, origin: str, key: str) -> np.ndarray:
    """Return a dataset as an array of another type, read in parts. Raises DataError if it is damaged.

    `check_chunks` comes first. Common filters are undone here, on all cores: HDF5 does it on one, makes
    whatever a damaged chunk unpacks to, and reads beyond one that is too short.
    """
    array = np.empty(dataset.shape, dtype)
    if dataset.chunks and _filters(dataset) and set(_filters(dataset)) <= _UNDONE_HERE:
        _unpack_all(dataset, array, origin, key)
        return array
    rows = max(1, AT_ONCE // max(1, array[:1].nbytes))
    if dataset.chunks:
        rows = max(1, rows // dataset.chunks[0]) * dataset.chunks[0]
    try:
        for start in range(0, len(array), rows):
            part = np.s_[start : min(start + rows, len(array))]
            dataset.read_direct(array, part, part)
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        raise DataError(
            f"{origin}: `{key}` cannot be read, the file is damaged: {shown(error, 300)}. {REMEDY}"
        ) from error
    return array


def _unpack_all(dataset: h5py.Dataset, array: np.ndarray, origin: str, key: str) -> None:
    """Undo the filters of all chunks into `array`. Raises DataError."""
    filters = _filters(dataset)

    def unpack(offset: tuple[int, ...]) -> None:
        try:
            _unpack(dataset, filters, array, offset)
        except Exception as error:  # of zlib, NumPy or HDF5
            raise DataError(
                f"{origin}: `{key}` cannot be read, the file is damaged: the chunk at row {offset[0]}: "
                f"{shown(error, 300)}. {REMEDY}"
            ) from error

    if all_written(dataset):
        offsets = _grid(dataset)
    else:
        array[...] = dataset.fillvalue
        offsets = iter(_stored(dataset))
    with ThreadPoolExecutor(max(1, min(os.cpu_count() or 1, AT_ONCE // _chunk_bytes(dataset)))) as pool:
        while batch := list(itertools.islice(offsets, _BATCH)):
            for _ in pool.map(unpack, batch):
                pass


def _grid(dataset: h5py.Dataset) -> Iterator[tuple[int, ...]]:
    """Return where all chunks begin that a dataset has by its shape."""
    steps = zip(dataset.shape, dataset.chunks or (), strict=True)
    return itertools.product(*(range(0, size, step) for size, step in steps))


def _stored(dataset: h5py.Dataset) -> list[tuple[int, ...]]:
    """Return where the chunks begin that were written."""
    offsets: list[tuple[int, ...]] = []
    dataset.id.chunk_iter(lambda chunk: offsets.append(chunk.chunk_offset))
    return offsets


def _unpack(
    dataset: h5py.Dataset, filters: Sequence[int], array: np.ndarray, offset: tuple[int, ...]
) -> None:
    """Put the numbers of a chunk into `array`. Raises ValueError, zlib.error."""
    size, shape = _chunk_bytes(dataset), dataset.chunks or ()
    mask, content = dataset.id.read_direct_chunk(offset)
    for place, number in reversed(list(enumerate(filters))):
        if mask & 1 << place:
            continue
        if number == _GZIP:
            content = _unpacked(content, size + _SUM.itemsize)
        elif number == _CHECKSUM:
            content = _verified(content)
        else:
            content = _unshuffled(dataset, place, content)
    if len(content) != size:
        raise ValueError(f"it has {len(content):,} bytes instead of {size:,}")
    target = array[tuple(slice(first, first + n) for first, n in zip(offset, shape, strict=True))]
    chunk = np.frombuffer(content, dataset.dtype).reshape(shape)
    with np.errstate(over="ignore"):  # becomes inf, which validation reports with its row
        target[...] = chunk[tuple(slice(n) for n in target.shape)]  # the last chunks hang over


def _filters(dataset: h5py.Dataset) -> list[int]:
    """Return the numbers of a dataset's filters, in the order in which they were applied."""
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]


def _chunk_bytes(dataset: h5py.Dataset) -> int:
    return math.prod(dataset.chunks or ()) * dataset.dtype.itemsize


def _is_plain(dataset: h5py.Dataset) -> bool:
    """Return whether numbers are stored just as NumPy's type says, not as one of 24 bits, say."""
    return dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype)


def _unpacked(content: bytes, limit: int) -> bytes:
    """Return what a chunk unpacks to, never making more than `limit` bytes. Raises ValueError, zlib.error."""
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(content, limit + 1)
    if not unpacker.eof and len(unpacked) <= limit:
        unpacked += unpacker.decompress(unpacker.unconsumed_tail, 1)  # reads the checksum at the end
    if len(unpacked) > limit:
        raise ValueError("it unpacks to more than the header declares")
    if not unpacker.eof:
        raise ValueError("it ends early")
    return unpacked


def _unshuffled(dataset: h5py.Dataset, place: int, content: bytes) -> bytes:
    """Return the bytes of numbers put together again that HDF5's filter at `place` has sorted."""
    width = dataset.id.get_create_plist().get_filter(place)[2][0]
    count = len(content) // width if width else 0
    if width < 2 or count < 2:
        return content
    planes = np.frombuffer(content, np.uint8, count * width).reshape(width, count)
    return planes.T.tobytes() + content[count * width :]


def _verified(content: bytes) -> bytes:
    """Return a chunk without its checksum of Fletcher, after comparing that. Raises ValueError."""
    if len(content) <= _SUM.itemsize:
        raise ValueError("it ends early")
    content, stored = content[: -_SUM.itemsize], int(np.frombuffer(content[-_SUM.itemsize :], _SUM)[0])
    words = np.frombuffer(content + bytes(len(content) % 2), ">u2")
    low = high = 0
    for start in range(0, len(words), _WORDS):
        part = words[start : start + _WORDS].astype(np.uint64)
        weights = (len(words) - start - np.arange(len(part), dtype=np.uint64)) % np.uint64(_MODULUS)
        low += int(part.sum())
        high += int((part * weights).sum())
    if (low - (stored & 0xFFFF)) % _MODULUS or (high - (stored >> 16)) % _MODULUS:
        raise ValueError("its checksum is wrong")
    return content
