"""The dataset of a run: what is impossible is said before anything is downloaded."""

from dataclasses import replace

import pytest
from support.file_server import serving

import cocoa
from cocoa.config.schema import Config
from cocoa.data.sources import SOURCES
from cocoa.data.sources.d4rl import D4RL
from cocoa.environments.d4rl import ENVIRONMENTS, D4RLEnvironment
from cocoa.errors import DataError, RunError
from cocoa.extras import EXTRAS
from cocoa.runs import launch
from cocoa.runs.loading import differences
from cocoa.runs.summary import read_summary

NAME, ENV = "maze2d-umaze-v1", "D4RL/of-a-test-v0"
"""A dataset of which no checksum is known, and the environment that it gets here."""


@pytest.fixture
def server(tmp_path, monkeypatch, recording):
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    with serving(recording.read_bytes()) as state:
        monkeypatch.setenv("COCOA_D4RL_MIRRORS", state.url)
        yield state


@pytest.fixture
def without_robotics(monkeypatch):
    """The extra `robotics` is of a package that is not installed, and the dataset's environment needs it."""
    monkeypatch.setitem(EXTRAS, "robotics", ("no_such_package",))
    environment = D4RLEnvironment(ENV, "no_such_package:Maze", 300, "maze2d-umaze", differences="None.")
    monkeypatch.setitem(ENVIRONMENTS, ENV, environment)
    monkeypatch.setitem(D4RL, NAME, replace(D4RL[NAME], env=ENV))


def config(tmp_path, **fields):
    values = {"dataset": NAME, "updates": 4, "log_every": 2, "eval_every": 4, "batch_size": 8, **fields}
    folders = {"runs_dir": str(tmp_path / "runs"), "cache_dir": str(tmp_path / "cache")}
    return Config(cocoa.BC(hidden=(8,)), wandb="off", **values, **folders)


def test_a_missing_extra_of_the_datasets_environment(server, without_robotics, tmp_path):
    with pytest.raises(DataError, match=f'^Environment {ENV} needs the extra "robotics"'):
        launch.run(config(tmp_path))
    assert server.requests == []


def test_without_evaluation_it_trains_and_the_extra_is_named(server, without_robotics, tmp_path, capsys):
    folder = launch.run(config(tmp_path, eval_episodes=0))
    assert len(server.requests) == 1
    (file,) = read_summary(folder)["dataset_files"]
    assert file["url"] == server.url + "maze2d-umaze-sparse-v1.hdf5"
    assert file["sha256"] == read_summary(folder)["dataset_sha256"]
    assert f"{NAME} is read as data without an environment" in capsys.readouterr().err
    assert 'needs the extra "robotics"' in (folder / "log.txt").read_text()


def test_a_missing_extra_of_the_package_that_env_names(server, monkeypatch, tmp_path):
    monkeypatch.setitem(EXTRAS, "of-a-test", ("no_such_package",))
    with pytest.raises(DataError, match=r'^Environment no_such_package:Maze-v1 needs the extra "of-a-test"'):
        launch.run(config(tmp_path, env="no_such_package:Maze-v1"))
    assert server.requests == []


@pytest.mark.parametrize(
    ("env", "error", "reason"),
    [
        ("Hoper-v4", DataError, "nearest ids are Hopper-v4"),
        ("no_such_module:Maze-v0", RunError, "cannot be imported"),
        ("CartPole-v1", DataError, "must be vectors of continuous numbers"),
    ],
)
@pytest.mark.parametrize("episodes", [0, 1])
def test_an_environment_that_cannot_evaluate(server, env, error, reason, episodes, tmp_path):
    with pytest.raises(error, match=reason):
        launch.run(config(tmp_path, env=env, eval_episodes=episodes))
    assert server.requests == []


def test_a_missing_extra_of_the_source(monkeypatch, tmp_path):
    class Lab(cocoa.DatasetSource):
        def info(self, name):
            return cocoa.DatasetInfo(name, extra="robotics")

        def read(self, name, env):
            raise AssertionError("it was read")

    monkeypatch.setitem(EXTRAS, "robotics", ("no_such_package",))
    registered = list(SOURCES)
    cocoa.register_source("lab:")(Lab)
    try:
        with pytest.raises(DataError, match=r'^Dataset lab:maze needs the extra "robotics"'):
            launch.run(config(tmp_path, dataset="lab:maze", eval_episodes=0))
    finally:
        SOURCES[:] = registered


def test_what_an_environment_does_otherwise_is_said_once(tmp_path, monkeypatch):
    said = "Episodes end earlier."
    monkeypatch.setitem(
        ENVIRONMENTS, "Hopper-v4", D4RLEnvironment("Hopper-v4", "", 1000, "Hopper", differences=said)
    )
    short = config(tmp_path, dataset="hopper-demo", eval_episodes=1)
    folder = launch.run(short)
    launch.resume(folder, updates=8)
    assert (folder / "log.txt").read_text().count(said) == 1
    assert differences(replace(short, eval_episodes=0, env="Hopper-v4")) == []
    assert differences(replace(short, env="Hopper-v5")) == []
