"""What a Gymnasium environment says about its observations, actions and time limit."""

from __future__ import annotations

import contextlib
import sys
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box

from cocoa.environments.d4rl import ENVIRONMENTS
from cocoa.environments.ogbench import PREFIX as OGBENCH
from cocoa.environments.ogbench import Seeded
from cocoa.errors import DataError, UserError, shown
from cocoa.extras import extra_of, require


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


def make_environment(env: str, render: bool = False) -> gymnasium.Env:
    """Return a new environment; with `render`, one that returns its pictures.

    Raises DataError where Gymnasium cannot make it, whatever it raises.
    """
    _silence_mujoco()
    require_installed(env)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # D4RL's scores belong to v4, which Gymnasium calls outdated
            options: dict[str, Any] = {"render_mode": "rgb_array"} if render else {}
            made = gymnasium.make(env, disable_env_checker=True, **options)
            return Seeded(made) if env.startswith(OGBENCH) else made
    except UserError:
        raise
    except Exception as error:
        near = get_close_matches(env, gymnasium.registry, n=3) if _registered(env) is None else []
        hint = f" The nearest ids are {', '.join(near)}." if near else ""
        if _registered(env) is None and ":" not in env:
            hint += f" If another package registers it, name that, as in env=gymnasium_robotics:{env}."
        raise DataError(
            f"Environment {env!r} cannot be made: {described(error)}.{hint} Give env= a Gymnasium id such as "
            "Hopper-v4, and install what the environment needs."
        ) from error


def require_installed(env: str) -> None:
    """Raise DataError if an environment needs an extra that is not installed; nothing is imported."""
    known = ENVIRONMENTS.get(env)
    extra = known.extra if known else extra_of(env.partition(":")[0])
    if extra:
        require(extra, f"Environment {env}")


def close_environments(*envs: gymnasium.Env) -> None:
    """Close environments; one that cannot be closed does not keep the others open."""
    for env in envs:
        with contextlib.suppress(Exception):
            env.close()


def described(error: BaseException) -> str:
    """Return the type and the message of what an environment raised, as one line without a full stop."""
    return shown(f"{type(error).__name__}: {error}", 300).rstrip(".: ")


def spaces(env: str) -> Spaces:
    """Return the spaces of `env`, made once for each registration of the id.

    A component of the action without finite bounds counts as bounded by -1 and 1. Raises DataError where
    Gymnasium cannot make the environment, or it has no vector-valued observations and actions.
    """
    known = _known.get(env)
    if known and known[0].holds(env):
        return known[1]
    made = make_environment(env)
    try:
        read = _read_spaces(made, env)
    finally:
        close_environments(made)
    _known[env] = _Registration.of(env), read
    return read


@dataclass(frozen=True, eq=False)
class _Registration:
    """What changes where an id is registered again, or the class behind it is defined again."""

    spec: EnvSpec | None
    creator: Any
    text: str

    @classmethod
    def of(cls, env: str) -> _Registration:
        spec = _registered(env)
        creator = spec.entry_point if spec else None
        if isinstance(creator, str):
            module, _, name = creator.partition(":")
            creator = getattr(sys.modules.get(module), name, None)
        return cls(spec, creator, repr(spec))

    def holds(self, env: str) -> bool:
        now = _Registration.of(env)
        same = now.spec is self.spec and now.creator is self.creator and now.text == self.text
        return same and now.spec is not None


_known: dict[str, tuple[_Registration, Spaces]] = {}


def _registered(env: str) -> EnvSpec | None:
    """Return how the id is registered, which may begin with the name of a module."""
    return gymnasium.registry.get(env.rpartition(":")[2])


def _read_spaces(made: gymnasium.Env, env: str) -> Spaces:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            observations, actions, spec = made.observation_space, made.action_space, made.spec
    except Exception as error:
        raise DataError(
            f"Environment {env!r} does not tell its observation_space and action_space: {described(error)}. "
            "An environment must set both when it is made."
        ) from error
    if not (isinstance(observations, Box) and isinstance(actions, Box)) or (
        len(observations.shape) != 1 or len(actions.shape) != 1
    ):
        raise DataError(
            f"Environment {env!r} has observations {shown(observations)} and actions {shown(actions)}; both "
            "must be vectors of continuous numbers (a Box with one axis). Give env= such an environment, or "
            "register this one with gymnasium.wrappers.FlattenObservation around it if its observations are "
            "a Dict."
        )
    low, high = (np.asarray(bound, np.float32) for bound in (actions.low, actions.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    return Spaces(
        observation_dim=observations.shape[0],
        action_low=np.where(bounded, low, np.float32(-1)),
        action_high=np.where(bounded, high, np.float32(1)),
        action_bounded=bounded,
        time_limit=spec.max_episode_steps if spec else None,
    )
