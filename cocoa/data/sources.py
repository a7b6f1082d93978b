"""From what a user calls a dataset to a file on this machine: shipped, a path, or D4RL's, downloaded once."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from contextlib import suppress
from difflib import get_close_matches
from email.message import Message
from pathlib import Path

import h5py
from filelock import FileLock
from tqdm import tqdm

from cocoa.data.contents import check_regular
from cocoa.data.reference import D4RL
from cocoa.errors import DataError, shown
from cocoa.storage.files import expanded

D4RL_URL = "http://rail.eecs.berkeley.edu/datasets/offline_rl/"
"""Where D4RL keeps its files."""
SHIPPED = {"hopper-demo": Path(__file__).with_name("hopper-demo.hdf5")}
"""Datasets that come with this package."""
_TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 20


def locate(dataset: str) -> Path:
    """Return the file of a dataset, downloading it if it is D4RL's and not in D4RL's cache yet.

    `dataset` is a shipped name, the name of a D4RL dataset, or a path. Raises DataError, with the nearest
    names, for anything else, ConfigError for a path in a home folder that does not exist.
    """
    if dataset in SHIPPED:
        return SHIPPED[dataset]
    if dataset in D4RL:
        return download(D4RL_URL + D4RL[dataset].path, d4rl_cache())
    path = expanded(dataset, "dataset")
    if os.path.isfile(path) or path.suffix in (".hdf5", ".h5") or len(path.parts) > 1:
        return path
    if os.path.lexists(path) and not path.is_dir():  # a pipe or a device, which reading refuses
        return path
    names = [*SHIPPED, *D4RL]
    near = get_close_matches(dataset, names, n=4, cutoff=0.5) or list(SHIPPED)
    raise DataError(
        f"Dataset {shown(repr(dataset))} is neither a known name nor a file. The nearest names are "
        f"{', '.join(near)}; a file is given by its path, ending in .hdf5 or .h5."
    )


def from_anywhere(dataset: str) -> str:
    """Return what `locate` finds from any working directory: a known name, or a file's absolute path."""
    known = dataset in SHIPPED or dataset in D4RL
    return dataset if known else os.path.abspath(expanded(dataset, "dataset"))


def d4rl_cache() -> Path:
    """Return the folder in which D4RL keeps its downloads: $D4RL_DATASET_DIR or ~/.d4rl/datasets."""
    return expanded(os.environ.get("D4RL_DATASET_DIR") or "~/.d4rl/datasets", "D4RL_DATASET_DIR")


def download(url: str, folder: Path) -> Path:
    """Return the file of `url` in `folder`, downloading it if it is not there.

    The file appears under its name only when it is whole: its length is what the server announced and it
    opens as HDF5. A download that was cut goes on where it stopped, in this call or the next; a second
    process waits for the first. Raises DataError saying where to put the file by hand.
    """
    path = folder / url.rsplit("/", 1)[1]
    part, lock = path.with_name(path.name + ".part"), path.with_name(path.name + ".lock")
    for used in (path, part, lock):
        if used.exists():
            check_regular(used)
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
            f"file by other means and put it at {path} (the environment variable D4RL_DATASET_DIR names "
            "another folder)."
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
