"""HDF5's heaps of texts, checked before the library reads them: damaged ones keep it busy for ever."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER = struct.Struct("<8sQ")  # signature and version, bytes of the whole heap
_OBJECT = struct.Struct("<HH4xQ")  # index, references, bytes


def heaps_are_whole(path: Path) -> bool:
    """Return whether all global heaps in a file, which hold texts of variable length, can be walked through.

    The format is that of the HDF5 File Format Specification, III.E. Raises OSError if it cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(_SIGNATURE)
        while start >= 0:
            if not _is_whole(content, start):
                return False
            start = content.find(_SIGNATURE, start + len(_SIGNATURE))
    return True


def _is_whole(content: mmap.mmap, start: int) -> bool:
    """Return whether each object of the heap at `start` leads to the next, and the last to the end."""
    if start + _HEADER.size > len(content):
        return False
    _, size = _HEADER.unpack_from(content, start)
    end, place = start + size, start + _HEADER.size
    if size < _HEADER.size or end > len(content):
        return False
    while place + _OBJECT.size <= end:
        index, _, length = _OBJECT.unpack_from(content, place)
        # The object of index 0 is the free space, whose length includes its header.
        step = _OBJECT.size + -(-length // 8) * 8 if index else length
        if step < _OBJECT.size or place + step > end:
            return False
        place += step
    return True
