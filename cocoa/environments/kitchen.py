"""D4RL's kitchen, in which Franka's robot does four subtasks: gymnasium-robotics' model with D4RL's task.

Source: D4RL 1.1, `kitchen` (`kitchen_envs.py`, `kitchen_multitask_v0.py`, `franka_robot.py` and
`franka_config.xml`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cocoa.environments.robotics import RoboticsSimulation

SUBTASKS = {
    "bottom burner": (slice(11, 13), (-0.88, -0.01)),
    "light switch": (slice(17, 19), (-0.69, -0.05)),
    "slide cabinet": (slice(19, 20), (0.37,)),
    "microwave": (slice(22, 23), (-0.75,)),
    "kettle": (slice(23, 30), (-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06)),
}
"""Which of the 30 positions a subtask sets, and to what, in radians and metres."""

NEAR = 0.3
"""Distance from its goal below which a subtask is complete."""

_MODEL = "kitchen_franka/kitchen_assets/kitchen_env_model.xml"
_ROBOT = 9
# fmt: off
_START = np.array([
    1.48388023e-01, -1.76848573e00, 1.84390296e00, -2.47685760e00, 2.60252026e-01, 7.12533105e-01,
    1.59515394e00, 4.79267505e-02, 3.71350919e-02, -2.66279850e-04, -5.18043486e-05, 3.12877220e-05,
    -4.51199853e-05, -3.90842156e-06, -4.22629655e-05, 6.28065475e-05, 4.04984708e-05, 4.62730939e-04,
    -2.26906415e-04, -4.65501369e-04, -6.44129196e-03, -1.77048263e-03, 1.08009684e-03, -2.69397440e-01,
    3.50383255e-01, 1.61944683e00, 1.00618764e00, 4.06395120e-03, -6.62095997e-03, -2.68278933e-04,
])
_LOWEST = np.array([-2.9, -1.8, -2.9, -3.1, -2.9, 0.0, -2.9, 0.0, 0.0])
_HIGHEST = np.array([2.9, 1.8, 2.9, 0.0, 2.9, 3.8, 2.9, 0.04, 0.04])
# A tenth of the amplitudes in D4RL's franka_config.xml: 9 joints of the robot, 21 positions of objects.
_NOISE = 0.1 * np.array(
    [0.1] * 9 + [0.005] * 2 + [0.0005] * 6 + [0.005] * 3 + [0.1] * 3 + [0.005] * 3 + [0.1] * 3 + [0.005]
)
# fmt: on


class Kitchen(RoboticsSimulation):
    """A robot is paid 1 for each of four subtasks when it first completes it; the last ends the episode.

    An episode's return is the number of subtasks completed, 0 to 4. The observation (60,): the robot's 9
    joints and the objects' 21 positions, both with noise, and the goal (30), which is zero where no subtask
    sets it. `info["success"]` says whether all four are done, `info["completed"]` how many.
    """

    metadata = {**RoboticsSimulation.metadata, "render_fps": 12}  # noqa: RUF012

    def __init__(self, subtasks: Sequence[str], **rendering: Any):
        """`subtasks` are keys of `SUBTASKS`."""
        self.subtasks = tuple(subtasks)
        self.goal = np.zeros(30)
        for subtask in subtasks:
            positions, goal = SUBTASKS[subtask]
            self.goal[positions] = goal
        super().__init__(_MODEL, 40, 60, **rendering)
        self.init_qpos = _START
        self._let_through_pedestal()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move for 80 ms at velocities (9,) in 2 rad/s or 2 m/s from where the joints were observed."""
        target = self.seen[:_ROBOT] + 2 * np.clip(action, -1, 1) * self.dt
        self.simulate(np.clip(target, _LOWEST, _HIGHEST))
        observation = self._observation()
        completed = [subtask for subtask in self._open if self._is_complete(subtask)]
        self._open.difference_update(completed)
        done = not self._open
        info = {"success": done, "completed": len(self.subtasks) - len(self._open)}
        return observation, float(len(completed)), done, False, info

    def reset_model(self) -> np.ndarray:
        """Place everything where D4RL starts, and return the observation."""
        self.set_state(self.init_qpos, np.zeros(self.model.nv))
        self._open = set(self.subtasks)
        return self._observation()

    def _observation(self) -> np.ndarray:
        self.seen = self.data.qpos + _NOISE * self.np_random.uniform(-1, 1, 30)
        return np.concatenate([self.seen, self.goal])

    def _is_complete(self, subtask: str) -> bool:
        positions, goal = SUBTASKS[subtask]
        return bool(np.linalg.norm(self.seen[positions] - goal) < NEAR)

    def _let_through_pedestal(self) -> None:
        """Let the robot's pedestal, the one geom of its body, touch nothing, as in D4RL's model."""
        pedestal = self.model.body_parentid[self.model.body("panda0_link0").id]
        geom = self.model.body_geomadr[pedestal]
        for group in (self.model.geom_contype, self.model.geom_conaffinity):
            group[geom] = 0
        self.model.body_contype[pedestal] = self.model.body_conaffinity[pedestal] = 0
