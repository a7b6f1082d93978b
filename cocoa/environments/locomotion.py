"""D4RL's hopper, halfcheetah and walker2d: Gymnasium's v4, simulated as in MuJoCo 2.1."""

from __future__ import annotations

from gymnasium.envs.mujoco.half_cheetah_v4 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v4 import HopperEnv
from gymnasium.envs.mujoco.walker2d_v4 import Walker2dEnv

from cocoa.environments.simulation import AsInMujoco21


class Hopper(AsInMujoco21, HopperEnv):
    """gym's Hopper-v2, whose rewards, ends and starts Hopper-v4 has."""


class HalfCheetah(AsInMujoco21, HalfCheetahEnv):
    """gym's HalfCheetah-v2, whose rewards and starts HalfCheetah-v4 has."""


class Walker2d(AsInMujoco21, Walker2dEnv):
    """gym's Walker2d-v2, whose rewards, ends and starts Walker2d-v4 has."""
