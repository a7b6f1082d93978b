"""The environments of an evaluation: made together, tested before the training, and closed together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import gymnasium
import numpy as np

from cocoa.environments.spaces import close_environments, described, make_environment
from cocoa.errors import DataError, shown

SUCCESS_KEYS = ("success", "is_success", "goal_achieved")
"""What environments call success in the info of a step: OGBench and Gymnasium-Robotics, D4RL's Adroit."""
_INSTEAD = "Fix the environment, or train without evaluation: eval_episodes=0."


class Environments:
    """Instances of one environment; a single one where no more can exist at a time. Closes what it made."""

    def __init__(self, env: str, seeds: Sequence[int], observation_dim: int, action: np.ndarray):
        """Make an instance for each of `seeds`, reset it with its seed and step it once with `action` (A,).

        Raises DataError if the environment cannot be made or does not keep Gymnasium's interface.
        """
        self.env = env
        self.notes: list[str] = []
        """Sentences for the user: that there is one instance, or that numbers are not finite."""
        self.instances: list[gymnasium.Env] = []
        self._observation_dim = observation_dim
        try:
            self._make(seeds, action)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the instances."""
        close_environments(*self.instances)

    def _make(self, seeds: Sequence[int], action: np.ndarray) -> None:
        try:
            for _ in seeds:
                self.instances.append(make_environment(self.env))
            self._try(seeds, action)
        except DataError as error:
            if not self.instances or len(seeds) == 1:
                raise
            close_environments(*self.instances[1:])
            del self.instances[1:]
            self._try(seeds[:1], action)
            reason = described(error.__cause__ or error)
            note = f"Only one instance of {self.env} can be used at a time ({reason})"
            self.notes.insert(0, f"{note}: episodes are evaluated one after the other.")

    def _try(self, seeds: Sequence[int], action: np.ndarray) -> None:
        """Do what an evaluation does with the instances, for one step."""
        nonfinite = set()
        for instance, seed in zip(self.instances, seeds, strict=True):
            state = self._reset(instance, seed)
            if not np.isfinite(state).all():
                nonfinite.add("an observation of reset")
        for instance in self.instances:
            state, reward = self._step(instance, action)
            if not np.isfinite(state).all():
                nonfinite.add("an observation of step")
            if not np.isfinite(reward):
                nonfinite.add("a reward")
        self.notes = [
            f"Warning: {what} of environment {self.env} is not finite, in a first step before the training. "
            "Evaluation will say little about the policy."
            for what in sorted(nonfinite)
        ]

    def _reset(self, instance: gymnasium.Env, seed: int) -> np.ndarray:
        form = "; reset must take the keywords seed and options and return (observation, info)"
        try:
            result: Any = instance.reset(seed=seed)
        except Exception as error:
            hint = form if isinstance(error, TypeError) else ""
            self._refuse(f"reset(seed={seed}) raised {described(error)}{hint}", error)
        if not isinstance(result, tuple | list) or len(result) != 2:
            self._refuse(f"reset returned {_kind(result)}{form}")
        return self._observation(result[0], "reset")

    def _step(self, instance: gymnasium.Env, action: np.ndarray) -> tuple[np.ndarray, float]:
        form = "; step must return (observation, reward, terminated, truncated, info)"
        try:
            result: Any = instance.step(action)
        except Exception as error:
            hint = form if isinstance(error, TypeError | ValueError) else ""
            self._refuse(f"step raised {described(error)}{hint}", error)
        if not isinstance(result, tuple | list) or len(result) != 5:
            self._refuse(f"step returned {_kind(result)}{form}")
        state, reward, terminated, truncated, _ = result
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if not _is_flag(flag):
                self._refuse(f"step returned {shown(repr(flag))} for {name}, which must be true or false")
        try:
            number = scalar(reward)
        except Exception as error:
            self._refuse(f"step returned {shown(repr(reward))} for the reward, which must be a number", error)
        return self._observation(state, "step"), number

    def _observation(self, value: Any, method: str) -> np.ndarray:
        form = f"; observations must be vectors of {self._observation_dim} numbers, as observation_space says"
        try:
            with np.errstate(over="ignore"):  # becomes inf, which is reported
                state = np.asarray(value).astype(np.float32)
        except Exception as error:
            self._refuse(f"{method} returned the observation {shown(repr(value))}{form}", error)
        if state.shape != (self._observation_dim,):
            self._refuse(f"{method} returned an observation of shape {state.shape}{form}")
        return state

    def _refuse(self, what: str, error: Exception | None = None) -> NoReturn:
        raise DataError(
            f"Environment {self.env!r} cannot be used for evaluation: {what}. {_INSTEAD}"
        ) from error


def scalar(reward: Any) -> float:
    """Return a reward as a number; it may be an array of one. Raises TypeError or ValueError otherwise."""
    if isinstance(reward, float):
        return reward
    array = np.asarray(reward)
    if array.dtype.kind not in "biufO":
        raise TypeError(f"{reward!r} is not a number")
    return float(array.item())


def success_of(info: Any) -> float:
    """Return 1 or 0, as the info of an episode's last step says, or NaN if it does not say."""
    values = (info.get(key) for key in SUCCESS_KEYS) if isinstance(info, Mapping) else ()
    return next((float(np.asarray(value).item() > 0) for value in values if _is_flag(value)), math.nan)


def _is_flag(value: Any) -> bool:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return False
    return array.size == 1 and array.dtype.kind in "biuf"


def _kind(value: Any) -> str:
    """Return what a method returned, in two or three words."""
    if isinstance(value, tuple | list):
        return f"{len(value)} values"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"a {type(value).__name__}"
