"""What a Gymnasium environment says about its observations, actions and time limit."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from cocoa.errors import DataError


@dataclass(frozen=True, eq=False)
class Spaces:
    """The spaces of an environment."""

    observation_dim: int
    action_low: np.ndarray
    """(A,); -1 where the environment has not two finite bounds."""
    action_high: np.ndarray
    """(A,); 1 where the environment has not two finite bounds."""
    action_bounded: np.ndarray
    """(A,) bool: whether the bounds are the environment's."""
    time_limit: int | None
    """Steps per episode, if Gymnasium knows of a limit."""


@lru_cache
def _silence_mujoco() -> None:
    """Keep MuJoCo from writing its warnings to MUJOCO_LOG.TXT in the working directory."""
    with contextlib.suppress(ImportError):
        import mujoco

        mujoco.set_mju_user_warning(lambda message: None)  # type: ignore[attr-defined]


def make_environment(env: str) -> gymnasium.Env:
    """Return a new environment. Raises DataError where Gymnasium cannot make it."""
    _silence_mujoco()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # D4RL's scores belong to v4, which Gymnasium calls outdated
            return gymnasium.make(env, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError) as error:
        near = get_close_matches(env, gymnasium.registry, n=3)
        hint = f" The nearest ids are {', '.join(near)}." if near else ""
        raise DataError(
            f"Environment {env!r} cannot be made: {error}{hint} Give env= a Gymnasium id such as Hopper-v4, "
            "and install what the environment needs."
        ) from error


@lru_cache
def spaces(env: str) -> Spaces:
    """Make `env` once and return its spaces.

    A component of the action without finite bounds counts as bounded by -1 and 1. Raises DataError where
    Gymnasium cannot make the environment, or it has no vector-valued observations and actions.
    """
    made = make_environment(env)
    observations, actions = made.observation_space, made.action_space
    made.close()
    if not (isinstance(observations, Box) and isinstance(actions, Box)) or (
        len(observations.shape) != 1 or len(actions.shape) != 1
    ):
        raise DataError(
            f"Environment {env!r} has observations {observations} and actions {actions}; both must be "
            "vectors of continuous numbers (a Box with one axis). Give env= such an environment, or register "
            "this one with gymnasium.wrappers.FlattenObservation around it if its observations are a Dict."
        )
    low, high = (np.asarray(bound, np.float32) for bound in (actions.low, actions.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    time_limit = made.spec.max_episode_steps if made.spec else None
    return Spaces(
        observation_dim=observations.shape[0],
        action_low=np.where(bounded, low, np.float32(-1)),
        action_high=np.where(bounded, high, np.float32(1)),
        action_bounded=bounded,
        time_limit=time_limit,
    )
