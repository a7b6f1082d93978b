"""Gymnasium-robotics' models, moved by today's MuJoCo as by version 2.1, with which D4RL evaluates."""
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from gymnasium.spaces import Box

from cocoa.environments.simulation import UnitActions, halve_margins
from cocoa.extras import require


class RoboticsSimulation(UnitActions):
    """A model of gymnasium-robotics, of which nothing but the model is used."""

    def __init__(self, file: str, frame_skip: int, observation_size: int, **rendering: Any):
        """`file` is a path below the package's assets. Raises DataError if the package is not installed."""
        require("robotics", "This environment")
        package = find_spec("gymnasium_robotics")
        assert package is not None
        path = Path(package.origin or "").parent / "envs" / "assets" / file
        observations = Box(-np.inf, np.inf, (observation_size,), np.float64)
        super().__init__(str(path), frame_skip, observations, **rendering)

    def simulate(self, controls: np.ndarray) -> None:
        """Apply controls (A,) for one step of the environment."""
        self.data.ctrl[:] = controls
        mujoco.mj_step(self.model, self.data, self.frame_skip)
        if self.render_mode == "human":
            self.render()

    def _initialize_simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model, data = super()._initialize_simulation()
        collide_as_in_mujoco_2_1(model)
        return model, data


def collide_as_in_mujoco_2_1(model: mujoco.MjModel) -> None:
    """Have contacts of convex bodies found, and margins of contacts taken, as MuJoCo 2.1 did.

    Since 3.3 MuJoCo has a collision detector of its own, and since 4.0 it gives such bodies several contacts.
    """
    for name in ("mjDSBL_NATIVECCD", "mjDSBL_MULTICCD"):
        model.opt.disableflags |= int(getattr(mujoco.mjtDisableBit, name, 0))
    halve_margins(model)
