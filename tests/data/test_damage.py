"""Files of any bytes and any structure: each loads, or is refused with one sentence."""

import os
import subprocess
import sys

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from support.columns import ROWS, columns
from support.damage import check
from support.paths import ROOT, TESTS

SHAPES = st.sampled_from(
    [
        (),
        (0,),
        (1,),
        (ROWS,),
        (ROWS, 1),
        (ROWS, 3),
        (ROWS, 0),
        (ROWS, 2, 2),
        (ROWS - 1, 3),
        (2**20,),
        (1,) * 32,
    ]
)
TYPES = st.sampled_from(
    ["f2", "f4", ">f8", "g", "i1", ">i4", "u8", "?", "c8", "S3", "V5", [("x", "f4"), ("y", "i2")], "M8[s]"]
)
VALUES = st.sampled_from([0, 1, -1, 2, 1e30, np.nan, np.inf, 255])
SPECIAL = st.sampled_from(
    [
        *("text", "texts", "ragged", "reference", "enum", "null", "group", "type", "loop", "hard loop"),
        *("to nowhere", "external", "virtual", "huge", "bits", "float of 3 bytes", "opaque", "array"),
        *("unwritten", "compact"),
    ]
)


@st.composite
def arrays(draw):
    """An array of any type and shape, with the same number everywhere."""
    shape, dtype, value = draw(SHAPES), np.dtype(draw(TYPES)), draw(VALUES)
    array = np.zeros(shape, dtype)
    if dtype.kind in "fiubc":
        with np.errstate(all="ignore"):
            array[...] = np.array(value).astype(dtype)
    return array


def put(file, key, item):
    """Store an array or something special under a key."""
    if isinstance(item, np.ndarray):
        if item.dtype.kind == "M":
            file.create_dataset(key, data=item.astype(h5py.opaque_dtype(item.dtype)))
        else:
            file.create_dataset(key, data=item)
    elif item in ("loop", "to nowhere"):
        file[key] = h5py.SoftLink(f"/{key}" if item == "loop" else "/nothing/here")
    elif item in ("hard loop", "group", "type"):
        file[key] = {"hard loop": file["/"], "group": file.require_group("inner"), "type": np.dtype("f4")}[
            item
        ]
    elif item == "external":
        file[key] = h5py.ExternalLink("other.hdf5", "/x")
    elif item == "virtual":
        layout = h5py.VirtualLayout((ROWS,), "f4")
        layout[:] = h5py.VirtualSource("other.hdf5", "x", (ROWS,))
        file.create_virtual_dataset(key, layout)
    elif item in ("bits", "float of 3 bytes"):
        kind = (h5py.h5t.STD_I32LE if item == "bits" else h5py.h5t.IEEE_F32LE).copy()
        kind.set_precision(24) if item == "bits" else kind.set_fields(23, 17, 5, 0, 17)
        h5py.h5d.create(file.id, key.encode(), kind, h5py.h5s.create_simple((ROWS,))).write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(ROWS, "i4" if item == "bits" else "f4")
        )
    elif item == "compact":
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((ROWS,))
        h5py.h5d.create(file.id, key.encode(), h5py.h5t.IEEE_F32LE, space, properties)
    else:
        file.create_dataset(key, **_special(file, item))


def _special(file, item):
    return {
        "text": lambda: {"data": "text"},
        "texts": lambda: {"data": ["a", "b"] * (ROWS // 2), "dtype": h5py.string_dtype()},
        "ragged": lambda: {"shape": (ROWS,), "dtype": h5py.vlen_dtype("f4")},
        "reference": lambda: {"data": [file.ref] * ROWS, "dtype": h5py.ref_dtype},
        "enum": lambda: {"data": np.zeros(ROWS, h5py.enum_dtype({"no": 0, "maybe": 7}, basetype="i2"))},
        "null": lambda: {"data": h5py.Empty("f4")},
        "huge": lambda: {"shape": (2**50, 3), "dtype": "f4", "chunks": (2**10, 3), "compression": "gzip"},
        "opaque": lambda: {"data": np.zeros(ROWS, "V7")},
        "array": lambda: {"shape": (ROWS,), "dtype": np.dtype("(3,)f4")},
        "unwritten": lambda: {"shape": (ROWS, 3), "dtype": "f4", "fillvalue": np.nan},
    }[item]()


KEYS = st.sampled_from([*columns(), "dones", "masks", "episode_starts", "terminated", "infos"])


@given(changes=st.dictionaries(KEYS, arrays() | SPECIAL, min_size=1, max_size=3))
@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.filterwarnings("ignore")
def test_an_hdf5_file_of_any_structure_loads_or_is_refused(changes, tmp_path):
    path = tmp_path / "data.hdf5"
    with h5py.File(path, "w") as file:
        for key, item in (columns() | changes).items():
            put(file, key, item)
    check(path)


@given(changes=st.dictionaries(KEYS, arrays(), min_size=1, max_size=3))
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.filterwarnings("ignore")
def test_an_archive_of_any_arrays_loads_or_is_refused(changes, tmp_path):
    np.savez(tmp_path / "data.npz", **columns() | changes)
    check(tmp_path / "data.npz")


@pytest.mark.parametrize("item", SPECIAL.elements)
def test_what_is_no_array_of_numbers_is_refused(tmp_path, item):
    if item in ("float of 3 bytes", "bits", "compact", "enum"):
        pytest.skip("numbers all the same")
    data = columns()
    del data["rewards"]
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        for key, column in data.items():
            put(file, key, column)
        put(file, "rewards", item)
    assert check(tmp_path / "data.hdf5")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is bounded as on Linux")
def test_damaged_bytes_neither_crash_nor_hang_nor_take_memory():
    """`python -m support.damage 100000` tries more."""
    command = [sys.executable, "-m", "support.damage", "500"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    refused = int(done.stdout.split()[0])
    assert 100 < refused < 500
