"""Transitions against which environments that are rebuilt are held.

`mujoco_2_1.npz` holds trajectories that MuJoCo 2.1.0 itself simulated, in double precision, with the models
of gym's v2 and of D4RL's mazes: {name}/qpos (N, T + 1, Q), {name}/qvel (N, T + 1, V), {name}/actions
(N, T, A), and ant/rewards (N, T). Some of them touch walls; none presses a leg deeper than 0.07 m into one.
"""

from pathlib import Path

import numpy as np

from cocoa.environments.spaces import make_environment

MUJOCO_2_1 = Path(__file__).parents[1] / "environments" / "mujoco_2_1.npz"


def assert_as_in_mujoco_2_1(env, name):
    """Step `env` through the recorded trajectories; every position and velocity must be the recorded one."""
    made = make_environment(env).unwrapped
    with np.load(MUJOCO_2_1) as file:
        positions, velocities, actions = (file[f"{name}/{key}"] for key in ("qpos", "qvel", "actions"))
        rewards = file["ant/rewards"] if name == "ant" else None
    for n in range(len(actions)):
        made.reset(seed=0)
        made.set_state(positions[n, 0], velocities[n, 0])
        for t, action in enumerate(actions[n]):
            reward = made.step(action)[1]
            np.testing.assert_allclose(made.data.qpos, positions[n, t + 1], rtol=0, atol=1e-6)
            np.testing.assert_allclose(made.data.qvel, velocities[n, t + 1], rtol=0, atol=1e-5)
            if rewards is not None:
                assert abs(reward - rewards[n, t]) < 1e-5


def d4rl_file(env, steps, seed=0):
    """Return the columns of a random policy's file in D4RL's layout, single precision."""
    made = make_environment(env)
    made.action_space.seed(seed)
    columns = {
        name: []
        for name in ("observations", "actions", "rewards", "next_observations", "infos/qpos", "infos/qvel")
    }
    state, _ = made.reset(seed=seed)
    for _ in range(steps):
        data = made.unwrapped.data
        row = {"observations": state, "infos/qpos": data.qpos.copy(), "infos/qvel": data.qvel.copy()}
        row["actions"] = made.action_space.sample()
        state, row["rewards"], terminated, truncated, _ = made.step(row["actions"])
        row["next_observations"] = state
        for name, value in row.items():
            columns[name].append(value)
        if terminated or truncated:
            state, _ = made.reset()
    return {name: np.asarray(values, np.float32) for name, values in columns.items()}


def assert_replayed(env, columns):
    """Place `env` in every recorded state; its next two observations and rewards must be the recorded ones.

    Two, as Ant's reward measures from where its torso was before the last stage of the step before.
    """
    made = make_environment(env).unwrapped
    made.reset(seed=0)
    states, following = columns["observations"], columns["next_observations"]
    pairs = [t for t in range(len(states) - 1) if np.array_equal(following[t], states[t + 1])]
    assert len(pairs) > len(states) / 2
    for t in pairs:
        made.set_state(columns["infos/qpos"][t].astype(float), columns["infos/qvel"][t].astype(float))
        np.testing.assert_allclose(made._get_obs(), states[t], atol=1e-5)
        made.step(columns["actions"][t])
        state, reward, *_ = made.step(columns["actions"][t + 1])
        np.testing.assert_allclose(state, following[t + 1], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(reward, columns["rewards"][t + 1], atol=1e-3)
