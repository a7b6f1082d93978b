"""Ends of episodes under the names that recorders give them."""

import numpy as np
import pytest
from support.columns import messages_of, recording, write

from cocoa.data import Dataset, load
from cocoa.errors import DataError


@pytest.mark.parametrize("name", ["truncations", "truncated", "timeout"])
def test_time_limits_under_other_names_are_read(tmp_path, name):
    columns = recording()
    expected = Dataset.from_arrays(**columns)
    columns[name] = columns.pop("timeouts")
    columns["terminations"] = columns.pop("terminals")
    dataset = load(write(tmp_path / "data.hdf5", columns))
    assert dataset.episodes.tolist() == expected.episodes.tolist()
    assert dataset.terminals.tolist() == expected.terminals.tolist()


def test_names_of_one_meaning_must_agree(tmp_path):
    columns = recording()
    expected = Dataset.from_arrays(**columns)
    dataset = Dataset.from_arrays(**columns, truncations=columns["timeouts"])
    assert dataset.episodes.tolist() == expected.episodes.tolist()
    columns["truncations"] = np.zeros(6, bool)
    with pytest.raises(
        DataError, match="`timeouts` and `truncations` mean the same but differ, first in row 5"
    ):
        Dataset.from_arrays(**columns)
    with pytest.raises(DataError, match="mean the same but differ"):
        load(write(tmp_path / "data.hdf5", columns))


def test_dones_complete_what_the_other_flags_leave_out(tmp_path):
    columns = recording()
    expected = Dataset.from_arrays(**columns)
    dones = columns["terminals"] | columns["timeouts"]
    for left_out in ("terminals", "timeouts"):
        rest = {key: column for key, column in columns.items() if key != left_out}
        dataset = load(write(tmp_path / "data.hdf5", rest | {"dones": dones}))
        assert dataset.terminals.tolist() == expected.terminals.tolist()
        assert dataset.episodes.tolist() == expected.episodes.tolist()
    rest = {key: column for key, column in columns.items() if key not in ("terminals", "timeouts")}
    path = write(tmp_path / "data.hdf5", rest | {"dones": dones})
    dataset, messages = messages_of(lambda: load(path))
    assert dataset.terminals.sum() == 2
    assert "marks ends of episodes by `dones` alone" in messages


def test_flags_that_look_like_ends_and_are_not_read_are_named(tmp_path):
    columns = recording(timeouts=np.zeros(6, bool))
    path = write(tmp_path / "data.hdf5", columns | {"is_last": np.arange(6) == 4, "other": np.arange(6)})
    assert "is_last may mark ends" in messages_of(lambda: load(path))[1]
    columns = recording()
    path = write(tmp_path / "data.hdf5", columns | {"is_last": columns["terminals"] | columns["timeouts"]})
    assert "is_last" not in messages_of(lambda: load(path))[1]


def test_one_done_for_both_ends_is_told():
    ends = np.arange(6) % 3 == 2
    _, messages = messages_of(lambda: Dataset.from_arrays(**recording(terminals=ends, timeouts=ends)))
    assert "all 2 timeouts are terminals" in messages
    ends = np.arange(12) % 3 == 2
    _, messages = messages_of(
        lambda: Dataset.from_arrays(**recording(12, terminals=ends, timeouts=np.zeros(12, bool)))
    )
    assert "4 of 4 terminals are step 3 of an episode" in messages
