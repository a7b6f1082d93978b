"""D4RL's ant: gym's Ant-v2, whose contact forces are zero."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, parse

import gymnasium.envs.mujoco
import numpy as np

from cocoa.environments.simulation import Simulation, runge_kutta

_CONTACT_FORCES = 84
_NOISE = 0.1
_LOWEST, _HIGHEST = 0.2, 1.0


def ant_model(timestep: float, gear: float) -> Element:
    """Return the ant on an empty floor: MJCF with a time step in seconds and motors of `gear` Nm.

    Gymnasium's ant.xml has the body of both gym's Ant-v2 and D4RL's mazes.
    """
    model = parse(Path(gymnasium.envs.mujoco.__file__).parent / "assets" / "ant.xml").getroot()
    model.find("option").set("timestep", str(timestep))  # type: ignore[union-attr]
    for motor in model.findall("actuator/motor"):
        motor.set("gear", str(gear))
    return model


class AntSimulation(Simulation, ABC):
    """The ant with D4RL's starts: noise around its rest position at the origin."""

    def advance(self) -> None:
        """Simulate one time step of the model."""
        runge_kutta(self.model, self.data)

    def reset_model(self) -> np.ndarray:
        """Start an episode, and return the observation."""
        qpos = self.init_qpos + self.np_random.uniform(-_NOISE, _NOISE, self.model.nq)
        qvel = self.init_qvel + self.np_random.standard_normal(self.model.nv) * _NOISE
        self.set_state(qpos, qvel)
        return self._get_obs()

    @abstractmethod
    def _get_obs(self) -> np.ndarray:
        """Return what the policy sees now."""


class Ant(AntSimulation):
    """Runs in the direction of x; ends when its torso is too low or too high.

    The observation (111,) is the positions without x and y (13), the velocities (14) and 84 zeros. gym puts
    clipped contact forces there, which MuJoCo 2 does not compute unless it is asked to (gym issue 1541): all
    of them are zero in D4RL's files (D4RL issue 143), and so is their cost.
    """

    metadata = {**AntSimulation.metadata, "render_fps": 20}  # noqa: RUF012

    def __init__(self, **rendering: Any):
        super().__init__(ant_model(timestep=0.01, gear=150), 5, 27 + _CONTACT_FORCES, **rendering)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Run for 0.05 s; the reward is the speed in m/s, plus 1, minus half of the squared action."""
        action = np.clip(action, -1, 1)
        before = self.data.xpos[1, 0]
        self.simulate(action)
        speed = (self.data.xpos[1, 0] - before) / self.dt
        reward = speed - 0.5 * np.square(action).sum() + 1
        state = self._get_obs()
        healthy = np.isfinite(state).all() and _LOWEST <= state[0] <= _HIGHEST
        return state, float(reward), not healthy, False, {}

    def _get_obs(self) -> np.ndarray:
        """Return positions without x and y, velocities, and zeros, (111,)."""
        return np.concatenate([self.data.qpos[2:], self.data.qvel, np.zeros(_CONTACT_FORCES)])
