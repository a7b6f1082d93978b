"""D4RL's kitchen: its numbers, and what completing its subtasks pays."""

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

import cocoa
from cocoa.data.sources.d4rl import D4RL
from cocoa.environments.spaces import make_environment, spaces

KITCHEN = {name: f"D4RL/kitchen-{name}-v0" for name in ("complete", "partial", "mixed")}


@pytest.mark.parametrize("name", KITCHEN)
def test_sizes_limits_and_scores_are_those_of_d4rl(name):
    env = KITCHEN[name]
    known = spaces(env)
    assert (known.observation_dim, known.time_limit) == (60, 280)
    assert known.action_low.tolist() == [-1] * 9
    assert known.action_high.tolist() == [1] * 9
    assert D4RL[f"kitchen-{name}-v0"].env == env
    assert cocoa.normalized_score(env, 3) == 75


def test_each_subtask_pays_once_and_the_last_ends_the_episode():
    env = make_environment(KITCHEN["mixed"]).unwrapped
    observation, _ = env.reset(seed=0)
    goal = observation[30:]
    qpos = env.init_qpos.copy()
    rewards = []
    for where in (slice(22, 23), slice(23, 30), slice(11, 13), slice(17, 19)):
        qpos[where] = goal[where]
        env.set_state(qpos, np.zeros(29))
        _, reward, ended, _, info = env.step(np.zeros(9))
        rewards.append((reward, ended, info["completed"], info["success"]))
    assert rewards == [(1, False, 1, False), (1, False, 2, False), (1, False, 3, False), (1, True, 4, True)]
