"""What does not fit into memory is refused before it is read."""

import h5py
import pytest
from support.columns import ROWS, columns

from cocoa.data import load, memory
from cocoa.errors import DataError


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
