"""D4RL's mazes for the ant: their numbers, goals, rewards and ends."""

import numpy as np
import pytest
from support.recorded import assert_as_in_mujoco_2_1, assert_replayed, d4rl_file

import cocoa
from cocoa.data.sources.d4rl import D4RL
from cocoa.environments.d4rl import ENVIRONMENTS
from cocoa.environments.spaces import make_environment, spaces

MAZES = {  # the time limit, and the middle of the goal's cell, 4 m a cell from the start at (0, 0)
    "umaze": (700, (0, 8)),
    "umaze-diverse": (700, (0, 8)),
    "medium-play": (1000, (20, 20)),
    "medium-diverse": (1000, (20, 20)),
    "large-play": (1000, (32, 24)),
    "large-diverse": (1000, (32, 24)),
}
UMAZE = "D4RL/antmaze-umaze-v2"


def test_each_dataset_has_its_environment():
    names = {f"antmaze-{maze}-{version}" for maze in MAZES for version in ("v0", "v2")}
    assert {name: D4RL[name].env for name in names} == {name: f"D4RL/{name}" for name in names}
    for name in names:
        assert ("one goal for each process" in ENVIRONMENTS[f"D4RL/{name}"].differences) == name.endswith(
            "v0"
        )


@pytest.mark.parametrize("maze", MAZES)
def test_sizes_limits_and_goals_are_those_of_d4rl(maze):
    name = f"D4RL/antmaze-{maze}-v2"
    time_limit, cell = MAZES[maze]
    known = spaces(name)
    assert (known.observation_dim, known.time_limit) == (29, time_limit)
    assert known.action_high.tolist() == [1.0] * 8
    env = make_environment(name)
    goals = np.array([env.reset(seed=seed) and env.unwrapped.goal for seed in range(300)]) - cell
    assert goals.min() >= 0
    assert 1.3 < goals.max() <= 1.5
    np.testing.assert_allclose(goals.mean(axis=0), 0.75, atol=0.06)
    assert cocoa.normalized_score(name, 0.5) == 50


def test_the_body_is_d4rls():
    env = make_environment(UMAZE).unwrapped
    assert env.model.actuator_gear[:, 0].tolist() == [30] * 8
    assert env.dt == pytest.approx(0.1)
    starts = np.array([env.reset(seed=seed)[0] for seed in range(50)])
    assert np.abs(starts[:, :2]).max() < 0.1
    assert np.abs(starts[:, 2] - 0.75).max() < 0.1


@pytest.mark.parametrize(
    ("name", "maze"), [("umaze", "umaze"), ("medium", "medium-play"), ("large", "large-play")]
)
def test_it_moves_as_in_mujoco_2_1(name, maze):
    assert_as_in_mujoco_2_1(f"D4RL/antmaze-{maze}-v2", f"antmaze-{name}")


def test_a_recorded_file_is_replayed():
    assert_replayed(UMAZE, d4rl_file(UMAZE, 150))


@pytest.mark.parametrize(("distance", "reward"), [(0.0, 1.0), (0.49, 1.0), (0.51, 0.0), (4.0, 0.0)])
def test_the_reward_is_one_within_half_a_metre_of_the_goal_and_ends_the_episode(distance, reward):
    env = make_environment(UMAZE)
    env.reset(seed=0)
    body = env.unwrapped
    body.set_state(np.r_[0, 8, body.init_qpos[2:]], np.zeros(14))
    body.goal = body.data.qpos[:2] + np.array([0, distance])
    _, received, terminated, truncated, info = env.step(np.zeros(8))
    assert (received, terminated, truncated) == (reward, reward == 1, False)
    assert info["success"] == terminated


def test_an_episode_is_cut_at_the_limit_and_repeats_with_its_seed():
    env = make_environment(UMAZE)
    ends = []
    for _ in range(2):
        env.reset(seed=5)
        env.action_space.seed(5)
        flags = [env.step(env.action_space.sample())[2:4] for _ in range(700)]
        assert [flag for flag in flags if any(flag)] == [(False, True)]
        ends.append((*env.unwrapped.data.qpos, *env.unwrapped.goal))
    assert ends[0] == ends[1]
