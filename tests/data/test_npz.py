"""NumPy's archives: whole ones are read as NumPy does, others are refused without unpickling or unpacking."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from support.columns import assert_says

from cocoa.data import npz
from cocoa.data.npz import Archive
from cocoa.errors import DataError

RNG = np.random.default_rng(0)
ARRAYS = {
    "observations": RNG.normal(size=(1000, 5)).astype(np.float32),
    "actions": RNG.normal(size=(1000, 2)),
    "terminals": np.arange(1000) % 100 == 99,
    "button_states": RNG.integers(0, 2, (1000, 3)),
    "big_endian": np.arange(1000, dtype=">f8"),
}


@pytest.fixture(params=[np.savez, np.savez_compressed], ids=["stored", "compressed"])
def path(request, tmp_path):
    request.param(tmp_path / "data.npz", **ARRAYS)
    return tmp_path / "data.npz"


def npy(array=None, **header):
    """The bytes of a member, with another header if one is given."""
    file = io.BytesIO()
    array = np.zeros(4, np.float32) if array is None else array
    if not header:
        np.lib.format.write_array(file, array, allow_pickle=True)
        return file.getvalue()
    values = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape} | header
    np.lib.format.write_array_header_1_0(file, values)
    return file.getvalue() + array.tobytes()


def archive(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("block", [64, 1 << 24])
def test_arrays_are_those_that_numpy_reads(path, block, monkeypatch):
    monkeypatch.setattr(npz, "BLOCK", block)
    with Archive(path) as file:
        assert file.keys == list(ARRAYS)
        for key, array in ARRAYS.items():
            assert (file.array(key).shape, file.array(key).dtype) == (array.shape, array.dtype)
            np.testing.assert_array_equal(file.read(key), array)
            np.testing.assert_array_equal(file.read(key, np.float32), array.astype(np.float32))
            np.testing.assert_array_equal(np.concatenate(list(file.blocks(key, 7))), array)


def test_an_array_is_read_in_blocks_of_little_memory(tmp_path):
    np.savez_compressed(tmp_path / "large.npz", a=np.ones((200_000, 50)))  # 80 MB
    with Archive(tmp_path / "large.npz") as file:
        tracemalloc.start()
        total = sum(block.sum() for block in file.blocks("a", 1000))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert total == 10_000_000
    assert peak < 5_000_000


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


LONG = b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31)
BOMB = {"a.npy": npy(np.zeros(4), shape=(1 << 40,))}
REFUSED = {
    "a pickle": ({"a.npy": npy(np.array([Trap()], object))}, "never unpickled"),
    "text": ({"a.npy": npy(np.array(["x"]))}, "<U1"),
    "structured": ({"a.npy": npy(np.zeros(2, [("x", "f4"), ("y", "f4")]))}, "numbers"),
    "no array": ({"a.npy": b"observations"}, "damaged"),
    "nothing": ({"a.npy": b""}, "damaged"),
    "another key": ({"b.npy": npy()}, "`a` is missing (found: b)"),
    "a short one": ({"a.npy": npy()[:-1]}, "its header declares"),
    "a long one": ({"a.npy": npy() + b"\0"}, "its header declares"),
    "a huge shape": (BOMB, "its header declares"),
    "a negative shape": ({"a.npy": npy(shape=(-1, -4))}, "shape (-1, -4)"),
    "a shape of no number": ({"a.npy": npy(shape=(True, 4))}, "shape (True, 4)"),
    "an empty one": ({"a.npy": npy(np.zeros((0, 3)))}, "has no values"),
    "a long header": ({"a.npy": LONG + b"(" * 100_000}, "header declares a length of 2,147,483,648"),
    "a deep header": ({"a.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000}, "damaged"),
    "odd booleans": ({"a.npy": npy(np.array([2, 0, 0, 0], np.uint8), descr="|b1")}, "neither true nor"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_array_of_numbers_is_refused(tmp_path, kind):
    members, said = REFUSED[kind]
    path = archive(tmp_path / "data.npz", members)
    with pytest.raises(DataError) as error, Archive(path) as file:
        file.read("a")
    assert_says(error, str(path), said)


def test_an_array_that_is_not_stored_by_rows_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", a=np.asfortranarray(np.ones((3, 2))), b=np.float64(3))
    for key in "ab":
        with pytest.raises(DataError, match="not stored row by row"), Archive(tmp_path / "data.npz") as file:
            file.read(key)


def test_a_member_that_claims_more_than_can_be_unpacked_is_refused(tmp_path):
    path = archive(tmp_path / "data.npz", {"a.npy": npy()})
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 1 << 31)  # the size when unpacked
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot unpack to the 2,147,483,648 bytes"), Archive(path) as file:
        file.array("a")


def test_other_compressions_are_refused(tmp_path):
    path = archive(tmp_path / "data.npz", {"a.npy": npy()}, zipfile.ZIP_BZIP2)
    with pytest.raises(DataError, match="Save it again with that"), Archive(path) as file:
        file.array("a")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>", "web page"),
        (npy(), "a NumPy .npy file"),
        (b"PK\x03\x04 and no more", "cut short"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path, content, said):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError) as error:
        Archive(tmp_path / "data.npz")
    assert_says(error, str(tmp_path / "data.npz"), said)


def test_random_damage_is_refused_or_harmless(path):
    content = path.read_bytes()
    rng, refused = np.random.default_rng(1), 0
    for number in range(200):
        damaged = bytearray(content)
        if number % 4 == 0:
            del damaged[rng.integers(len(damaged)) :]
        else:
            for place in rng.integers(len(damaged), size=3):
                damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            with Archive(path) as file:
                for key in ARRAYS:
                    np.testing.assert_array_equal(file.read(key), ARRAYS[key])
        except DataError:
            refused += 1
    assert refused > 150
