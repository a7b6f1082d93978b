"""D4RL's mazes for a point that is pushed, as D4RL evaluates in them."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import fromstring

import numpy as np

from cocoa.environments.simulation import Simulation, add_box

MAPS = {
    "umaze": (
        "#####",
        "#G  #",
        "### #",
        "#   #",
        "#####",
    ),
    "medium": (
        "########",
        "#  ##  #",
        "#  #   #",
        "##   ###",
        "#  #   #",
        "# #  # #",
        "#   # G#",
        "########",
    ),
    "large": (
        "############",
        "#    #     #",
        "# ## # # # #",
        "#      #   #",
        "# #### ### #",
        "#  # #     #",
        "## # # # ###",
        "#  #   # G #",
        "############",
    ),
}
"""Walls (#) and the cell of the goal (G); rows along x, columns along y (D4RL, `maze_model.py`: U_MAZE,
MEDIUM_MAZE, LARGE_MAZE)."""

GOAL_RADIUS = 0.5
"""Distance in metres at which the goal is reached."""

_FASTEST = 5.0
_NOISE = 0.1

# The point is at (1.2, 1.2) where its joints are zero, and the middle of cell (i, j) at (i + 1, j + 1).
_POINT = """
<mujoco model="point maze">
  <compiler inertiafromgeom="true"/>
  <option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>
  <default>
    <joint type="slide" damping="1" limited="false"/>
    <geom condim="1" density="1000" margin="0.002"/>
    <motor ctrlrange="-1 1" ctrllimited="true" gear="100"/>
  </default>
  <worldbody>
    <light directional="true" pos="0 0 5" dir="0 0 -1"/>
    <geom type="plane" size="40 40 0.25" pos="0 0 -0.1" rgba="0.2 0.3 0.4 1" contype="0" conaffinity="0"/>
    <body name="particle" pos="1.2 1.2 0">
      <geom type="sphere" size="0.1" rgba="0.3 0.6 0.3 1"/>
      <joint name="x" axis="1 0 0"/>
      <joint name="y" axis="0 1 0"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="x"/>
    <motor joint="y"/>
  </actuator>
</mujoco>
"""


class Maze2D(Simulation):
    """A point is pushed to a goal, which is the same in all episodes; no state ends an episode.

    The observation (4,) is the position and the velocity, in the coordinates of the map's cells.
    """

    metadata = {**Simulation.metadata, "render_fps": 100}  # noqa: RUF012

    def __init__(self, maze: str, dense: bool = False, **rendering: Any):
        """`maze` is a key of `MAPS`; the reward is 1 near the goal, or exp(-distance) if it is dense."""
        model = fromstring(_POINT)
        free, goals = [], []
        for i, line in enumerate(MAPS[maze]):
            for j, symbol in enumerate(line):
                if symbol == "#":
                    add_box(model, (i + 1.0, j + 1.0, 0.0), (0.5, 0.5, 0.2))
                else:
                    (goals if symbol == "G" else free).append((i, j))
        super().__init__(model, 1, 4, **rendering)
        # How soft contacts are follows from the inverse mass, whose mean MuJoCo took over x, y and z.
        self.model.body_invweight0[1, 0] = 2 / 3 / self.model.body_mass[1]
        self.goal = np.array(goals[0], float)
        """(2,): position of the goal."""
        self._starts = np.array(free + goals, float)
        self._dense = dense

    def reset_model(self) -> np.ndarray:
        """Start an episode in any cell that is not a wall; return the observation."""
        start = self._starts[self.np_random.integers(len(self._starts))]
        qpos = start + self.np_random.uniform(-_NOISE, _NOISE, 2)
        self.set_state(qpos, self.np_random.standard_normal(2) * _NOISE)
        return self._get_obs()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push for 0.01 s, after the velocity is limited to 5 in each direction."""
        self.data.qvel[:] = np.clip(self.data.qvel, -_FASTEST, _FASTEST)
        self.simulate(action)
        x, y = self.data.qpos - self.goal
        distance = np.hypot(x, y)
        reward = np.exp(-distance) if self._dense else distance <= GOAL_RADIUS
        return self._get_obs(), float(reward), False, False, {}

    def _get_obs(self) -> np.ndarray:
        """Return position and velocity, (4,)."""
        return np.concatenate([self.data.qpos, self.data.qvel])
