"""Normalized scores: D4RL's references, by environment and by dataset."""

import gymnasium
import h5py
import numpy as np
import pytest

from cocoa.data import normalized_score
from cocoa.data.reference import REFERENCE_RETURNS
from cocoa.data.sources.d4rl import D4RL
from cocoa.data.sources.shipped import SHIPPED
from cocoa.environments.d4rl import ENVIRONMENTS


@pytest.mark.parametrize(
    ("env", "random", "expert"),
    [
        ("Hopper-v4", -20.272305, 3234.3),
        ("Hopper-v5", -20.272305, 3234.3),
        ("gymnasium_robotics:AdroitHandPen-v1", 96.262799, 3076.8331017826877),
        ("hopper-medium-replay-v2", -20.272305, 3234.3),
        ("hopper-demo", -20.272305, 3234.3),
        ("HalfCheetah-v4", -280.178953, 12135.0),
        ("Walker2d-v4", 1.629008, 4592.3),
        ("ant-expert-v2", -325.6, 3879.7),
        ("pen-human-v1", 96.262799, 3076.8331017826877),
        ("antmaze-large-diverse-v2", 0.0, 1.0),
        ("maze2d-umaze-v1", 23.85, 161.86),
        ("maze2d-umaze-dense-v1", 68.537689, 193.66285642381482),
        ("kitchen-mixed-v0", 0.0, 4.0),
    ],
)
def test_normalized_scores_are_d4rls_in_percent(env, random, expert):
    assert normalized_score(env, random) == pytest.approx(0, abs=1e-9)
    assert normalized_score(env, expert) == pytest.approx(100)
    assert normalized_score(env, random + 0.3 * (expert - random)) == pytest.approx(30)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_environments_rebuilt_from_d4rl_have_its_references(env):
    low, high = REFERENCE_RETURNS[ENVIRONMENTS[env].family]
    assert normalized_score(env, high) == normalized_score(f"cocoa.environments:{env}", high)
    assert normalized_score(env, high) == pytest.approx(100)
    assert normalized_score(env, low) == 0


@pytest.mark.parametrize(
    "env",
    [
        "AntMaze_UMaze-v5",
        "gymnasium_robotics:AntMaze_UMaze-v5",
        "gymnasium_robotics:PointMaze_UMaze-v3",
        "gymnasium_robotics:FrankaKitchen-v1",
        "gymnasium_robotics:AdroitHandPenSparse-v1",
        "D4RL/nothing-v0",
        "other/Hopper-v4",
    ],
)
def test_an_environment_with_other_rewards_or_ends_has_no_reference(env):
    assert normalized_score(env, 1.0) is None


@pytest.mark.parametrize("env", [None, "Pendulum-v1", "HopperHard-v0", "nothing"])
def test_without_a_reference_there_is_no_score(env):
    assert normalized_score(env, 1.0) is None


def test_what_is_shipped_has_a_reference():
    assert all(normalized_score(name, 1.0) is not None for name in SHIPPED)


def test_every_task_has_a_reference_and_an_environment():
    for task in D4RL.values():
        assert task.family in REFERENCE_RETURNS
        assert task.env in gymnasium.registry
        environment = ENVIRONMENTS[task.env]
        assert (environment.family, environment.time_limit) == (task.family, task.time_limit)
    assert {task.env for task in D4RL.values()} == set(ENVIRONMENTS)


def test_a_file_with_reference_returns_of_its_own_is_scored_by_them(tmp_path):
    path = tmp_path / "Hopper-v4-medium.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["reference_returns"] = np.array([-10.0, 30.0])
    assert normalized_score(str(path), 20.0) == pytest.approx(75)
    assert normalized_score("Hopper-v4", 20.0, (-10.0, 30.0)) == pytest.approx(75)
    assert normalized_score(None, 20.0, (-10.0, 30.0)) == pytest.approx(75)


@pytest.mark.parametrize("returns", [[1.0], [2.0, 2.0], [3.0, 2.0], [np.nan, 1.0], "ten", None])
def test_reference_returns_that_make_no_sense_are_not_used(tmp_path, returns):
    path = tmp_path / "set.hdf5"
    with h5py.File(path, "w") as file:
        if returns is not None:
            file.attrs["reference_returns"] = returns
    assert normalized_score(str(path), 20.0) is None


def test_a_file_that_cannot_be_read_has_no_reference_returns(tmp_path):
    (tmp_path / "set.hdf5").write_bytes(b"not HDF5")
    assert normalized_score(str(tmp_path / "set.hdf5"), 20.0) is None
