"""D4RL's kitchen: its numbers, its motion, and what completing its subtasks pays."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import cocoa
from cocoa.data.sources.d4rl import D4RL
from cocoa.environments.spaces import make_environment, spaces

pytest.importorskip("gymnasium_robotics")

KITCHEN = {name: f"D4RL/kitchen-{name}-v0" for name in ("complete", "partial", "mixed")}
GOALS = {
    "microwave": {22: -0.75},
    "kettle": dict(zip(range(23, 30), (-0.23, 0.75, 1.62, 0.99, 0, 0, -0.06), strict=True)),
    "bottom burner": {11: -0.88, 12: -0.01},
    "light switch": {17: -0.69, 18: -0.05},
    "slide cabinet": {19: 0.37},
}
SLIDE = ("microwave", "kettle", "light switch", "slide cabinet")
SUBTASKS = {
    "complete": SLIDE,
    "partial": SLIDE,
    "mixed": ("microwave", "kettle", "bottom burner", "light switch"),
}


@cache
def kitchen(name="mixed"):
    return make_environment(KITCHEN[name]).unwrapped


def goal(*subtasks):
    positions = np.zeros(30)
    for subtask in subtasks:
        for where, value in GOALS[subtask].items():
            positions[where] = value
    return positions


@pytest.mark.parametrize("name", KITCHEN)
def test_sizes_limits_goals_and_scores_are_those_of_d4rl(name):
    env = KITCHEN[name]
    known = spaces(env)
    assert (known.observation_dim, known.time_limit) == (60, 280)
    assert known.action_low.tolist() == [-1] * 9
    assert known.action_high.tolist() == [1] * 9
    assert kitchen(name).dt == pytest.approx(0.08)
    assert kitchen(name).reset(seed=0)[0][30:].tolist() == goal(*SUBTASKS[name]).tolist()
    assert D4RL[f"kitchen-{name}-v0"].env == env
    assert cocoa.normalized_score(env, 3) == 75


def test_it_moves_as_d4rls_model_in_mujoco_2_1():
    """From recorded states to the next ones; the kettle stands a little lower (`differences`)."""
    env = kitchen()
    with np.load(Path(__file__).parent / "robotics_2_1.npz") as file:
        columns = {
            name: file[f"kitchen/{name}"]
            for name in ("infos/qpos", "infos/qvel", "actions", "seen", "next_qpos")
        }
    env.reset(seed=0)
    for qpos, qvel, action, seen, following in zip(*columns.values(), strict=True):
        env.set_state(qpos, qvel)
        env.seen[:9] = seen
        env.step(action)
        np.testing.assert_allclose(env.data.qpos[:23], following[:23], rtol=0, atol=1e-8)
        np.testing.assert_allclose(env.data.qpos[23:], following[23:], rtol=0, atol=4e-3)


def test_observations_are_positions_with_a_tenth_of_the_stated_noise():
    env = kitchen()
    noise = np.array([env.reset(seed=seed)[0][:30] - env.data.qpos for seed in range(200)])
    stated = np.array(
        [0.1] * 9 + [0.005] * 2 + [0.0005] * 6 + [0.005] * 3 + [0.1] * 3 + [0.005] * 3 + [0.1] * 3 + [0.005]
    )
    np.testing.assert_allclose(np.abs(noise).max(0), stated / 10, rtol=0.1)
    assert np.linalg.norm(env.data.qpos[26:]) == pytest.approx(1)


def test_actions_are_velocities_from_where_the_joints_are_observed():
    env = kitchen()
    observation, _ = env.reset(seed=3)
    env.step(np.array([1, -1, 0.5, 0, 0, 0, 0, 1, -2]))
    expected = observation[:9] + 0.16 * np.array([1, -1, 0.5, 0, 0, 0, 0, 1, -1])
    expected[1] = max(expected[1], -1.8)
    expected[7:] = 0.04, 0
    np.testing.assert_allclose(env.data.ctrl, expected)


def test_each_subtask_pays_once_and_the_last_ends_the_episode():
    env = kitchen()
    env.reset(seed=0)
    reached, outcomes = env.init_qpos.copy(), []
    for subtask in ("microwave", None, "kettle", "bottom burner", "light switch"):
        for where, value in GOALS.get(subtask, {}).items():
            reached[where] = value
        env.set_state(reached, np.zeros(29))
        _, reward, ended, _, info = env.step(np.zeros(9))
        outcomes.append((reward, ended, info["completed"], info["success"]))
    assert outcomes == [
        (1, False, 1, False),
        (0, False, 1, False),
        (1, False, 2, False),
        (1, False, 3, False),
        (1, True, 4, True),
    ]
    assert env.reset(seed=0)[1] == {}
    assert env.step(np.zeros(9))[4] == {"success": False, "completed": 0}


def test_a_subtask_of_another_dataset_pays_nothing():
    env = kitchen("complete")
    env.reset(seed=0)
    reached = env.init_qpos.copy()
    reached[11:13] = -0.88, -0.01
    env.set_state(reached, np.zeros(29))
    assert env.step(np.zeros(9))[1] == 0


def test_a_subtask_is_complete_within_0_3_of_its_goal():
    env = kitchen()
    for angle, reward in ((-0.75 + 0.25, 1), (-0.75 + 0.35, 0)):
        env.reset(seed=0)
        reached = env.init_qpos.copy()
        reached[22] = angle
        env.set_state(reached, np.zeros(29))
        assert env.step(np.zeros(9))[1] == reward


def test_seeds_repeat_episodes():
    env = kitchen()

    def episode(seed):
        return np.stack(
            [env.reset(seed=seed)[0], *(env.step(np.full(9, 0.3, np.float32))[0] for _ in range(3))]
        )

    assert np.array_equal(episode(1), episode(1))
    assert not np.array_equal(episode(1), episode(2))
