"""Damaged, foreign and dangerous files: each is refused with a message that names what is wrong."""

import os
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest
from support.columns import ROWS, assert_says, columns, messages_of, write

from cocoa.data import load
from cocoa.errors import DataError


def test_a_group_in_place_of_an_array_is_refused(tmp_path):
    data = columns()
    del data["rewards"]
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", data | {"rewards/dense": np.zeros(ROWS)}))
    assert_says(error, "`rewards`", "group")


def test_a_damaged_chunk_is_told_with_its_key(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    with h5py.File(path) as file:
        chunk = file["actions"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load(path)
    assert_says(error, str(path), "`actions`", "damaged")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = write(tmp_path / "data.hdf5", columns())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError) as error:
        load(path)
    assert_says(error, str(path), "damaged", "fetch it again")


def test_what_is_no_hdf5_file_is_refused(tmp_path):
    text = tmp_path / "text.hdf5"
    text.write_text("observations,actions\n")
    empty = tmp_path / "empty.h5"
    empty.touch()
    reasons = {text: "not an HDF5 file", empty: "empty", tmp_path: "a folder"}
    reasons[tmp_path / "none.h5"] = "no file"
    for path, reason in reasons.items():
        with pytest.raises(DataError) as error:
            load(path)
        assert_says(error, str(path), reason)


def test_a_file_without_permission_is_refused(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # the superuser may read everything
    try:
        with pytest.raises(DataError) as error:
            load(path)
    finally:
        os.seteuid(user)
    assert_says(error, str(path), "Permission denied")


def store(group, key, path):
    """Put something in place of an array that leads out of the file."""
    other = path.with_name("other.hdf5")
    if key == "external link":
        group["rewards"] = h5py.ExternalLink(other, "/rewards")
    elif key == "soft link through an external one":
        group["elsewhere"] = h5py.ExternalLink(other, "/")
        group["rewards"] = h5py.SoftLink("/elsewhere/rewards")
    elif key == "external storage":
        group.create_dataset("rewards", (ROWS,), "f4", external=[(path.with_name("raw"), 0, 4 * ROWS)])
    else:
        layout = h5py.VirtualLayout((ROWS,), "f4")
        layout[:] = h5py.VirtualSource(other, "rewards", (ROWS,))
        group.create_virtual_dataset("rewards", layout)


@pytest.mark.parametrize(
    ("kind", "description"),
    [
        ("external link", "an external link to /rewards in"),
        ("soft link through an external one", "an external link to / in"),
        ("external storage", "stored outside of the file"),
        ("virtual dataset", "a virtual dataset over"),
    ],
)
def test_nothing_outside_of_the_file_is_read(tmp_path, kind, description):
    write(tmp_path / "other.hdf5", columns())
    (tmp_path / "raw").write_bytes(bytes(4 * ROWS))
    data = columns()
    del data["rewards"]
    path = write(tmp_path / "data.hdf5", data)
    with h5py.File(path, "a") as file:
        store(file, kind, path)
    with pytest.raises(DataError) as error:
        load(path)
    assert_says(error, str(path), "`rewards`", description)


def test_a_soft_link_within_the_file_is_followed(tmp_path):
    data = columns()
    data["group/rewards"] = data.pop("rewards")
    path = write(tmp_path / "data.hdf5", data)
    with h5py.File(path, "a") as file:
        file["rewards"] = h5py.SoftLink("group/rewards")
    np.testing.assert_array_equal(load(path).rewards, data["group/rewards"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.hdf5")
    (tmp_path / "zero.hdf5").symlink_to("/dev/zero")
    for name, kind in {"pipe": "a FIFO", "zero": "a device"}.items():
        with pytest.raises(DataError, match=f"it is {kind}, not a regular file"):
            load(tmp_path / f"{name}.hdf5")


def test_arrays_that_were_never_written_are_refused(tmp_path):
    data = columns()
    del data["observations"]
    path = write(tmp_path / "data.hdf5", data)
    with h5py.File(path, "a") as file:
        file.create_dataset("observations", (ROWS, 3), "f4")
    with pytest.raises(DataError, match="`observations` declares 40 rows, and not all were ever written"):
        load(path)


def test_rewards_that_were_never_written_are_told(tmp_path):
    path = write(tmp_path / "data.hdf5", {key: c for key, c in columns().items() if key != "rewards"})
    with h5py.File(path, "a") as file:
        file.create_dataset("rewards", ROWS, "f4")
    data, messages = messages_of(lambda: load(path))
    assert "`rewards` was made and never written: every reward is 0" in messages
    assert not data.rewards.any()


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_rows_that_a_recorder_set_aside_and_never_wrote_are_refused(tmp_path, compression):
    data = columns()
    path = tmp_path / "data.hdf5"
    with h5py.File(path, "w") as file:
        for key, column in data.items():
            options = {"chunks": (10, *column.shape[1:]), "compression": compression}
            file.create_dataset(key, (2 * ROWS, *column.shape[1:]), column.dtype, **options)[:ROWS] = column
    with pytest.raises(DataError, match=r"declares 80 rows, and not all were ever written.*cut all keys"):
        load(path)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [((250_000_000, 3), "chunks of 3.0 GB"), ((ROWS, 3), "unpacks to more than the header declares")],
)
def test_chunks_that_grow_are_refused(tmp_path, chunk, message):
    data = columns()
    del data["observations"]
    path = write(tmp_path / "data.hdf5", data)
    with h5py.File(path, "a") as file:
        options = {"chunks": chunk, "maxshape": (None, 3), "compression": "gzip"}
        stored = file.create_dataset("observations", (ROWS, 3), "f4", **options)
        stored.id.write_direct_chunk((0, 0), zlib.compress(bytes(10_000_000)))
    with pytest.raises(DataError, match=message):
        load(path)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_wrong_checksum_is_refused(tmp_path, compression):
    data = columns()
    path = tmp_path / "data.hdf5"
    with h5py.File(path, "w") as file:
        for key, column in data.items():
            file.create_dataset(key, data=column, fletcher32=True, compression=compression)
        chunk = file["rewards"].id.get_chunk_info(0)
    load(path)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size - 1] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load(path)
    assert_says(error, "`rewards`", "damaged")


def test_a_chunk_that_hides_from_its_checksum_is_refused(tmp_path):
    data = columns()
    rewards = data.pop("rewards")
    path = write(tmp_path / "data.hdf5", data)
    with h5py.File(path, "a") as file:
        stored = file.create_dataset("rewards", (ROWS,), "f4", chunks=(ROWS,), fletcher32=True)
        stored.id.write_direct_chunk((0,), rewards.tobytes(), filter_mask=1)
    with pytest.raises(DataError, match="has checksums, but not in the chunk at row 0"):
        load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04", "let its name end in .npz"),
        (b"PAR1", "Parquet"),
        (b"\x80\x04", "a pickle, which is never loaded"),
        (b"\x1f\x8b", "unpack it first"),
        (b"<!DOCTYPE html>", "web page"),
        (b"a,b\n1,2\n", "CSV"),
    ],
)
def test_other_formats_are_named(tmp_path, content, message):
    path = tmp_path / "data.hdf5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("key", "message", "advice"),
    [
        ("episode_0", "Minari", "minari:"),
        ("observations_0", "d3rlpy", "from_arrays"),
        ("data/demo_0", "robomimic", "from_arrays"),
    ],
)
def test_other_layouts_are_named(tmp_path, key, message, advice):
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", {f"{key}/x": np.zeros(2)}))
    assert_says(error, message, advice)


def test_a_file_that_is_being_recorded_is_not_called_damaged(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as recorder:
        assert recorder.stdout.readline() == b"open\n"
        with pytest.raises(DataError) as error:
            load(path)
        recorder.stdin.close()
    assert_says(error, "locked", "HDF5_USE_FILE_LOCKING=FALSE")
    assert "damaged" not in str(error.value)


def test_names_from_a_file_are_escaped_and_shortened(tmp_path):
    data = columns()
    del data["rewards"]
    many = {f"key{i}": i for i in range(500)} | {"\x1b[2J" + "k" * 60_000: 1}
    path = write(tmp_path / "data.hdf5", data | many)
    with pytest.raises(DataError) as error:
        load(path)
    assert_says(error, "and 498 more", "\\x1b[2J")
    assert len(str(error.value)) < 1000
    assert str(error.value).isprintable()


def test_a_name_that_is_no_utf8_does_not_matter(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    with h5py.File(path, "a") as file:
        file.create_group(b"\xff\xfedone")
        file.attrs["env_id"] = h5py.Empty("S1")
    assert len(load(path)) == ROWS
