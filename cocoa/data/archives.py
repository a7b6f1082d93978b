"""NumPy's .npz archives with D4RL's keys: each array read once and straight into its final type."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cocoa.data.flags import may_be_flags, merge_flags, unread_ends
from cocoa.data.memory import check_memory, memory_of
from cocoa.data.npz import BLOCK, Archive
from cocoa.data.validation import FLAGS, VECTORS, check_layout, listed, warn_of_integers
from cocoa.errors import DataError


def read(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Return an archive's columns by key, and the SHA-256 of its bytes.

    Keys, shapes and types are those of `cocoa.data.hdf5.read`. Nothing is unpickled. Raises DataError if the
    file cannot be read, its layout is wrong, or it needs more memory than there is.
    """
    with Archive(path) as archive:
        origin, keys = str(path), archive.keys
        stored = {key: archive.array(key) for key in keys if key in (*FLAGS, *VECTORS, "rewards")}
        check_layout(stored, origin, present=listed(keys) or "nothing")
        check_memory(memory_of(stored, BLOCK), origin)
        columns = {key: archive.read(key, None if key in FLAGS else np.float32) for key in stored}
        warn_of_integers(columns["actions"], stored["actions"].dtype, origin)
        columns = merge_flags(columns, origin)
        unread_ends(keys, columns, origin, lambda key, rows: _flag(archive, key, rows))
        return columns, archive.sha256


def _flag(archive: Archive, key: str, rows: int) -> np.ndarray | None:
    """Return a column of flags that is not needed; None if it is none, or damaged."""
    try:
        array = archive.array(key)
        return archive.read(key) if may_be_flags(key, array.shape, array.dtype, rows) else None
    except DataError:
        return None
