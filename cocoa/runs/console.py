"""What a run tells the user: on the screen, and in its log.txt."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from cocoa.errors import UserError
from cocoa.storage.files import check_regular, write_error


class Console:
    """Prints to the screen, beside progress bars, and appends to the run's log.txt with the time."""

    def __init__(self, folder: Path):
        """Open the log of the run in `folder`."""
        self._path = folder / "log.txt"

    def say(self, text: str) -> None:
        """Print and log a text."""
        _show(text)
        self.log(text)

    def debug(self, text: str) -> None:
        """Log a text for who looks for a cause; it is not printed."""
        self.log(f"DEBUG {text}")

    def log(self, text: str) -> None:
        """Log a text that has been printed."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        try:
            if self._path.exists():
                check_regular(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{stamp} {line}\n" for line in text.splitlines()))
        except OSError as error:
            raise write_error(self._path, error) from error


@contextlib.contextmanager
def failure_logged(console: Console | None) -> Iterator[None]:
    """Log why a run fails, for whom sees its folder alone; with a traceback if no user's mistake."""
    try:
        yield
    except Exception as error:
        known = isinstance(error, UserError)
        text = f"Error: {error}" if known else "".join(traceback.format_exception(error))
        if console:
            with contextlib.suppress(UserError):  # the first error is the one to report
                console.log(text)
        raise


def _show(text: str) -> None:
    """Print beside progress bars; a closed terminal or a missing character does not stop a training."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    with contextlib.suppress(OSError, ValueError):
        tqdm.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()


def begun(folder: Path) -> str:
    """Return when a run began, as text that sorts by time; empty if its log is gone."""
    path = folder / "log.txt"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        check_regular(path)
        with path.open(encoding="utf-8") as file:
            return file.readline(len("2026-01-31 12:00:00"))
    return ""
