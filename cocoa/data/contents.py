"""What a data file may be and hold: nothing that leads out of it, and in D4RL's format."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
from h5py import h5l  # type: ignore[attr-defined]

from cocoa.data.chunks import REMEDY
from cocoa.data.validation import listed
from cocoa.errors import DataError, shown
from cocoa.storage import files

_CONVERT = "Read it with {reader} and pass the arrays to cocoa.Dataset.from_arrays."
_LINKS = 20  # soft links that lead on to others
_FORMATS = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", ".hdf5"),
    (b"PK\x03\x04", "a zip file or NumPy's .npz", ".npz"),
    (b"\x93NUMPY", "a NumPy .npy file", "np.load"),
    (b"PAR1", "a Parquet file", "pandas.read_parquet"),
    (b"\x80\x02", "a pickle", ""),
    (b"\x80\x03", "a pickle", ""),
    (b"\x80\x04", "a pickle", ""),
    (b"\x80\x05", "a pickle", ""),
    (b"\x1f\x8b", "compressed by gzip", "unpack"),
    (b"BZh", "compressed by bzip2", "unpack"),
    (b"\xfd7zXZ", "compressed by xz", "unpack"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack"),
)


def check_regular(path: Path) -> None:
    """Check that `path` is a regular file, without opening it. Raises DataError."""
    try:
        files.check_regular(path)
    except FileNotFoundError as error:
        raise DataError(
            f"There is no file {path}. Check the path; it is taken from the working directory."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {files.reason(error)}. Give the path of a readable data file."
        ) from error


def other_format(path: Path) -> str:
    """Return a sentence about a file that is not what its name says: what it is, and what to do."""
    with path.open("rb") as file:
        head = file.read(512)
    name, reader = next(((n, r) for magic, n, r in _FORMATS if head.startswith(magic)), ("", ""))
    if not name:
        text = head.lstrip().lower()
        if text.startswith((b"<!doctype", b"<html", b"<?xml")):
            return f"It is a web page, perhaps of a download that needed a login. {REMEDY}"
        if text.startswith(b"version https://git-lfs"):
            return "It is a pointer of Git LFS: run `git lfs pull` to fetch the file."
        if text and b"\0" not in head and head.isascii():
            return f"It is text, such as CSV or JSON. {_CONVERT.format(reader='np.loadtxt or pandas')}"
        return f"Datasets are read in D4RL's format, HDF5. {REMEDY}"
    if reader.startswith("."):
        return f"It is {name}: let its name end in {reader} if it holds D4RL's keys."
    if reader == "unpack":
        return f"It is {name}: unpack it first."
    if not reader:
        return (
            f"It is {name}, which is never loaded, as it can run code. Where you trust it, load it yourself "
            "and pass the arrays to cocoa.Dataset.from_arrays."
        )
    return f"It is {name}. {_CONVERT.format(reader=reader)}"


def other_layout(keys: list[str]) -> str | None:
    """Return a sentence about an HDF5 file of another project's layout, by its keys."""
    arrays = "cocoa.Dataset.from_arrays(observations=..., actions=..., rewards=..., terminals=..., "
    concatenate = f"Concatenate its episodes and pass them to {arrays}truncations=..., next_observations=...)"
    if any(key.startswith("episode_") and key[8:].isdigit() for key in keys):
        return (
            "It is the file of a Minari dataset, which is read by its name: minari:mujoco/hopper/medium-v0 "
            "is the folder mujoco/hopper/medium-v0/data in Minari's cache, ~/.minari/datasets or the folder "
            "that MINARI_DATASETS_PATH names."
        )
    if any(key.startswith("observations_") and key[13:].isdigit() for key in keys):
        return f"It is a replay buffer of d3rlpy, arrays per episode, which is not read. {concatenate}."
    if "data" in keys and {"observations", "actions"}.isdisjoint(keys):
        return f"If it is a robomimic dataset, with data/demo_N, it is not read. {concatenate}."
    return None


def explain(error: Exception, path: Path) -> str:
    """Return what an error of HDF5 about `path` means, and what to do."""
    text = str(error)
    if "unable to lock file" in text:
        return (
            f"{path} is locked: another process, perhaps its recorder, has it open for writing. Wait until "
            "it is closed. If nothing has it open, the file system may lack locks: set "
            "HDF5_USE_FILE_LOCKING=FALSE."
        )
    if "already open for write" in text or "consistency flags" in text:
        return (
            f"{path} was not closed by its recorder, which still writes to it or was killed. Close it, or "
            "run `h5clear -s` on it if its recorder is gone."
        )
    cut = " It is cut short." if "truncated file" in text else ""
    return f"{path} is a damaged HDF5 file, perhaps cut short: {shown(text, 300)}.{cut} {REMEDY}"


def keys_of(file: h5py.File) -> list[str]:
    """Return the names at the top of a file, without following links."""
    return [os.fsdecode(name or "") for name in file]  # h5py returns names that are not UTF-8 as bytes


def open_array(file: h5py.File, key: str, origin: str) -> h5py.Dataset:
    """Return the array under `key`, having checked that nothing outside of the file is opened or read for it.

    Raises DataError for external links and those of unknown kinds, also behind soft ones, for external
    storage, virtual datasets, groups, and filters that are missing here.
    """
    item = _resolve(file, key, origin, key)
    if not isinstance(item, h5py.Dataset):
        raise DataError(f"{origin}: `{key}` is a group. D4RL's format has arrays, one row per step.")
    properties = item.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL:  # before its shape, which may open the sources
        names = {properties.get_virtual_filename(i) for i in range(min(20, properties.get_virtual_count()))}
        _refuse(origin, key, f"a virtual dataset over {listed(sorted(names))}")
    if properties.get_external_count():
        name = os.fsdecode(properties.get_external(0)[0])
        _refuse(origin, key, f"stored outside of the file, in {shown(name)}")
    for index in range(properties.get_nfilters()):
        number, *_, name = properties.get_filter(index)
        if not h5py.h5z.filter_avail(number):
            raise DataError(
                f"{origin}: `{key}` needs the HDF5 filter {number} ({shown(os.fsdecode(name))}), which is "
                "not here. Install hdf5plugin (pip install hdf5plugin) and import it before loading, or save "
                "the file again with gzip."
            )
    return item


def _resolve(
    file: h5py.File, path: str, origin: str, key: str, start: h5py.Group | None = None, hops: int = 0
) -> h5py.Group | h5py.Dataset | None:
    """Walk to `path` link by link, so that no external link is followed."""
    here: h5py.Group | h5py.Dataset | None = file if path.startswith("/") or start is None else start
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if not isinstance(here, h5py.Group) or not here.id.links.exists(name := os.fsencode(part)):
            raise DataError(f"{origin}: `{key}` is a link that leads nowhere. Store the array itself.")
        kind = here.id.links.get_info(name).type
        if kind == h5l.TYPE_SOFT:
            if hops == _LINKS:
                raise DataError(f"{origin}: `{key}` is a loop of links. Store the array itself.")
            target = os.fsdecode(here.id.links.get_val(name))
            here = _resolve(file, target, origin, key, here, hops + 1)
        elif kind == h5l.TYPE_HARD:
            here = here[name]  # type: ignore[assignment]
        elif kind == h5l.TYPE_EXTERNAL:
            target, inside = (os.fsdecode(name) for name in here.id.links.get_val(name))
            _refuse(origin, key, f"an external link to {shown(inside)} in {shown(target)}")
        else:
            _refuse(origin, key, f"a link of an unknown kind ({kind})")
    return here


def _refuse(origin: str, key: str, kind: str) -> None:
    raise DataError(
        f"{origin}: `{key}` is {kind}. Only the named file is read: store the array itself in it, for "
        "example with h5repack or by copying it with h5py."
    )
