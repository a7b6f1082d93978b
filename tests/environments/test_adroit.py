"""D4RL's tasks of the Adroit hand: their numbers, and transitions of D4RL's own simulator replayed.

`robotics_2_1.npz` has the columns of D4RL's files for each task: 6 episodes of 8 steps that MuJoCo 2.1.0
simulated with D4RL's own models, and the observations, rewards and ends that D4RL's definitions give for its
states. They contain every bonus and penalty. `kitchen/` has positions and actions of D4RL's kitchen.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import cocoa
from cocoa.data.reference import REFERENCE_RETURNS
from cocoa.data.sources.d4rl import D4RL
from cocoa.environments.spaces import make_environment, spaces

pytest.importorskip("gymnasium_robotics")

RECORDED = Path(__file__).parent / "robotics_2_1.npz"
EPISODE = 8
TASKS = {"pen": (45, 24, 100), "door": (39, 28, 200), "hammer": (46, 26, 200), "relocate": (39, 30, 200)}


@cache
def environment(task):
    return make_environment(f"D4RL/{task}-v1").unwrapped


def recorded(task):
    with np.load(RECORDED) as file:
        return {name.partition("/")[2]: file[name] for name in file if name.startswith(f"{task}/")}


@pytest.mark.parametrize("task", TASKS)
def test_sizes_limits_and_scores_are_those_of_d4rl(task):
    observations, actions, time_limit = TASKS[task]
    env = f"D4RL/{task}-v1"
    known = spaces(env)
    assert (known.observation_dim, known.time_limit) == (observations, time_limit)
    assert known.action_bounded.all()
    assert known.action_low.tolist() == [-1] * actions
    assert known.action_high.tolist() == [1] * actions
    assert environment(task).observation_space.dtype == np.float64
    assert environment(task).dt == pytest.approx(0.01)
    assert {name for name, known in D4RL.items() if known.env == env} == {
        f"{task}-{source}-{version}" for source in ("human", "cloned", "expert") for version in ("v0", "v1")
    }
    low, high = REFERENCE_RETURNS[f"AdroitHand{task.capitalize()}"]
    assert cocoa.normalized_score(env, low + 0.25 * (high - low)) == pytest.approx(25)


@pytest.mark.parametrize("task", TASKS)
def test_joints_are_as_stiff_as_d4rl_sets_them(task):
    model = environment(task).model
    for first, last, gain in (("A_WRJ1", "A_WRJ0", 10), ("A_FFJ3", "A_THJ0", 1)):
        joints = slice(model.actuator(first).id, model.actuator(last).id + 1)
        assert (model.actuator_gainprm[joints, :3] == [gain, 0, 0]).all()
        assert (model.actuator_biasprm[joints, :3] == [0, -gain, 0]).all()


@pytest.mark.parametrize("task", TASKS)
def test_episodes_of_mujoco_2_1_with_d4rls_definitions_are_replayed(task):
    env, columns = environment(task), recorded(task)
    for t, action in enumerate(columns["actions"]):
        if t % EPISODE == 0:
            env.set_env_state(
                {name[6:]: column[t] for name, column in columns.items() if name.startswith("infos/")}
            )
            np.testing.assert_allclose(env.observation(), columns["observations"][t], atol=1e-6)
        state, reward, ended, _, info = env.step(action)
        np.testing.assert_allclose(state, columns["next_observations"][t], atol=1e-5)
        assert reward == pytest.approx(columns["rewards"][t], abs=1e-5)
        assert (ended, info["success"]) == (columns["terminals"][t], columns["success"][t])


@pytest.mark.parametrize(("task", "levels"), {
    "pen": (-5, 0, 10, 60), "door": (0, 2, 10, 20), "hammer": (0, 25, 100), "relocate": (0, 10, 30),
}.items())  # fmt: skip
def test_the_recording_has_every_bonus(task, levels):
    columns = recorded(task)
    nearest = np.abs(columns["rewards"][:, None] - np.array(levels)).argmin(1)
    assert set(nearest) == set(range(len(levels)))
    assert 0 < columns["success"].sum() < len(columns["success"])
    assert columns["terminals"].any() == (task == "pen")


@pytest.mark.parametrize(("task", "where", "low", "high"), [
    ("door", lambda model: model.body("frame").pos, [-0.3, 0.25, 0.252], [-0.2, 0.35, 0.35]),
    ("hammer", lambda model: model.body("nail_board").pos[2:], [0.1], [0.25]),
    ("relocate", lambda model: model.body("Object").pos, [-0.15, -0.15, 0.035], [0.15, 0.3, 0.035]),
    ("relocate", lambda model: model.site("target").pos, [-0.2, -0.2, 0.15], [0.2, 0.2, 0.35]),
    ("pen", lambda model: turn_of(model.body("target").quat), [-1, -1, 0], [1, 1, 0]),
])  # fmt: skip
def test_episodes_start_with_d4rls_distribution(task, where, low, high):
    env = environment(task)
    starts = []
    for seed in range(60):
        env.reset(seed=seed)
        starts.append(np.array(where(env.model)))
    least, most, low, high = np.min(starts, 0), np.max(starts, 0), np.array(low), np.array(high)
    assert ((least >= low - 1e-9) & (most <= high + 1e-9)).all()
    assert (most - least >= 0.8 * (high - low)).all()


def turn_of(quat):
    """Return the angles around x, then y, that make a quaternion, and the sine of any around z."""
    w, x, y, z = quat
    return np.array([2 * np.arctan2(x, w), 2 * np.arctan2(y, w), w * z - x * y])


@pytest.mark.parametrize("task", TASKS)
def test_seeds_repeat_episodes(task):
    env = environment(task)

    def episode(seed):
        first, _ = env.reset(seed=seed)
        return np.stack([first, *(env.step(np.full(TASKS[task][1], 0.3))[0] for _ in range(5))])

    assert np.array_equal(episode(1), episode(1))
    assert not np.array_equal(episode(1), episode(2))
