"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from cocoa.errors import RunError


def atomic_write(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader, now or after a crash, sees the old file or the new one.

    Parent folders are made. Raises RunError if the disk is full or refuses.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> RunError:
    """Return what to tell a user of whom `path` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"{path} cannot be written: the disk is full. Make room and resume; what was saved before is "
            "whole."
        )
    return RunError(f"{path} cannot be written ({error.strerror}). Choose a folder that you may write to.")


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
