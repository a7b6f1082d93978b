"""NumPy's .npz archives, read in blocks and without unpickling anything."""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from cocoa.data.contents import REMEDY, check_regular, other_format
from cocoa.data.validation import listed
from cocoa.errors import DataError, shown

BLOCK = 1 << 24
"""Bytes of a member that are unpacked at a time."""
_LONGEST_HEADER = 1 << 14  # bytes; those that NumPy writes have 118
_HIGHEST_RATIO = 1032  # of what deflate unpacks to
_LARGEST_ITEM = 16  # bytes; long double
_ENCRYPTED = 1  # bit of a member's flags
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Array:
    """What the header of an array in an archive declares."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    """Whether the first axis changes fastest."""

    @property
    def count(self) -> int:
        """The number of values."""
        return math.prod(self.shape)


class Archive:
    """An .npz file that is open; a context manager. Reads arrays of numbers or booleans alone.

    Headers are checked against the sizes of the archive before anything is unpacked, so that no more memory
    is taken than for what the file can hold.
    """

    def __init__(self, path: Path):
        """Open `path`. Raises DataError if it is no regular file, or not an archive."""
        self.path = path
        check_regular(path)
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from error
        try:
            self.sha256 = hashlib.file_digest(self._file, "sha256").hexdigest()
            """Of the file's bytes."""
            self._size = self._file.tell()
            self._members = self._listed()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        """Return the archive."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    @property
    def keys(self) -> list[str]:
        """The names of the arrays."""
        return list(self._members)

    def array(self, key: str) -> Array:
        """Return the header of an array. Raises DataError if it is missing, damaged or not of numbers."""
        info = self._member(key)
        try:
            with self._zip.open(info) as member:
                array = _header(member)
                declared = info.file_size - member.tell()
        except Exception as error:  # a damaged archive raises nearly anything
            raise self._damaged(key, error) from error
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > _LARGEST_ITEM:
            kind = "Python objects, which are never unpickled" if array.dtype.hasobject else array.dtype
            raise DataError(f"{self.path}: `{key}` holds {shown(kind)}. Store it as an array of numbers.")
        if array.count == 0:
            raise DataError(f"{self.path}: `{key}` has no values. Record at least one transition.")
        if array.count * array.dtype.itemsize != declared:
            declares = f"{shown(array.shape)} of {array.dtype}"
            raise self._damaged(key, f"its header declares {declares}, but it has {declared:,} bytes")
        return array

    def blocks(self, key: str, rows: int | None = None) -> Iterator[np.ndarray]:
        """Yield the rows of an array (N, ...), some at a time: `rows`, or as many as take little memory.

        Raises DataError if it is damaged, has no axis, or is stored in Fortran's order.
        """
        array = self.array(key)
        if not array.shape or (array.fortran and len(array.shape) > 1):
            raise DataError(
                f"{self.path}: `{key}` is not stored row by row (shape {array.shape}). Save it with np.savez "
                "from np.ascontiguousarray."
            )
        length, *inner = list(array.shape)
        width = math.prod(inner) * array.dtype.itemsize
        step = rows or max(1, BLOCK // max(1, width))
        try:
            with self._zip.open(self._member(key)) as member:
                _header(member)
                for start in range(0, length, step):
                    count = min(step, length - start)
                    content = np.frombuffer(_exactly(member, count * width), np.uint8)
                    if array.dtype == bool and content.max() > 1:
                        raise ValueError("it holds booleans that are neither true nor false")
                    yield content.view(array.dtype).reshape(count, *inner)
                if member.read(1):  # at its end the checksum is verified
                    raise ValueError("it is longer than declared")
        except Exception as error:  # a damaged archive raises nearly anything
            raise self._damaged(key, error) from error

    def read(self, key: str, dtype: type | np.dtype | None = None) -> np.ndarray:
        """Return an array, converted to `dtype` block by block; what overflows becomes infinite."""
        array = self.array(key)
        column = np.empty(array.shape, array.dtype if dtype is None else dtype)
        start = 0
        with np.errstate(over="ignore"):
            for block in self.blocks(key):
                column[start : start + len(block)] = block
                start += len(block)
        return column

    def _listed(self) -> dict[str, zipfile.ZipInfo]:
        """Return the archive's members by key. Raises DataError if they are not those of an .npz file."""
        if self._size == 0:
            raise DataError(f"{self.path} is empty (0 bytes). {REMEDY}")
        if not zipfile.is_zipfile(self._file):
            head = self._file.seek(0) or self._file.read(4)
            what = f"It is cut short. {REMEDY}" if head == b"PK\x03\x04" else other_format(self.path)
            raise DataError(f"{self.path} is not a whole .npz file. {what}")
        try:
            self._zip = zipfile.ZipFile(self._file)
        except Exception as error:  # a damaged archive raises nearly anything
            raise DataError(f"{self.path} is a damaged .npz file: {shown(error, 300)}. {REMEDY}") from error
        members: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            key = info.filename.removesuffix(".npy")
            if key in members:
                raise self._damaged(key, "it is there twice")
            members[key] = info
        return members

    def _member(self, key: str) -> zipfile.ZipInfo:
        """Return what the archive says of an array, having checked that it can be true."""
        if key not in self._members:
            found = listed(self._members) or "nothing"
            raise DataError(f"{self.path}: key `{key}` is missing (found: {found}).")
        info = self._members[key]
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
            raise DataError(
                f"{self.path}: `{key}` is encrypted or compressed in another way than np.savez_compressed "
                "does. Save it again with that."
            )
        limit = info.compress_size * (1 if info.compress_type == zipfile.ZIP_STORED else _HIGHEST_RATIO)
        if info.compress_size > self._size or info.file_size > limit + BLOCK // 256:
            raise self._damaged(key, f"it cannot unpack to the {info.file_size:,} bytes that it declares")
        return info

    def _damaged(self, key: str, why: object) -> DataError:
        return DataError(f"{self.path}: `{shown(key)}` is damaged: {shown(why, 300)}. {REMEDY}")


def check_archive(path: Path) -> None:
    """Raise OSError if a file is not a whole .npz file."""
    if not zipfile.is_zipfile(path):
        raise OSError("it is no .npz file, or cut short")


class _Short:
    """A member whose header may be read, and which refuses to read a longer one than NumPy writes."""

    def __init__(self, member: IO[bytes]):
        self._member = member

    def read(self, size: int) -> bytes:
        """Read `size` bytes."""
        if size > _LONGEST_HEADER:
            raise ValueError(f"its header declares a length of {size:,} bytes")
        return self._member.read(size)


def _header(member: IO[bytes]) -> Array:
    """Read the header of an array. Raises ValueError if it is none."""
    short = _Short(member)
    version = np.lib.format.read_magic(short)  # type: ignore[arg-type]
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"its format is {version[0]}.{version[1]}, which is that of structured arrays")
    shape, fortran, dtype = readers[version](short, max_header_size=_LONGEST_HEADER)  # type: ignore[arg-type]
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"its header declares the shape {shape}")
    return Array(shape, dtype, fortran)


def _exactly(member: IO[bytes], size: int) -> bytearray:
    """Return the next `size` bytes. Raises EOFError if there are fewer."""
    content, start = bytearray(size), 0
    view = memoryview(content)
    while start < size:
        count = member.readinto(view[start:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError(f"it ends {size - start:,} bytes early")
        start += count
    return content
