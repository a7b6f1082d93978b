"""D4RL's mazes for a point: their numbers and rewards, and a controller's returns in them."""

import numpy as np
import pytest
from support.recorded import assert_as_in_mujoco_2_1, assert_replayed, d4rl_file

import cocoa
from cocoa.data.sources.d4rl import D4RL
from cocoa.environments.maze2d import MAPS
from cocoa.environments.spaces import make_environment, spaces

MAZES = {"umaze": (300, (1, 1), 161.86), "medium": (600, (6, 6), 277.39), "large": (800, (7, 9), 273.99)}


@pytest.mark.parametrize("suffix", ["", "-dense"])
@pytest.mark.parametrize("maze", MAZES)
def test_sizes_limits_and_goals_are_those_of_d4rl(maze, suffix):
    name = f"maze2d-{maze}{suffix}-v1"
    time_limit, goal, _ = MAZES[maze]
    known = spaces(f"D4RL/{name}")
    assert (known.observation_dim, known.time_limit) == (4, time_limit)
    assert (known.action_low.tolist(), known.action_high.tolist()) == ([-1, -1], [1, 1])
    assert D4RL[name].env == f"D4RL/{name}"
    env = make_environment(f"D4RL/{name}").unwrapped
    assert tuple(env.goal) == goal
    assert env.model.actuator_gear[:, 0].tolist() == [100, 100]


@pytest.mark.parametrize("maze", MAZES)
def test_it_moves_as_in_mujoco_2_1(maze):
    assert_as_in_mujoco_2_1(f"D4RL/maze2d-{maze}-v1", f"maze2d-{maze}")


def test_a_recorded_file_is_replayed():
    for name in ("D4RL/maze2d-umaze-v1", "D4RL/maze2d-umaze-dense-v1"):
        assert_replayed(name, d4rl_file(name, 500))


@pytest.mark.parametrize(("distance", "reward"), [(0.0, 1.0), (0.49, 1.0), (0.51, 0.0)])
def test_rewards_are_of_the_distance_to_the_goal_and_no_state_is_terminal(distance, reward):
    for dense in ("", "-dense"):
        env = make_environment(f"D4RL/maze2d-umaze{dense}-v1")
        env.reset(seed=0)
        env.unwrapped.set_state(env.unwrapped.goal + np.array([0, distance]), np.zeros(2))
        _, received, terminated, truncated, _ = env.step(np.zeros(2))
        assert received == pytest.approx(np.exp(-distance) if dense else reward)
        assert (terminated, truncated) == (False, False)


def test_velocities_are_limited_before_a_step():
    env = make_environment("D4RL/maze2d-large-v1").unwrapped
    env.reset(seed=0)
    env.set_state(np.array([1.0, 1.0]), np.array([9.0, -0.5]))
    state, *_ = env.step(np.zeros(2))
    assert 4.9 < state[2] <= 5
    assert state[0] == pytest.approx(1.05, abs=1e-3)


def test_episodes_start_in_every_free_cell():
    env = make_environment("D4RL/maze2d-umaze-v1")
    starts = np.array([env.reset(seed=seed)[0] for seed in range(200)])
    cells = np.round(starts[:, :2])
    assert np.abs(starts[:, :2] - cells).max() <= 0.1
    free = {(i, j) for i, row in enumerate(MAPS["umaze"]) for j, cell in enumerate(row) if cell != "#"}
    assert {(int(i), int(j)) for i, j in cells} == free
    assert starts[:, 2:].std() == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("maze", MAZES)
def test_a_controller_that_follows_the_corridors_reaches_the_goal(maze):
    """D4RL's own expert follows one path only in each run: its return is the reference, and lower."""
    time_limit, goal, reference = MAZES[maze]
    env = make_environment(f"D4RL/maze2d-{maze}-v1")
    following = next_cells(MAPS[maze], goal)
    returns = []
    for seed in range(10):
        state, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            cell = tuple(np.round(state[:2] + 0.2).astype(int))
            target = np.array(goal) if cell == goal else np.array(following[cell]) - 0.2
            state, reward, _, over, _ = env.step(np.clip(10 * (target - state[:2]) - state[2:], -1, 1))
            total += reward
        returns.append(total)
    assert min(returns) > 0
    assert reference < np.mean(returns) < time_limit


def next_cells(maze, goal):
    """Return, for each free cell, the next one on a shortest way to the goal."""
    following, frontier = {goal: goal}, [goal]
    for i, j in frontier:
        for near in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if maze[near[0]][near[1]] != "#" and near not in following:
                following[near] = (i, j)
                frontier.append(near)
    return following


def test_scores_are_on_d4rls_references():
    assert cocoa.normalized_score("D4RL/maze2d-large-v1", 273.99) == pytest.approx(100)
    assert cocoa.normalized_score("D4RL/maze2d-umaze-dense-v1", 68.537689) == pytest.approx(0)
