"""D4RL's mazes for the ant, as D4RL evaluates in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cocoa.environments.ant import AntSimulation, ant_model
from cocoa.environments.simulation import add_box

MAPS = {
    "umaze": (
        "#####",
        "#R  #",
        "### #",
        "#G  #",
        "#####",
    ),
    "medium": (
        "########",
        "#R ##  #",
        "#  #   #",
        "##   ###",
        "#  #   #",
        "# #  # #",
        "#   # G#",
        "########",
    ),
    "large": (
        "############",
        "#R   #     #",
        "# ## # # # #",
        "#      #   #",
        "# #### ### #",
        "#  # #     #",
        "## # # # ###",
        "#  #   # G #",
        "############",
    ),
}
"""Walls (#), the cell of the start (R) and that of the goal (G); rows along y, columns along x
(D4RL, `maze_env.py`: U_MAZE_TEST, BIG_MAZE_TEST, HARDEST_MAZE_TEST)."""

CELL = 4.0
"""Width of a cell in metres."""
GOAL_RADIUS = 0.5
"""Distance in metres at which the goal is reached."""


class AntMaze(AntSimulation):
    """The ant walks to a goal, where the reward is 1 and the episode ends; elsewhere the reward is 0.

    The observation (29,) is the positions, x and y first, and the velocities; it does not contain the goal.
    """

    metadata = {**AntSimulation.metadata, "render_fps": 10}  # noqa: RUF012

    def __init__(self, maze: str, **rendering: Any):
        """`maze` is a key of `MAPS`."""
        cells = {
            (row, column): symbol for row, line in enumerate(MAPS[maze]) for column, symbol in enumerate(line)
        }
        places = {symbol: cell for cell, symbol in cells.items()}
        start = np.array(places["R"])
        model = ant_model(timestep=0.02, gear=30)
        model.find("default/geom").set("solimp", "0.8 0.8 0.01")  # type: ignore[union-attr]
        for cell, symbol in cells.items():
            if symbol == "#":
                y, x = CELL * (cell - start)
                add_box(model, (x, y, CELL / 4), (CELL / 2, CELL / 2, CELL / 4))
        super().__init__(model, 5, 29, **rendering)
        y, x = CELL * (np.array(places["G"]) - start)
        self._goal_cell = np.array([x, y])
        self.goal = self._goal_cell
        """(2,): position of this episode's goal in metres."""

    def reset_model(self) -> np.ndarray:
        """Draw the goal and start an episode; return the observation."""
        # D4RL adds two noises, up to 1 m and 0.5 m, to the middle of the goal's cell.
        noise = self.np_random.uniform(0, [[CELL / 4], [CELL / 8]], (2, 2)).sum(axis=0)
        self.goal = np.maximum(self._goal_cell + noise, 0)
        return super().reset_model()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Walk for 0.1 s; `info["success"]` says whether the goal is reached."""
        self.simulate(action)
        x, y = self.data.qpos[:2] - self.goal
        reached = bool(np.hypot(x, y) <= GOAL_RADIUS)
        return self._get_obs(), float(reached), reached, False, {"success": reached}

    def _get_obs(self) -> np.ndarray:
        """Return positions and velocities, (29,)."""
        return np.concatenate([self.data.qpos, self.data.qvel])
