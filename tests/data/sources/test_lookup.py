"""Names of datasets and their sources: D4RL's, shipped ones, paths, and sources of a user's own."""

import importlib
import sys

import h5py
import numpy as np
import pytest

import cocoa
from cocoa.data import DatasetSource, load, normalized_score, register_source
from cocoa.data.sources import SOURCES, from_anywhere
from cocoa.data.sources.d4rl import D4RL, d4rl_cache
from cocoa.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("hoper-demo", "hopper-demo"),
        ("walker-medium-v2", "walker2d-medium-v2"),
        ("zzz", "hopper-demo"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(typed, nearest):
    with pytest.raises(DataError) as error:
        load(typed)
    assert repr(typed) in str(error.value)
    assert nearest in str(error.value)
    assert ".hdf5" in str(error.value)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("Hopper-v4", "give it as env=Hopper-v4. Datasets of it: hopper-demo, hopper-expert-v2, "),
        ("gymnasium:Hopper-v5", "env=gymnasium:Hopper-v5. Datasets of it: hopper-"),
        ("D4RL/antmaze-medium-play-v2", "medium-play-v2. Datasets of it: antmaze-medium-play-v2"),
        ("AdroitHandNothing-v1", "an environment: give it as env=AdroitHandNothing-v1."),
        ("mujoco/hopper/medium-v0", "Minari: write minari:mujoco/hopper/medium-v0."),
        ("D4RL/antmaze/umaze-v1", "Minari: write minari:D4RL/antmaze/umaze-v1."),
        ("cube-single-play-singletask-v0", "Write ogbench:cube-single-play-singletask-v0."),
        ("antmaze-medium-navigate-v0", "write ogbench:antmaze-medium-navigate-singletask-v0."),
        ("carla-lane-v0", "one of D4RL's that are not read here"),
        ("maze2d-open-v0", "one of D4RL's that are not read here"),
        ("Hopper_Medium_v2", "Write hopper-medium-v2."),
        ("halfcheetah_medium_v2", "Write halfcheetah-medium-v2."),
        ("hopper-medium", "Write hopper-medium-v2 or hopper-medium-v1 or hopper-medium-v0."),
        ("hopper-medium-v3", "Write hopper-medium-v2 or hopper-medium-v1 or hopper-medium-v0."),
    ],
)
def test_a_name_that_looks_like_something_else_is_told_what(typed, answer):
    with pytest.raises(DataError) as error:
        load(typed)
    assert repr(typed) in str(error.value)
    assert answer in str(error.value)


def test_a_file_is_read_whatever_its_path_looks_like(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mujoco/hopper").mkdir(parents=True)
    path = tmp_path / "mujoco/hopper/medium-v0"
    with h5py.File(path, "w") as file:
        for key, shape in {"observations": (9, 2), "actions": (9, 1), "rewards": 9, "terminals": 9}.items():
            file[key] = np.zeros(shape, np.float32)
        file["timeouts"] = np.arange(9) % 3 == 2
    assert load("mujoco/hopper/medium-v0").name == "medium-v0"


def test_tasks_are_d4rls():
    # From D4RL's own table; irregular names included.
    expected = {
        "hopper-medium-v2": "gym_mujoco_v2/hopper_medium-v2.hdf5",
        "walker2d-medium-expert-v2": "gym_mujoco_v2/walker2d_medium_expert-v2.hdf5",
        "ant-full-replay-v2": "gym_mujoco_v2/ant_full_replay-v2.hdf5",
        "walker2d-medium-replay-v0": "gym_mujoco/walker_mixed.hdf5",
        "hopper-medium-replay-v0": "gym_mujoco/hopper_mixed.hdf5",
        "halfcheetah-medium-expert-v0": "gym_mujoco/halfcheetah_medium_expert.hdf5",
        "pen-human-v0": "hand_dapg/pen-v0_demos_clipped.hdf5",
        "door-cloned-v0": "hand_dapg/door-demos-v0-bc-combined.hdf5",
        "relocate-expert-v1": "hand_dapg_v1/relocate-expert-v1.hdf5",
        "antmaze-umaze-v0": "ant_maze_new/Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse.hdf5",
        "antmaze-large-play-v2": (
            "ant_maze_v2/Ant_maze_hardest-maze_noisy_multistart_True_multigoal_False_sparse_fixed.hdf5"
        ),
        "maze2d-umaze-v1": "maze2d/maze2d-umaze-sparse-v1.hdf5",
        "maze2d-large-dense-v1": "maze2d/maze2d-large-dense-v1.hdf5",
        "kitchen-complete-v0": "kitchen/mini_kitchen_microwave_kettle_light_slider-v0.hdf5",
    }
    assert {name: D4RL[name].path for name in expected} == expected
    locomotion = 4 * (5 * 3 + 2)
    assert len(D4RL) == locomotion + 4 * 3 * 2 + 6 * 2 + 6 + 3
    assert len({task.path for task in D4RL.values()}) == len(D4RL)


def test_the_cache_is_d4rls_own(tmp_path, monkeypatch):
    monkeypatch.delenv("D4RL_DATASET_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert d4rl_cache() == tmp_path / ".d4rl" / "datasets"
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "elsewhere"))
    assert d4rl_cache() == tmp_path / "elsewhere"


def test_a_folder_that_is_called_like_a_dataset_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hopper-demo").mkdir()
    assert from_anywhere("hopper-demo") == "hopper-demo"
    assert load("hopper-demo").name == "hopper-demo"
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="neither a known name nor a file"):
        load("mine")
    assert from_anywhere("own.hdf5") == str(tmp_path / "own.hdf5")


def test_without_a_home_directory_the_message_says_what_to_set(monkeypatch):
    monkeypatch.setenv("D4RL_DATASET_DIR", "~no-such-user/datasets")
    for name, dataset in (("D4RL_DATASET_DIR", "hopper-medium-v2"), ("dataset", "~no-such-user/own.hdf5")):
        with pytest.raises(ConfigError, match=f"{name}=~no-such-user/.* no such home folder"):
            load(dataset)


LAB = """
import numpy as np
import cocoa

@cocoa.register_source("lab:")
class Lab(cocoa.DatasetSource):
    def names(self):
        return ["lab:pendulum"]

    def read(self, name, env):
        if name not in self.names():
            raise cocoa.DataError(f"The lab has no {name}.")
        rng = np.random.default_rng(0)
        return cocoa.Dataset.from_arrays(
            observations=rng.normal(size=(400, 3)),
            actions=rng.uniform(-2, 2, (400, 1)),
            rewards=rng.normal(size=400),
            terminals=np.zeros(400),
            timeouts=np.arange(400) % 100 == 99,
            env=env or "Pendulum-v1",
            name=name,
        )

    def reference_returns(self, name):
        return -1000.0, 0.0
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A user's package that registers a source; it is forgotten after the test."""
    (tmp_path / "lab_package.py").write_text(LAB)
    monkeypatch.syspath_prepend(tmp_path)
    registered = list(SOURCES)
    yield lambda: importlib.import_module("lab_package")
    SOURCES[:] = registered
    sys.modules.pop("lab_package", None)


def test_a_source_of_a_users_package_is_registered_by_a_decorator(lab):
    with pytest.raises(DataError, match=r"No source .* 'lab:pendulum'\. Import the module"):
        load("lab:pendulum")
    lab()
    dataset = load("lab:pendulum")
    assert (dataset.name, dataset.env, len(dataset)) == ("lab:pendulum", "Pendulum-v1", 396)
    assert from_anywhere("lab:pendulum") == "lab:pendulum"
    assert normalized_score("lab:pendulum", -500.0) == 50.0
    with pytest.raises(DataError, match="The lab has no lab:other"):
        load("lab:other")
    with pytest.raises(DataError, match=r"Write lab:pendulum\."):
        load("pendulum")


def test_a_source_that_is_defined_again_replaces_the_former_one(lab):
    first = lab()
    count = len(SOURCES)
    importlib.reload(first)
    assert len(SOURCES) == count


def test_a_prefix_belongs_to_one_source(lab):
    lab()

    class Other(DatasetSource):
        def read(self, name, env):
            raise NotImplementedError

    with pytest.raises(ValueError, match="'lab:' is already taken by Lab"):
        register_source("lab:")(Other)
    for prefix in ("lab", "la b:", ":", "a:b:"):
        with pytest.raises(ValueError, match="a colon"):
            register_source(prefix)


def test_a_run_on_data_of_a_users_source_is_resumed_by_its_name(lab, tmp_path):
    lab()
    settings = dict(
        eval_episodes=0, eval_every=10, log_every=5, batch_size=8, runs_dir=str(tmp_path / "runs")
    )
    policy = cocoa.fit(cocoa.BC(hidden=(8,)), "lab:pendulum", updates=10, **settings)
    assert policy.folder.parent.parent.name == "lab_pendulum"
    assert cocoa.resume(policy.folder, updates=20).folder == policy.folder


def test_a_file_may_have_a_colon_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("a:b.hdf5", "w") as file:
        for key, shape in {"observations": (9, 2), "actions": (9, 1), "rewards": 9, "terminals": 9}.items():
            file[key] = np.zeros(shape, np.float32)
        file["timeouts"] = np.arange(9) % 3 == 2
    assert load("a:b.hdf5").name == "a:b"
    assert from_anywhere("a:b.hdf5") == str(tmp_path / "a:b.hdf5")
