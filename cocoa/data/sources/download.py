"""Downloads that go on where they were cut, and whose files appear only when they are whole."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from contextlib import suppress
from email.message import Message
from pathlib import Path

import h5py
from filelock import FileLock
from tqdm import tqdm

from cocoa.data.contents import check_regular
from cocoa.errors import DataError

_TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 20


def download(url: str, folder: Path, advice: str = "") -> Path:
    """Return the HDF5 file of `url` in `folder`, downloading it if it is not there.

    The file appears under its name only when it is whole: its length is what the server announced and it
    opens as HDF5. A download that was cut goes on where it stopped, in this call or the next; a second
    process waits for the first. Raises DataError saying where to put the file by hand; `advice` ends its
    message.
    """
    path = folder / url.rsplit("/", 1)[1]
    part, lock = path.with_name(path.name + ".part"), path.with_name(path.name + ".lock")
    for file in (path, part, lock):
        if file.exists():
            check_regular(file)
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if not path.exists():
                _fetch(url, part)
                _check_hdf5(part)
                os.replace(part, path)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"Downloading {url} failed: {error}. Run again to go on where the download stopped, or fetch the "
            f"file by other means and put it at {path}.{advice}"
        ) from error
    return path


class _IncompleteError(OSError):
    """The connection ended before the announced length."""


def _fetch(url: str, part: Path) -> None:
    """Download all of `url` into `part`, going on after a cut as long as each attempt gets further."""
    while True:
        size_before = _size(part)
        try:
            return _fetch_once(url, part)
        except (_IncompleteError, http.client.IncompleteRead, ConnectionError):
            if _size(part) <= size_before:
                raise


def _fetch_once(url: str, part: Path) -> None:
    """Ask for what `part` lacks of `url` and append it; start over where the server does not do ranges."""
    start = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if _total(error.headers) == start:
            return
        part.unlink()  # longer than the file, so not a beginning of it
        return _fetch_once(url, part)
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise OSError(f"the server sent another range than the bytes from {start} on")
        total = _total(response.headers)
        _append(response, part, start, total)
    if total is not None and _size(part) != total:
        raise _IncompleteError(f"the connection ended after {_size(part)} of {total} bytes")


def _append(response: http.client.HTTPResponse, part: Path, start: int, total: int | None) -> None:
    """Write the body of `response` to `part` from byte `start` on, with a progress bar."""
    bar = tqdm(desc=part.stem, initial=start, total=total, unit="B", unit_scale=True, unit_divisor=1024)
    with bar, part.open("ab") as file:
        file.truncate(start)
        while block := response.read(_BLOCK):
            file.write(block)
            bar.update(len(block))


def _total(headers: Message) -> int | None:
    """Return the length of the whole file that a response announces, if it does."""
    content_range = headers.get("Content-Range")
    length = content_range.rpartition("/")[2] if content_range else headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _check_hdf5(part: Path) -> None:
    """Remove `part` and raise OSError if it is not a whole HDF5 file."""
    try:
        h5py.File(part, "r").close()
    except OSError as error:
        part.unlink()
        raise OSError(f"what was sent is not a whole HDF5 file ({error})") from error
