"""One file from one host over HTTP, resumed where it stopped, and given up where the host is of no use."""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
from contextlib import suppress
from email.message import Message
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cocoa.data.sources.hosts import HostError, Timeouts, error_text, open_url
from cocoa.errors import shown

_BLOCK = 1 << 20
_LEAST_PROGRESS = 1 << 14
"""Bytes that an attempt must bring for the same host to be asked again."""
_LEAST_FREE = 1 << 30
"""Bytes that a file of unknown length must leave on the disk."""
_MOST_DIGITS = 18


class _CutError(HostError):
    """The connection ended or fell silent before the file did; asking again may bring more."""


def transfer(url: str, part: Path, size: int | None, timeouts: Timeouts) -> None:
    """Append to the file `part` what it lacks of `url`, asking again after a cut that brought something.

    `part` holds nothing but bytes of this URL. It is written from the start where the host has another
    version of the file by now, or sends no ranges. `size` is that of the whole file, if it is known. Raises
    HostError, keeping what came, and OSError if `part` cannot be written.
    """
    while True:
        before = size_of(part)
        try:
            return _attempt(url, part, size, timeouts)
        except _CutError:
            if size_of(part) < before + _LEAST_PROGRESS:
                raise


def size_of(path: Path) -> int:
    """Return the bytes of a file; 0 if there is none."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def discard(part: Path) -> None:
    """Remove a partial download, and what is stored with it."""
    for file in (part, _version_file(part)):
        file.unlink(missing_ok=True)


def _attempt(url: str, part: Path, size: int | None, timeouts: Timeouts) -> None:
    if not _stored_version(part).isprintable():  # damaged: no host has such a version
        discard(part)
    start = size_of(part)
    try:
        response = open_url(url, _headers(part, start), timeouts)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            if _total(error.headers) == start:
                return None
            return _from_the_start(url, part, size, timeouts)
        raise HostError(f"it answers {error.code} {shown(error.reason)}") from error
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            if start:
                return _from_the_start(url, part, size, timeouts)
            raise HostError("it sends another range of the file than the one asked for")
        total = _checked_total(response.headers, size)
        free = shutil.disk_usage(part.parent).free
        if total and total - start > free:
            raise HostError(f"its file has {total:,} bytes, and the disk has {free:,} left")
        if start == 0:
            _version_file(part).write_text(_version(response.headers), "latin-1")
        _append(response, part, start, size or total, timeouts)
    if total is not None and size_of(part) != total:
        raise _CutError(f"the connection ended after {size_of(part):,} of {total:,} bytes")
    return None


def _from_the_start(url: str, part: Path, size: int | None, timeouts: Timeouts) -> None:
    discard(part)
    return _attempt(url, part, size, timeouts)


def _headers(part: Path, start: int) -> dict[str, str]:
    """Return the headers that ask for the bytes from `start` on of the version that `part` is of."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "cocoa-rl"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version := _stored_version(part):
            headers["If-Range"] = version
    return headers


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _stored_version(part: Path) -> str:
    """Return the version that `part` is of; empty if it is unknown."""
    with suppress(FileNotFoundError):
        return _version_file(part).read_text("latin-1")
    return ""


def _version(headers: Message) -> str:
    """Return what tells versions of a file on a host apart; empty if the host does not say."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")  # weak tags are for no ranges


def _checked_total(headers: Message, size: int | None) -> int | None:
    """Return the announced length of the whole file, if there is one. Raises HostError for another file."""
    kind, encoding = headers.get_content_type(), headers.get("Content-Encoding", "identity")
    if kind in ("text/html", "application/xhtml+xml"):
        raise HostError("it sends a web page in place of the file")
    if encoding != "identity":
        raise HostError(f"it sends the file compressed ({shown(encoding)})")
    total = _total(headers)
    if None not in (size, total) and total != size:
        raise HostError(f"its file has {total:,} bytes; the published one has {size:,}")
    return total


def _total(headers: Message) -> int | None:
    """Return the length of the whole file that a response announces, if it does."""
    content_range = headers.get("Content-Range")
    length = content_range.rpartition("/")[2] if content_range else headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and len(length) <= _MOST_DIGITS else None


def _append(response: Any, part: Path, start: int, total: int | None, timeouts: Timeouts) -> None:
    """Write the body of `response` to `part` from byte `start` on, with a progress bar."""
    name = part.name.rsplit(".", 2)[0]
    bar = tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, unit_divisor=1024)
    with bar, part.open("ab") as file:
        file.truncate(start)
        since, arrived = time.monotonic(), 0
        while block := _read(response, timeouts):
            file.write(block)
            bar.update(len(block))
            arrived += len(block)
            if total is not None and file.tell() > total:
                raise HostError(f"it sends more than {total:,} bytes")
            if total is None and (free := shutil.disk_usage(part.parent).free) < _LEAST_FREE:
                raise HostError(f"it announces no length, and the disk has {free:,} bytes left")
            seconds = time.monotonic() - since
            if seconds >= timeouts.silence:
                if arrived < timeouts.slowest * seconds:
                    raise HostError(f"it sends {arrived / seconds:,.0f} bytes a second")
                since, arrived = time.monotonic(), 0
        file.flush()
        os.fsync(file.fileno())


def _read(response: Any, timeouts: Timeouts) -> bytes:
    try:
        return response.read1(_BLOCK)
    except TimeoutError as error:
        raise _CutError(f"it sent nothing for {timeouts.silence:g} seconds") from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(f"the connection broke ({error_text(error)})") from error
