"""A run whose dataset has moved goes on with the same bytes under another path, and with no others."""

import dataclasses
import os
import shutil
from pathlib import Path

import h5py
import pytest
from support.pendulum import ENV, assert_same_run, interrupt

import cocoa
from cocoa.cli import main
from cocoa.errors import DataError, RunError
from cocoa.runs import launch, loading
from cocoa.runs.folder import read_config
from cocoa.runs.summary import read_summary


@pytest.fixture(scope="module")
def plain(config):
    return dataclasses.replace(config, algo=cocoa.BC(hidden=(8,)), cocoa=None, seeds=(3,))


@pytest.fixture(scope="module")
def whole(plain):
    return launch.run(dataclasses.replace(plain, name="whole"))


@pytest.fixture
def moved(plain, recording, whole, tmp_path, monkeypatch):
    """The folder of a run that was cut, whose dataset is in `tmp_path`/new now."""
    old = Path(shutil.copy(recording, tmp_path / "old.hdf5"))
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            launch.run(dataclasses.replace(plain, dataset=str(old), runs_dir=str(tmp_path), name="cut"))
    (tmp_path / "new").mkdir()
    old.rename(tmp_path / "new" / "my data.hdf5")
    return tmp_path / "old" / "bc" / "cut"


def test_the_message_says_how_to_name_the_new_place(moved):
    with pytest.raises(DataError, match=r"If the file has moved.*dataset=<its path>"):
        launch.resume(moved)


@pytest.mark.parametrize("way", ["command line", "python"])
def test_it_goes_on_with_the_same_bytes_from_there_on(way, moved, whole, tmp_path, monkeypatch):
    before = read_config(moved)
    monkeypatch.chdir(tmp_path / "new")
    if way == "python":
        cocoa.resume(moved, Path("my data.hdf5"), devices=1)
    else:
        assert main([f"resume={moved}", "dataset='my data.hdf5'", "devices=1"]) == 0
    assert_same_run(moved, whole)
    assert read_summary(moved)["status"] == "finished"
    expected = os.path.join(os.getcwd(), "my data.hdf5")
    assert read_config(moved) == dataclasses.replace(before, dataset=expected)


def test_other_bytes_are_refused_and_the_run_stays_as_it_was(moved, tmp_path):
    before = read_config(moved)
    with h5py.File(tmp_path / "new" / "my data.hdf5", "r+") as file:
        file["rewards"][0] += 1
    with pytest.raises(RunError, match=r"has changed since: its SHA-256 is"):
        launch.resume(moved, tmp_path / "new" / "my data.hdf5")
    assert read_config(moved) == before


def test_the_same_bytes_read_as_other_episodes_are_refused(moved, tmp_path, monkeypatch):
    path, before = tmp_path / "new" / "my data.hdf5", read_config(moved)
    other = dataclasses.replace(
        cocoa.load(path, ENV),
        episode_returns=cocoa.load(path, ENV).episode_returns + 1,
        source_sha256=cocoa.load(path, ENV).sha256,
    )
    monkeypatch.setattr(loading, "load", lambda *args: other)
    monkeypatch.setattr(launch, "Record", lambda *args: pytest.fail("opened"))
    with pytest.raises(RunError, match=r"read as other episodes. Name it as before"):
        launch.resume(moved, path)
    assert read_config(moved) == before
