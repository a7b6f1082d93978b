"""Collect a dataset of OGBench's pointmaze-medium: `python -m benchmarks.ogbench_set`.

OGBench's datasets need a download, its environments do not. A scripted policy collects this set, which is
written in OGBench's layout into its folder ($OGBENCH_DATASET_DIR or ~/.ogbench/data), under a name that
OGBench does not use, so that

    python train.py algo=iql dataset=ogbench:pointmaze-medium-scripted-singletask-v0

trains on it, with the rewards of one of the environment's five tasks. A trajectory starts in a random cell of
the maze and goes to one random cell after another on the shortest path, with Gaussian noise in its actions.
Now and then it pushes into a random direction for a while, so that the data show what walls do. The same seed
gives the same files.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from cocoa.data.sources.ogbench import ogbench_folder
from cocoa.environments.ogbench import PREFIX, Seeded
from cocoa.storage.files import atomic_write

ENV = "pointmaze-medium"
NAME = f"{ENV}-scripted-v0"
STEPS = 1000
"""Transitions of a trajectory, as in OGBench's own sets of this maze."""
NOISE = 0.5
"""Standard deviation of what is added to each action."""
PUSHES, PUSH = 0.03, 15
"""Probability that a step begins a push into a random direction, and its length in steps."""
NEAR = 0.5
"""Distance at which the centre of a cell counts as reached; a cell is 4 wide, a step at most 0.2 an axis."""

Cell = tuple[int, int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect both files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ogbench_set", description=__doc__)
    parser.add_argument("--trajectories", type=int, default=200, help="of 1,000 transitions (default 200)")
    parser.add_argument("--held-out", type=int, default=20, help="those of the validation file (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    folder = ogbench_folder()
    folder.mkdir(parents=True, exist_ok=True)
    streams = np.random.default_rng(options.seed).spawn(2)
    counts = options.trajectories, options.held_out
    for stem, count, rng in zip((NAME, f"{NAME}-val"), counts, streams, strict=True):
        write(folder / f"{stem}.npz", collect(count, rng))


def collect(trajectories: int, rng: np.random.Generator, steps: int = STEPS) -> dict[str, np.ndarray]:
    """Return the columns of that many trajectories, each of `steps + 1` rows.

    The last row of a trajectory is only the next observation of the row before.
    """
    options = {"terminate_at_goal": False, "max_episode_steps": steps + 1, "disable_env_checker": True}
    env = Seeded(gymnasium.make(f"{PREFIX}{ENV}-v0", **options))
    rows = [row for _ in range(trajectories) for row in _trajectory(env, rng, steps)]
    env.close()
    observations, actions, terminals, positions, speeds = zip(*rows, strict=True)
    return {
        "observations": np.array(observations, np.float32),
        "actions": np.array(actions, np.float32),
        "terminals": np.array(terminals, bool),
        "qpos": np.array(positions, np.float32),
        "qvel": np.array(speeds, np.float32),
    }


def _trajectory(env: gymnasium.Env, rng: np.random.Generator, steps: int) -> list[tuple]:
    """Return its rows: observation, action, whether it is the last, and the simulator's state."""
    maze: Any = env.unwrapped
    free = [(int(i), int(j)) for i, j in np.argwhere(maze.maze_map == 0)]
    start, goal = (free[k] for k in rng.choice(len(free), 2, replace=False))
    task = {"init_ij": start, "goal_ij": goal}
    observation, _ = env.reset(seed=int(rng.integers(2**31)), options={"task_info": task})
    ahead = distances(maze.maze_map, goal)
    rows, push, left = [], np.zeros(2), 0
    for step in range(steps + 1):
        place = maze.get_xy()
        if np.linalg.norm(place - maze.ij_to_xy(goal)) < NEAR:
            goal = free[rng.integers(len(free))]
            ahead = distances(maze.maze_map, goal)
        way = np.array(maze.ij_to_xy(next_cell(ahead, maze.xy_to_ij(place)))) - place
        if not left and rng.random() < PUSHES:
            push, left = rng.uniform(-1, 1, 2), PUSH
        wish = push if left else way / max(np.linalg.norm(way), NEAR)
        left = max(left - 1, 0)
        action = np.clip(wish + NOISE * rng.standard_normal(2), -1, 1).astype(np.float32)
        state = maze.data.qpos.copy(), maze.data.qvel.copy()
        rows.append((observation, action, step == steps, *state))
        observation, *_ = env.step(action)
    return rows


def distances(maze: np.ndarray, goal: Cell) -> np.ndarray:
    """Return the steps from each cell of a maze (1 is a wall) to the goal; infinite where there is no way."""
    found = np.full(maze.shape, np.inf)
    found[goal] = 0
    queue = deque([goal])
    while queue:
        cell = queue.popleft()
        for near in _neighbours(cell):
            if maze[near] == 0 and found[near] == np.inf:
                found[near] = found[cell] + 1
                queue.append(near)
    return found


def next_cell(ahead: np.ndarray, cell: Cell) -> Cell:
    """Return the cell after `cell` on a shortest path, or `cell` itself at the goal."""
    return min((cell, *_neighbours(cell)), key=lambda near: ahead[near])


def _neighbours(cell: Cell) -> list[Cell]:
    """Return the four cells beside one within a maze, whose border is wall."""
    i, j = cell
    return [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]


def write(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write an archive at once, and say so."""
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **columns)
    atomic_write(path, buffer.getvalue())
    print(f"{path}: {len(columns['terminals']):,} rows in {int(columns['terminals'].sum())} trajectories")


if __name__ == "__main__":
    main()
