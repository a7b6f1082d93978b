"""Files in OGBench's format, made by stepping its environments."""

import gymnasium
import numpy as np

OBJECTS = 14
"""Where the cubes' places begin in the positions of OGBench's arm."""


def make(task, steps=8):
    """The environment of a task that does not end at its goal, as OGBench records."""
    options = {"terminate_at_goal": False, "max_episode_steps": steps, "disable_env_checker": True}
    return gymnasium.make(f"ogbench:{task}", **options)


def record(path, env, episodes=3, solved=0.2):
    """Write trajectories of random actions, and one for validation; a share of rows has the task solved."""
    rng = np.random.default_rng(0)
    np.savez_compressed(path, **_played(env, episodes, solved, rng))
    np.savez_compressed(path.with_name(f"{path.stem}-val.npz"), **_played(env, 1, solved, rng))
    return path


def _played(env, episodes, solved, rng):
    rows = {"observations": [], "actions": [], "terminals": [], "qpos": [], "button_states": []}
    types = {"terminals": bool, "button_states": np.int64}
    for _ in range(episodes):
        state, _ = env.reset(seed=int(rng.integers(2**31)))
        truncated = False
        while not truncated:
            action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
            qpos = env.unwrapped.data.qpos.copy()
            buttons = np.array(getattr(env.unwrapped, "_cur_button_states", []))
            if rng.random() < solved:
                solve(env.unwrapped, qpos, buttons)
            following, _, _, truncated, _ = env.step(action)
            for key, value in zip(rows, (state, action, truncated, qpos, buttons), strict=True):
                rows[key].append(value)
            state = following
    arrays = {key: np.array(values, types.get(key, np.float32)) for key, values in rows.items()}
    return {key: array for key, array in arrays.items() if array.size}


def solve(env, qpos, buttons):
    """Put positions where the task is done."""
    if hasattr(env, "cur_goal_xy"):
        ball = 15 if len(qpos) == 22 else 0
        qpos[ball : ball + 2] = env.cur_goal_xy
        return
    cubes = getattr(env, "_num_cubes", 0)
    for cube in range(cubes):
        place = OBJECTS + 7 * cube
        qpos[place : place + 3] = env.data.mocap_pos[cube]
    if len(buttons):
        buttons[:] = env._target_button_states
    if hasattr(env, "_target_drawer_pos"):
        drawer = OBJECTS + 7 * cubes + len(buttons)
        qpos[drawer : drawer + 2] = env._target_drawer_pos, env._target_window_pos
