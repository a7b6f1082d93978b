"""HDF5's heaps of texts, checked before the library reads them: damaged ones keep it busy for ever."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER = struct.Struct("<8sQ")  # signature and version, bytes of the whole heap
_OBJECT = struct.Struct("<HH4xQ")  # index, references, bytes
_BLOCK = 1 << 24  # bytes that are searched at a time


def heaps_are_whole(path: Path) -> bool:
    """Return whether all global heaps in a file, which hold texts of variable length, can be walked through.

    The format is that of the HDF5 File Format Specification, III.E. Raises OSError if it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        return all(_is_whole(file, start, size) for start in list(_heaps(file)))


def _heaps(file: BinaryIO) -> Iterator[int]:
    """Yield where heaps begin."""
    first, rest = 0, b""
    while block := file.read(_BLOCK):
        content = rest + block
        place = content.find(_SIGNATURE)
        while place >= 0:
            yield first + place
            place = content.find(_SIGNATURE, place + len(_SIGNATURE))
        rest = content[-len(_SIGNATURE) + 1 :]
        first += len(content) - len(rest)


def _is_whole(file: BinaryIO, start: int, size: int) -> bool:
    """Return whether each object of the heap at `start` leads to the next, and the last to the end."""
    place = start + _HEADER.size
    if place > size:
        return False
    file.seek(start)
    end = start + _HEADER.unpack(file.read(_HEADER.size))[1]
    if not place <= end <= size:
        return False
    while place + _OBJECT.size <= end:
        file.seek(place)
        index, _, length = _OBJECT.unpack(file.read(_OBJECT.size))
        # The object of index 0 is the free space, whose length includes its header.
        step = _OBJECT.size + -(-length // 8) * 8 if index else length
        if step < _OBJECT.size or place + step > end:
            return False
        place += step
    return True
