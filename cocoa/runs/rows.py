"""CSV files that a run appends to, and that are cut to where its checkpoint left them."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cocoa.errors import RunError
from cocoa.storage.files import read_regular, reason, write_error


class RowsFile:
    """Appends rows of text behind a header; a subclass says what a row holds.

    Nothing in it depends on the clock, so the file of a resumed run equals that of an uninterrupted one.
    """

    header: ClassVar[str]
    """The first line, with its line break."""

    def __init__(self, path: Path, position: int = 0, crc32: int | None = None):
        """Open `path` and drop everything behind `position` bytes; 0 starts again.

        Raises RunError if the file is shorter than that, does not have the checksum `crc32` up to there, or
        cannot be written.
        """
        self.path = path
        try:
            kept = read_regular(path)[:position] if os.path.lexists(path) else b""
            self.crc32 = zlib.crc32(kept)
            """Checksum of all rows."""
            if len(kept) < position:
                raise _changed(
                    path, "is shorter than when its run was saved" if kept else "is missing or empty"
                )
            if crc32 not in (None, self.crc32):
                raise _changed(path, "is not as it was when its run was saved")
            path.touch()
            os.truncate(path, position)
            self._file = path.open("a", encoding="utf-8", newline="")
        except OSError as error:
            raise write_error(path, error) from error
        if position == 0:
            self.append(self.header)

    def append(self, text: str) -> None:
        """Write rows, each with its line break."""
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise write_error(self.path, error) from error
        self.crc32 = zlib.crc32(text.encode(), self.crc32)

    def position(self) -> int:
        """Write everything to the disk and return the size of the file in bytes."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error
        return self.path.stat().st_size

    def close(self) -> None:
        """Close the file. Raises RunError if the last rows do not fit on the disk."""
        try:
            self._file.close()
        except OSError as error:
            raise write_error(self.path, error) from error


def lines_of(path: Path, header: str) -> list[str]:
    """Return the rows of a file below its header. Raises RunError if it is damaged or missing.

    A last line without a line break is left out: it is still being written, or the run was killed.
    """
    try:
        lines = read_regular(path).decode().split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read ({reason(error)}).") from error
    if not lines or lines[0] + "\n" != header:
        raise RunError(f"{path} is damaged in line 1, which must be {header.strip()!r}.")
    return lines[1:]


def text_of(number: Any) -> str:
    """Return the shortest decimal number that reads back as the same float."""
    return str(np.asarray(number)[()])


def _changed(path: Path, change: str) -> RunError:
    """Return the error for a file of rows that has changed."""
    return RunError(
        f"{path} {change}, and cannot be made again. Put it back, or start a new run; the policy that was "
        "saved can be loaded all the same, by cocoa.load_policy."
    )
