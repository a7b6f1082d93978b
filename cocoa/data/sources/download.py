"""Downloads from several hosts, whose files appear only when they are whole."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
from filelock import FileLock, Timeout
from tqdm import tqdm

from cocoa.data.sources.hosts import PATIENCE, HostError, Timeouts
from cocoa.data.sources.transfer import discard, size_of, transfer
from cocoa.errors import DataError, RunError
from cocoa.storage.files import atomic_write, check_regular, file_sha256, read_regular, reason

_LONGEST_ORIGIN = 1 << 16


@dataclass(frozen=True)
class Published:
    """What somebody has published of a file."""

    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class Origin:
    """Where a downloaded file is from, and what came."""

    url: str
    size: int
    """Bytes."""
    sha256: str


def download(
    urls: Sequence[str],
    path: Path,
    check: Callable[[Path], None],
    published: Published | None = None,
    advice: str = "",
    timeouts: Timeouts = PATIENCE,
) -> Path:
    """Return `path`, downloading it from the first of `urls` that delivers, if it is not there.

    The file appears under its name only when it is whole: as long as its host announced, with the
    `published` size and checksum, if there are any, and `check` does not raise OSError. A download that was
    cut continues where it stopped, in this call or the next, with bytes of the same URL alone; a second
    process waits for the first. `origin(path)` is stored beside it. Raises DataError, which names every host
    with its reason and says where to put the file by hand; `advice` ends its message.
    """
    lock = path.parent / ".locks" / f"{path.name}.lock"
    by_hand = f"or fetch the file by other means and put it at {path}.{advice}"
    failures: dict[str, str] = {}
    try:
        if _present(path):
            return path
        lock.parent.mkdir(parents=True, exist_ok=True)
        _present(lock)
        with _locked(lock):
            if _present(path) or _from_any(urls, path, check, published, timeouts, failures):
                return path
    except (OSError, RunError) as error:
        text = reason(error) if isinstance(error, OSError) else str(error)
        raise DataError(f"{path} cannot be downloaded: {text}. Make that possible, {by_hand}") from error
    hosts = "; ".join(f"{url}: {why}" for url, why in failures.items())
    raise DataError(f"No host delivers {path.name} ({hosts}). Run again to continue, {by_hand}")


@contextlib.contextmanager
def _locked(lock: Path) -> Iterator[None]:
    """Hold a lock, and tell the user if another process has it.

    Its file stays, since one that is removed could be locked by two processes that wait for it.
    """
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        tqdm.write(f"Waiting for another process, which downloads {lock.stem}", file=sys.stderr)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def origin(path: Path) -> Origin | None:
    """Return where a file was downloaded from; None if that is not known of the file that is there."""
    try:
        stored = Origin(**json.loads(read_regular(_origin_file(path), _LONGEST_ORIGIN)))
    except (OSError, ValueError, TypeError):
        return None
    return stored if stored.size == size_of(path) else None


def check_hdf5(path: Path) -> None:
    """Raise OSError if a file is not a whole HDF5 file."""
    h5py.File(path, "r").close()


def _origin_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.origin.json")


def _part(path: Path, url: str) -> Path:
    """Return where the beginning of a URL is stored: the bytes of two hosts are never mixed."""
    return path.with_name(f"{path.name}.{zlib.crc32(url.encode()):08x}.part")


def _present(file: Path) -> bool:
    """Return whether there is such a file. Raises OSError if it is not a regular one."""
    return file.exists() and check_regular(file) >= 0


def _from_any(
    urls: Sequence[str],
    path: Path,
    check: Callable[[Path], None],
    published: Published | None,
    timeouts: Timeouts,
    failures: dict[str, str],
) -> bool:
    """Return whether some URL delivered the file; `failures` gets the reasons of those that did not."""
    for number, url in enumerate(urls, 1):
        try:
            sha256 = _verified(url, _part(path, url), check, published, timeouts)
        except HostError as error:
            failures[url] = str(error)
            if number < len(urls):
                tqdm.write(f"{url}: {error}. Trying {urls[number]}", file=sys.stderr)
            continue
        delivered = Origin(url, size_of(_part(path, url)), sha256)
        atomic_write(_origin_file(path), json.dumps(asdict(delivered)).encode())
        os.replace(_part(path, url), path)
        for other in urls:
            discard(_part(path, other))
        return True
    return False


def _verified(
    url: str, part: Path, check: Callable[[Path], None], published: Published | None, timeouts: Timeouts
) -> str:
    """Download a URL to `part` and return its SHA-256. Raises HostError if that is not the file.

    What is wrong at the end of a resumed download is downloaded once more from the start.
    """
    resumed = _present(part)
    transfer(url, part, published.size if published else None, timeouts)
    sha256 = file_sha256(part)
    try:
        if published and published.sha256 != sha256:
            raise HostError(f"its file has the SHA-256 {sha256}, and not the published {published.sha256}")
        try:
            check(part)
        except OSError as error:
            raise HostError(f"what it sends is not a whole file ({reason(error)})") from error
    except HostError:
        discard(part)
        if resumed:
            return _verified(url, part, check, published, timeouts)
        raise
    return sha256
