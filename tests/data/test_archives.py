"""Datasets in NumPy's .npz files: read as HDF5 files are, or refused with a sentence."""

import os
import pickle
import zipfile

import numpy as np
import pytest
from support.columns import ROWS, assert_says, columns, messages_of, recording, write

from cocoa.data import load
from cocoa.data.sources import find_source
from cocoa.errors import DataError

FIELDS = ("observations", "actions", "rewards", "terminals", "next_observations", "episodes", "complete")


def saved(path, data=None, compressed=True):
    (np.savez_compressed if compressed else np.savez)(path, **columns() if data is None else data)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("make", [columns, recording])
def test_an_archive_is_the_same_dataset_as_an_hdf5_file(tmp_path, compressed, make):
    archive = load(
        saved(tmp_path / "data.npz", make(), compressed), "Pendulum-v1" if make is columns else None
    )
    file = load(write(tmp_path / "data.hdf5", make()), archive.env)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(archive, field), getattr(file, field))
    assert archive.name == "data"
    assert archive.sha256 != file.sha256


def test_types_are_converted_and_other_keys_ignored(tmp_path):
    data = columns()
    mixed = {key: column.astype(">f8" if column.dtype.kind == "f" else "u1") for key, column in data.items()}
    mixed |= {"names": np.array(["a"] * ROWS), "qpos": np.zeros((ROWS, 9)), "agents": np.array([{}])}
    read = load(saved(tmp_path / "data.npz", mixed))
    np.testing.assert_array_equal(read.observations, data["observations"])
    assert read.observations.dtype == np.float32
    assert read.terminals.dtype == bool


def test_flags_that_are_not_read_are_warned_of(tmp_path):
    data = columns() | {"episode_starts": np.arange(ROWS) % 7 == 3}
    _, messages = messages_of(lambda: load(saved(tmp_path / "data.npz", data)))
    assert "episode_starts may mark ends of episodes" in messages


def test_a_list_may_mix_formats(tmp_path):
    files = [saved(tmp_path / "a.npz"), write(tmp_path / "b.hdf5", columns())]
    both, _ = messages_of(lambda: load(files))
    assert len(both) == 2 * ROWS


def replaced(path, member, content):
    """Write an archive with other bytes for a member."""
    saved(path, compressed=False)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, bytes_ in (members | {member: content}).items():
            archive.writestr(name, bytes_)
    return path


class Attack:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", **columns() | {"rewards": np.array([Attack()] * ROWS, object)})
    replaced(tmp_path / "raw.npz", "rewards.npy", pickle.dumps(Attack()))
    for name in ("data.npz", "raw.npz"):
        with pytest.raises(DataError, match="`rewards`"):
            load(name)
    os.rename("raw.npz", "pickle.npz")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(DataError, match=r"a pickle, which is never loaded.*from_arrays\.$"):
        load("pickle.npz")
    assert not os.path.exists("unpickled")


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"rewards": np.zeros(ROWS, complex)}, ["`rewards`", "complex128"]),
        ({"rewards": np.array(["1"] * ROWS)}, ["`rewards`", "U1"]),
        ({"rewards": np.zeros(ROWS, [("a", "f4")])}, ["`rewards`", "[('a', '<f4')]"]),
        ({"rewards": np.zeros(ROWS, "M8[s]")}, ["`rewards`", "datetime64"]),
        ({"rewards": np.zeros(())}, ["`rewards`", "shape ()"]),
        ({"rewards": np.zeros(ROWS - 1)}, ["`rewards`", "39 rows"]),
        ({"rewards": np.zeros((0,))}, ["`rewards`", "no values"]),
        ({"observations": np.asfortranarray(np.zeros((ROWS, 3)))}, ["`observations`", "ascontiguousarray"]),
        ({"observations": np.full((ROWS, 3), np.nan)}, ["`observations`", "row 0"]),
        ({"observations": np.zeros((ROWS, 3, 2))}, ["`observations`", "(40, 3, 2)"]),
    ],
)
def test_arrays_of_other_kinds_are_refused(tmp_path, change, fragments):
    path = saved(tmp_path / "data.npz", columns() | change)
    with pytest.raises(DataError) as error:
        load(path)
    assert_says(error, str(path), *fragments)


def test_an_array_that_fills_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cocoa.data.memory.available_memory", lambda: 1000)
    with pytest.raises(DataError, match=r"needs about 0\.0 GB of memory"):
        load(saved(tmp_path / "data.npz"))


def test_formats_that_do_not_fit_their_names_are_named(tmp_path):
    os.rename(write(tmp_path / "data.hdf5", columns()), tmp_path / "data.npz")
    with pytest.raises(DataError, match=r"an HDF5 file: let its name end in \.hdf5"):
        load(tmp_path / "data.npz")
    os.rename(saved(tmp_path / "other.npz"), tmp_path / "other.h5")
    with pytest.raises(DataError, match=r"let its name end in \.npz"):
        load(tmp_path / "other.h5")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match="it is a folder"):
        load(tmp_path / "folder.npz")
    with pytest.raises(DataError, match="There is no file"):
        find_source("none.npz").read("none.npz", None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.npz").symlink_to(tmp_path / "pipe")
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    for name, reason in {"link.npz": "it is a FIFO", "loop.npz": "cannot be read"}.items():
        with pytest.raises(DataError, match=reason):
            load(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["a b.npz", "a,b.npz", "[a].npz", "é\u202e.npz", "-x.npz", "a=b.npz", "\n.npz"]
)
def test_odd_names_of_files_are_read(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / name)
    assert len(load(name)) == ROWS
    saved(tmp_path / "other.npz", columns() | {"rewards": np.ones(ROWS)})
    assert len(load([name, "other.npz"])) == 2 * ROWS
