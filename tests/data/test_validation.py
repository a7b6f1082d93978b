"""Damaged input: each kind is refused with a message that names the key, the row and what to do."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from cocoa.data import Dataset, load, memory
from cocoa.errors import DataError

ROWS = 40
REQUIRED = {"observations", "actions", "rewards", "terminals"}
ENV = "Pendulum-v1"  # 3 numbers per observation, 1 action in [-2, 2], 200 steps


def columns():
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(ROWS + 1, 3)).astype(np.float32)
    return {
        "observations": observations[:-1].copy(),
        "actions": rng.uniform(-1, 1, (ROWS, 1)).astype(np.float32),
        "rewards": rng.normal(size=ROWS).astype(np.float32),
        "terminals": np.zeros(ROWS, bool),
        "timeouts": np.arange(ROWS) == ROWS - 1,
        "next_observations": observations[1:].copy(),
    }


def write(path: Path, data: dict) -> Path:
    with h5py.File(path, "w") as file:
        for key, column in data.items():
            compressed = {"compression": "gzip"} if np.ndim(column) and np.size(column) else {}
            file.create_dataset(key, data=column, **compressed)
    return path


def put(key, index, value, dtype=None):
    """A change that writes `value` at `index` of a column."""

    def change(data):
        data[key] = data[key].astype(dtype or data[key].dtype)
        data[key][index] = value

    return change


def reshape(key, shape):
    return lambda data: data.update({key: np.resize(data[key], shape)})


def drop(key):
    return lambda data: data.pop(key)


def single_steps(data):
    data.pop("next_observations")
    data["timeouts"][:] = True


DAMAGE = {
    "no observations": (drop("observations"), ["`observations`", "missing", "`", "found: actions"]),
    "no actions": (drop("actions"), ["`actions`", "missing"]),
    "no rewards": (drop("rewards"), ["`rewards`", "missing"]),
    "no terminals": (drop("terminals"), ["`terminals`", "missing"]),
    "NaN observation": (put("observations", (7, 2), np.nan), ["`observations`", "nan", "row 7, column 2"]),
    "infinite reward": (put("rewards", 3, np.inf), ["`rewards`", "inf", "row 3"]),
    "NaN action": (put("actions", (5, 0), np.nan), ["`actions`", "nan", "row 5"]),
    "infinite next": (put("next_observations", (39, 1), -np.inf), ["`next_observations`", "-inf", "row 39"]),
    "several NaN": (put("rewards", slice(4, 9), np.nan), ["`rewards`", "row 4", "5 bad rows"]),
    "too large": (put("observations", (2, 0), 1e300, "f8"), ["`observations`", "inf", "row 2", "float32"]),
    "flat observations": (reshape("observations", ROWS), ["`observations`", "(40,)", "(N, d)"]),
    "images": (reshape("observations", (ROWS, 4, 4)), ["`observations`", "(40, 4, 4)", "(N, d)"]),
    "empty vectors": (lambda d: d.update(observations=np.zeros((ROWS, 0))), ["`observations`", "(40, 0)"]),
    "flat actions": (reshape("actions", ROWS), ["`actions`", "(40,)", "(N, d)"]),
    "wide rewards": (reshape("rewards", (ROWS, 2)), ["`rewards`", "(40, 2)", "(N, 1)"]),
    "scalar terminals": (lambda d: d.update(terminals=np.bool_(False)), ["`terminals`", "()", "(N,)"]),
    "short actions": (reshape("actions", (ROWS - 3, 1)), ["`actions`", "37 rows", "40", "row 37"]),
    "long next": (reshape("next_observations", (ROWS + 1, 3)), ["`next_observations`", "41 rows", "row 40"]),
    "narrow next": (reshape("next_observations", (ROWS, 2)), ["`next_observations`", "2 numbers", "has 3"]),
    "action too high": (put("actions", (11, 0), 1.01), ["`actions`", "1.01", "row 11", "[-1, 1]", "env="]),
    "action too low": (put("actions", (0, 0), -1.5), ["`actions`", "-1.5", "row 0", "[-1, 1]"]),
    "text rewards": (lambda d: d.update(rewards=np.full(ROWS, b"x")), ["`rewards`", "dtype", "float32"]),
    "complex": (lambda d: d.update(actions=np.full((ROWS, 1), 1j)), ["`actions`", "complex128", "float32"]),
    "flag of 2": (put("terminals", 6, 2, np.uint8), ["`terminals`", "holds 2", "row 6", "bool"]),
    "flag of one half": (put("timeouts", 8, 0.5, "f4"), ["`timeouts`", "0.5", "row 8"]),
    "NaN flag": (put("terminals", 9, np.nan, "f4"), ["`terminals`", "nan", "row 9"]),
    "no rows": (lambda d: d.update({k: v[:0] for k, v in d.items()}), ["`observations`", "no rows"]),
    "single steps": (single_steps, ["no transition", "next_observations"]),
}


def assert_told(error, *fragments):
    message = str(error.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message, message


def test_the_undamaged_data_loads(tmp_path):
    assert len(load(write(tmp_path / "data.hdf5", columns()), env=ENV).rewards) == ROWS


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_columns_are_refused(tmp_path, kind):
    change, fragments = DAMAGE[kind]
    data = columns()
    change(data)
    path = write(tmp_path / "data.hdf5", data)
    with pytest.raises(DataError) as error:
        load(path)
    assert_told(error, str(path), *fragments)
    if data.keys() >= REQUIRED:
        with pytest.raises(DataError) as error:
            Dataset.from_arrays(**data, name="mine")
        assert_told(error, "mine", *fragments)


def test_action_bounds_are_the_environments(tmp_path):
    data = columns()
    data["actions"][3] = 2.0
    path = write(tmp_path / "data.hdf5", data)
    assert load(path, env=ENV).actions[3] == 2.0
    data["actions"][[4, 30]] = -2.001
    with pytest.raises(DataError) as error:
        load(write(path, data), env=ENV)
    assert_told(error, "`actions`", "-2.001", "row 4, column 0", "2 bad rows", "[-2, 2]", ENV)


def test_rounding_beyond_a_bound_is_let_through(tmp_path):
    data = columns()
    data["actions"][3] = 1 + 5e-6
    assert load(write(tmp_path / "data.hdf5", data)).actions[3] > 1


@pytest.mark.parametrize(("key", "size"), [("observations", 3), ("actions", 1)])
def test_sizes_must_be_the_environments(tmp_path, key, size):
    data = columns()
    data |= {k: np.zeros((ROWS, size + 1), np.float32) for k in data if k.endswith(key)}
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", data), env=ENV)
    assert_told(error, f"`{key}`", f"{size + 1} numbers per row", ENV, f"has {size}")


def test_an_unknown_environment_names_the_nearest(tmp_path):
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", columns()), env="Pendulm-v1")
    assert_told(error, "'Pendulm-v1'", "Pendulum-v1")


def test_an_environment_with_discrete_actions_is_refused(tmp_path):
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", columns()), env="CartPole-v1")
    assert_told(error, "CartPole-v1", "Discrete(2)", "continuous")


def test_a_group_in_place_of_an_array_is_refused(tmp_path):
    data = columns()
    del data["rewards"]
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", data | {"rewards/dense": np.zeros(ROWS)}))
    assert_told(error, "`rewards`", "group")


def test_a_damaged_chunk_is_told_with_its_key(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    with h5py.File(path) as file:
        chunk = file["actions"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load(path)
    assert_told(error, str(path), "`actions`", "damaged")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = write(tmp_path / "data.hdf5", columns())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError) as error:
        load(path)
    assert_told(error, str(path), "damaged", "fetch it again")


def test_what_is_no_hdf5_file_is_refused(tmp_path):
    text = tmp_path / "text.hdf5"
    text.write_text("observations,actions\n")
    empty = tmp_path / "empty.h5"
    empty.touch()
    told = {text: "not an HDF5 file", empty: "empty", tmp_path: "a folder", tmp_path / "none.h5": "no file"}
    for path, reason in told.items():
        with pytest.raises(DataError) as error:
            load(path)
        assert_told(error, str(path), reason)


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
    assert_told(error, str(path), "Permission denied")


def test_random_damage_is_refused_or_harmless_but_never_another_error(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 8):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load(path)
        except DataError:
            refused += 1
    assert refused > 0


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
    ("kind", "found"),
    [
        ("external link", "an external link to /rewards in"),
        ("soft link through an external one", "an external link to / in"),
        ("external storage", "stored outside of the file"),
        ("virtual dataset", "a virtual dataset over"),
    ],
)
def test_nothing_outside_of_the_file_is_read(tmp_path, kind, found):
    write(tmp_path / "other.hdf5", columns())
    (tmp_path / "raw").write_bytes(bytes(4 * ROWS))
    data = columns()
    del data["rewards"]
    path = write(tmp_path / "data.hdf5", data)
    with h5py.File(path, "a") as file:
        store(file, kind, path)
    with pytest.raises(DataError) as error:
        load(path)
    assert_told(error, str(path), "`rewards`", found)


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


def test_a_bad_flag_in_a_column_is_named(tmp_path):
    data = columns()
    data["terminals"] = np.zeros((ROWS, 1))
    data["terminals"][10] = 2
    for make in (lambda: load(write(tmp_path / "data.hdf5", data)), lambda: Dataset.from_arrays(**data)):
        with pytest.raises(DataError, match="`terminals` holds 2 in row 10"):
            make()


@pytest.mark.parametrize(
    ("folder", "limit", "usage", "prefix"),
    [
        ("", "memory.max", "memory.current", ""),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ],
)
def test_memory_that_holds_pages_of_files_is_available(tmp_path, monkeypatch, folder, limit, usage, prefix):
    group = tmp_path / folder
    group.mkdir(exist_ok=True)
    (group / limit).write_text("5000\n")
    (group / usage).write_text("4900\n")
    (group / "memory.stat").write_text(f"anon 900\n{prefix}inactive_file 3000\n{prefix}active_file 400\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_memory() == 3500


def test_more_than_the_memory_is_refused_before_it_is_taken(tmp_path):
    data = columns()
    path = tmp_path / "data.hdf5"
    with h5py.File(path, "w") as file:
        for key, column in data.items():
            shape = (10**12, *column.shape[1:])
            file.create_dataset(key, shape, column.dtype, chunks=(ROWS, *shape[1:]))[:ROWS] = column
    with pytest.raises(DataError, match=r"needs about .* GB of memory .* are available"):
        load(path)


def test_arrays_that_were_never_written_are_refused(tmp_path):
    data = columns()
    del data["observations"]
    path = write(tmp_path / "data.hdf5", data)
    with h5py.File(path, "a") as file:
        file.create_dataset("observations", (ROWS, 3), "f4")
    with pytest.raises(DataError, match="`observations` declares 40 rows, and not all were ever written"):
        load(path)


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
    ("chunk", "told"),
    [((250_000_000, 3), "chunks of 3.0 GB"), ((ROWS, 3), "unpacks to more than the 480 bytes")],
)
def test_chunks_that_grow_are_refused(tmp_path, chunk, told):
    data = columns()
    del data["observations"]
    path = write(tmp_path / "data.hdf5", data)
    with h5py.File(path, "a") as file:
        options = {"chunks": chunk, "maxshape": (None, 3), "compression": "gzip"}
        stored = file.create_dataset("observations", (ROWS, 3), "f4", **options)
        stored.id.write_direct_chunk((0, 0), zlib.compress(bytes(10_000_000)))
    with pytest.raises(DataError, match=told):
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
    assert_told(error, "`rewards`", "damaged")


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
    ("content", "told"),
    [
        (b"PK\x03\x04", "np.load"),
        (b"PAR1", "Parquet"),
        (b"\x80\x04", "a pickle, which is never loaded"),
        (b"\x1f\x8b", "unpack it first"),
        (b"<!DOCTYPE html>", "web page"),
        (b"a,b\n1,2\n", "CSV"),
    ],
)
def test_other_formats_are_named(tmp_path, content, told):
    path = tmp_path / "data.hdf5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        load(path)


@pytest.mark.parametrize(
    ("key", "told"), [("episode_0", "Minari"), ("observations_0", "d3rlpy"), ("data/demo_0", "robomimic")]
)
def test_other_layouts_are_named(tmp_path, key, told):
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", {f"{key}/x": np.zeros(2)}))
    assert_told(error, told, "from_arrays")


def test_a_file_that_is_being_recorded_is_not_called_damaged(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as recorder:
        assert recorder.stdout.readline() == b"open\n"
        with pytest.raises(DataError) as error:
            load(path)
        recorder.stdin.close()
    assert_told(error, "locked", "HDF5_USE_FILE_LOCKING=FALSE")
    assert "damaged" not in str(error.value)


def test_names_from_a_file_are_escaped_and_shortened(tmp_path):
    data = columns()
    del data["rewards"]
    many = {f"key{i}": i for i in range(500)} | {"\x1b[2J" + "k" * 60_000: 1}
    path = write(tmp_path / "data.hdf5", data | many)
    with pytest.raises(DataError) as error:
        load(path)
    assert_told(error, "and 498 more", "\\x1b[2J")
    assert len(str(error.value)) < 1000
    assert str(error.value).isprintable()


def test_a_name_that_is_no_utf8_does_not_matter(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    with h5py.File(path, "a") as file:
        file.create_group(b"\xff\xfedone")
        file.attrs["env_id"] = h5py.Empty("S1")
    assert len(load(path)) == ROWS
