"""Standard streams that never raise: a closed pipe or a full disk does not stop a training."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any, TextIO

from cocoa.errors import RunError

_GONE = (errno.EPIPE, errno.EIO)
"""What writing to a pipe or terminal without a reader raises."""


class LossyStream(io.RawIOBase):
    """A raw stream that drops what cannot be written, and stores the error.

    It stands behind a text stream without a buffer in between: signal handlers print, too, and io's buffers
    cannot be entered twice.
    """

    def __init__(self, raw: Any, name: str):
        """`raw` is what is written to; `name` is that of the text stream in front of it."""
        self.name = name
        self.error: OSError | None = None
        """The last failure, apart from that of a reader who is gone."""
        self._raw = raw

    def write(self, content: Any) -> int:
        """Write all of `content`, or drop it."""
        left = memoryview(content)
        try:
            while left and (written := self._raw.write(left)):
                left = left[written:]
        except OSError as error:
            if error.errno not in _GONE:
                self.error = error
        return len(content)

    def writable(self) -> bool:
        """Return that this can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._raw.fileno()

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return self._raw.isatty()


def protect_streams() -> None:
    """Replace the standard streams so that printing never raises.

    Characters that their encoding lacks are replaced, a pipe or terminal whose reader is gone takes all, as
    does one that was closed when the program started. Does nothing to streams that are not the process's own,
    as in a notebook.
    """
    _open_closed_descriptors()
    sys.stdin = sys.stdin or _null()
    if sys.stdout is sys.__stdout__:
        sys.stdout = _protected(sys.stdout, "<stdout>", "replace")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _protected(sys.stderr, "<stderr>", "backslashreplace")


def printing_error() -> OSError | None:
    """Return the error by which printed text was lost, such as a full disk; None if nothing was lost."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    raw = getattr(sys.stdout, "buffer", None)
    return raw.error if isinstance(raw, LossyStream) else None


def print_result(text: str) -> None:
    """Print what a command was asked for. Raises RunError if it is lost, as on a full disk."""
    print(text)
    if error := printing_error():
        raise RunError(f"The output cannot be written ({error.strerror}).")


def _open_closed_descriptors() -> None:
    """Open the null device in place of standard streams that are closed.

    Files opened later would take their numbers, and then get what libraries print.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest number that is free


def _protected(stream: Any, name: str, errors: str) -> TextIO:
    if stream is None:  # closed when Python started
        return _null()
    with contextlib.suppress(OSError, ValueError):
        stream.flush()  # what was printed before comes first
    buffer = stream.buffer
    raw = LossyStream(getattr(buffer, "raw", buffer), name)
    at_once = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(raw, stream.encoding, errors, line_buffering=at_once)


def _null() -> TextIO:
    return open(os.devnull, "r+")
