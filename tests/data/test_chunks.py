"""Compressed chunks: read as HDF5 reads them, but never to more than their header declares."""

import zlib

import h5py
import numpy as np
import pytest
from support.columns import ROWS, columns, messages_of, write

from cocoa.data import chunks, hdf5, load
from cocoa.errors import DataError

BOMB = zlib.compress(bytes(50_000_000))


def stored(path, chunk=None, mask=0, **options):
    """Write a file whose observations have storage options; of one chunk, the bytes may be given."""
    data = columns()
    observations = data.pop("observations")
    write(path, data)
    with h5py.File(path, "a") as file:
        options = {"chunks": observations.shape, **options}
        if chunk is None:
            file.create_dataset("observations", data=observations, **options)
        else:
            file.create_dataset("observations", observations.shape, "f4", **options)
            file["observations"].id.write_direct_chunk((0, 0), chunk, filter_mask=mask)
    return path


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "f2", "i4", "u1"])
@pytest.mark.parametrize("shape", [(7, 2), (ROWS, 3), (1, 1), (64, 3)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_gzip_is_read_as_by_hdf5(tmp_path, dtype, shape, shuffle):
    path = write(tmp_path / "data.hdf5", columns())
    with h5py.File(path, "a") as file:
        values = (100 * file["observations"][:]).astype(dtype)
        del file["observations"], file["next_observations"]
        options = {"chunks": shape, "compression": "gzip", "shuffle": shuffle, "maxshape": (None, 3)}
        file.create_dataset("observations", data=values, **options)
        expected = file["observations"][:].astype(np.float32)
    np.testing.assert_array_equal(load(path).observations, expected[:-1])


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzf"},
        {"compression": "lzf", "shuffle": True, "fletcher32": True},
        {"chunks": (7, 2)},
        {"chunks": (7, 2), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (13, 1), "fletcher32": True},
        {"chunks": (13, 1), "shuffle": True},
    ],
)
def test_other_filters_are_undone(tmp_path, options):
    path = stored(tmp_path / "data.hdf5", **options)
    np.testing.assert_array_equal(load(path).observations, columns()["observations"])


def test_a_chunk_that_skips_its_filters_is_read(tmp_path):
    content = columns()["observations"].tobytes()
    path = stored(tmp_path / "data.hdf5", content, 3, compression="gzip", shuffle=True)
    np.testing.assert_array_equal(load(path).observations, columns()["observations"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "unpacks to more than the header declares"),
        ({"shuffle": True}, "unpacks to more than the header declares"),
        ({"fletcher32": True}, "its checksum is wrong"),
    ],
)
def test_a_chunk_that_grows_is_refused(tmp_path, options, message):
    path = stored(tmp_path / "data.hdf5", BOMB + bytes(4), compression="gzip", **options)
    with pytest.raises(DataError, match=f"`observations` cannot be read.*{message}"):
        load(path)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (zlib.compress(bytes(476)), "it has 476 bytes instead of 480"),
        (zlib.compress(bytes(480))[:-6], "it ends early"),
        (b"no zlib", "incorrect header check"),
        (BOMB[:100] + bytes(70_000), "stores 70,100 bytes for 480 in the chunk at row 0"),
    ],
)
def test_a_damaged_chunk_is_refused(tmp_path, chunk, message):
    path = stored(tmp_path / "data.hdf5", chunk, compression="gzip", shuffle=True)
    with pytest.raises(DataError, match=f"`observations` .*{message}"):
        load(path)


def test_a_column_that_is_not_needed_cannot_grow_either(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    with h5py.File(path, "a") as file:
        column = file.create_dataset("is_final", (ROWS,), "u1", chunks=(ROWS,), compression="gzip")
        column.id.write_direct_chunk((0,), BOMB)
    data, messages = messages_of(lambda: load(path))
    assert len(data) == ROWS
    assert messages == ""


@pytest.mark.parametrize("filters", [{"scaleoffset": 4}, {"scaleoffset": 4, "shuffle": True}])
def test_a_filter_that_is_not_safe_is_refused(tmp_path, filters):
    with pytest.raises(DataError, match="scale-offset filter, which is not safe"):
        load(stored(tmp_path / "data.hdf5", **filters))


@pytest.mark.parametrize("size", [1, 2, 3, 719, 720, 721, 100_000])
def test_checksums_are_those_of_hdf5(tmp_path, size, monkeypatch):
    monkeypatch.setattr(chunks, "_WORDS", 360)
    values = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    values[: size // 2] = 255
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        stored = file.create_dataset("x", data=values, chunks=(size,), fletcher32=True)
        np.testing.assert_array_equal(chunks.read_array(stored, values.dtype, "file", "x"), values)
        _, content = stored.id.read_direct_chunk((0,))
        damaged = bytearray(content)
        damaged[size // 2] ^= 1
        stored.id.write_direct_chunk((0,), bytes(damaged))
        with pytest.raises(DataError, match="its checksum is wrong"):
            chunks.read_array(stored, values.dtype, "file", "x")


def test_flags_that_were_never_written_are_zero(tmp_path):
    data = columns()
    del data["terminals"]
    path = write(tmp_path / "data.hdf5", data)
    with h5py.File(path, "a") as file:
        flags = file.create_dataset("terminals", (ROWS,), "?", chunks=(10,), compression="gzip")
        flags[20:30] = [False] * 9 + [True]
    assert np.flatnonzero(load(path).terminals).tolist() == [29]


@pytest.mark.parametrize("length", [0, 8, 2**40, 2**64 - 8])
def test_a_heap_that_leads_nowhere_does_not_keep_hdf5_busy(tmp_path, length):
    path = write(tmp_path / "data.hdf5", columns())
    with h5py.File(path, "a") as file:
        file.attrs["env_id"] = "Pendulum-v1"
    assert load(path).env == "Pendulum-v1"
    content = bytearray(path.read_bytes())
    free = content.index(b"Pendulum-v1") + 16  # the free space after the only object
    content[free : free + 2], content[free + 8 : free + 16] = bytes(2), length.to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match="the attribute `env_id` is damaged"):
        load(path)


def test_reference_returns_that_are_no_numbers_are_ignored(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    for value in (np.array(["0", "1"], dtype=h5py.string_dtype()), [np.nan, 1.0], [1, 1], [0, 1, 2], "x"):
        with h5py.File(path, "a") as file:
            file.attrs["reference_returns"] = value
        assert hdf5.reference_returns(path) is None
    with h5py.File(path, "a") as file:
        file.attrs["reference_returns"] = [-1, 3]
    assert hdf5.reference_returns(path) == (-1, 3)


def test_an_attribute_that_is_no_text_names_no_environment(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    with h5py.File(path, "a") as file:
        file.attrs["env_id"] = file["rewards"].ref
        file.attrs["env"] = np.arange(3)
        file.attrs["env_name"] = np.bytes_(b"Pendulum-v1")
    assert load(path).env == "Pendulum-v1"
