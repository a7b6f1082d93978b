"""Finished runs that are trained further, and folders of datasets of one name."""

import numpy as np
import pytest

import cocoa
from cocoa.errors import ConfigError
from cocoa.runs import launch
from cocoa.runs.folder import read_config
from cocoa.runs.summary import read_summary

SETTINGS = {
    **{"updates": 20, "log_every": 10, "eval_every": 20, "eval_episodes": 0, "cache_dir": None},
}


def train(algorithm, folder, **fields):
    return cocoa.fit(algorithm, "hopper-demo", runs_dir=str(folder), **SETTINGS | fields)


def test_a_finished_run_is_trained_further(tmp_path):
    algorithm = cocoa.IQL(hidden=(8,), cosine_schedule=False)
    folder = train(algorithm, tmp_path, name="one", eval_every=10).folder
    with pytest.raises(ConfigError, match="has done 20 updates already"):
        cocoa.resume(folder, updates=10)
    assert read_summary(folder)["status"] == "finished"
    longer = cocoa.resume(folder, updates=40)
    whole = train(algorithm, tmp_path / "whole", updates=40, eval_every=10)
    assert read_config(folder).updates == read_summary(folder)["updates"] == 40
    assert (folder / "metrics.csv").read_bytes() == (whole.folder / "metrics.csv").read_bytes()
    np.testing.assert_array_equal(longer(np.ones(11)), whole(np.ones(11)))


def test_a_finished_run_that_is_killed_as_its_extension_begins_is_not_finished(tmp_path, monkeypatch):
    class Killed(BaseException):
        """Stands for SIGKILL."""

    def kill(*args):
        raise Killed

    algorithm = cocoa.IQL(hidden=(8,), cosine_schedule=False)
    folder = train(algorithm, tmp_path, name="one", eval_every=10).folder
    with monkeypatch.context() as patch:
        patch.setattr(launch, "Experiment", kill)
        patch.setattr(launch.Record, "close", lambda record, status: record.close_files())
        with pytest.raises(Killed):
            cocoa.resume(folder, updates=40)
    assert read_summary(folder)["status"] == "running"
    cocoa.resume(folder)
    assert read_summary(folder)["status"] == "finished"
    assert read_summary(folder)["step"] == 40


def test_datasets_of_one_name_have_folders_of_their_own(tmp_path):
    def dataset(scale, name="main_data"):
        rows = np.arange(20, dtype=np.float32)
        return cocoa.Dataset.from_arrays(
            observations=rows[:, None],
            actions=np.zeros((20, 1)),
            rewards=scale * rows,
            terminals=rows % 10 == 9,
            timeouts=np.zeros(20),
            name=name,
        )

    def folder(scale, name="main_data", **fields):
        policy = cocoa.fit(
            cocoa.BC(hidden=(8,)), dataset(scale, name), runs_dir=str(tmp_path / "runs"), **SETTINGS | fields
        )
        return policy.folder

    first, second, again = folder(1), folder(2), folder(1)
    assert first.parents[1] == again.parents[1] == tmp_path / "runs" / "main_data"
    assert second.parents[1].name.startswith("main_data-")
    for name in ("..", "../../up", "a/b", "\x1b[2J", "..hdf5"):
        made = folder(3, name)
        assert made.parents[2] == tmp_path / "runs"
        assert made.parents[1].name.isprintable()
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
