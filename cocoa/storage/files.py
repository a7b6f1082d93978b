"""Files that are written completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cocoa.errors import ConfigError, RunError, shown


def atomic_write(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, also after a crash.

    Parent folders are made. Raises RunError if the disk is full or refuses.
    """
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise write_error(path, error) from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield where to write what appears as `path` at the end, or not at all if an error is raised.

    Parent folders are made. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder durably. Raises OSError."""
    os.rename(source, target)
    _sync_folder(target.parent)


def read_regular(path: Path, limit: int | None = None) -> bytes:
    """Return the content of the regular file `path`, which has at most `limit` bytes.

    Raises OSError if it cannot be read, is larger, or is not a regular file.
    """
    size = check_regular(path)
    if limit is not None and size > limit:
        raise OSError(errno.EFBIG, f"it has {size:,} bytes, and at most {limit:,} are read")
    return path.read_bytes()


def check_regular(path: Path) -> int:
    """Return the bytes of the regular file `path`, or of the one that it links to.

    Raises OSError if it is missing or not a regular file: reading a FIFO or a device may never end.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for name, test in _KINDS.items() if test(status.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file")
    return status.st_size


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_KINDS = {
    "a folder": stat.S_ISDIR,
    "a FIFO": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
}


def reason(error: Exception) -> str:
    """Return on one line why a file could not be read or written, without the errno and path of OSError."""
    return shown(getattr(error, "strerror", None) or error, 200)


def expanded(path: str | os.PathLike[str], field: str) -> Path:
    """Return a path with `~` replaced. Raises ConfigError, naming the field, if there is no home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # as for a container's user without an entry and without $HOME
        raise ConfigError(
            f"{field}={path} begins with ~, but there is no such home folder. Write the path in full, or set "
            "HOME."
        ) from error


def cache_folder(cache_dir: str | None) -> Path:
    """Return the folder of models and anchors: `cache_dir`, else $COCOA_CACHE, else ~/.cache/cocoa.

    It is made. Raises RunError if it cannot be.
    """
    named = cache_dir or os.environ.get("COCOA_CACHE")
    advice = "Name one that you may write to with cache_dir=, or with the environment variable COCOA_CACHE."
    try:
        folder = expanded(named, "cache_dir") if named else Path.home() / ".cache" / "cocoa"
        folder.mkdir(parents=True, exist_ok=True)
    except RuntimeError as error:
        raise RunError(
            f"There is no folder for models and anchors, as this user has no home folder. {advice}"
        ) from error
    except OSError as error:
        raise RunError(f"The cache folder {folder} cannot be made ({reason(error)}). {advice}") from error
    return folder


def write_error(path: Path, error: OSError) -> RunError:
    """Return the error for a `path` that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"{path} cannot be written: the disk is full. Make room and resume; what was saved before is "
            "whole."
        )
    return RunError(f"{path} cannot be written ({error.strerror}). Choose a folder that you may write to.")


def _sync_folder(folder: Path) -> None:
    """Make the renaming durable, where the system supports it."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
