"""Offline data as transitions, with D4RL's semantics and without its mistakes."""

from __future__ import annotations

import hashlib
from dataclasses import InitVar, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cocoa.data.flags import merge_flags
from cocoa.data.transitions import transitions_of
from cocoa.data.validation import (
    FLAGS,
    MASKS,
    VECTORS,
    as_array,
    check_actions,
    check_finite,
    check_flags,
    check_layout,
    check_spaces,
    fill_unknown,
    listed,
    warn,
    warn_of_integers,
)
from cocoa.environments.spaces import spaces
from cocoa.errors import DataError
from cocoa.storage.serialization import digest

_PER_ROW = (
    *("observations", "actions", "rewards", "terminals"),
    *("next_observations", "next_observed", "episodes"),
)
_PER_EPISODE = ("complete", "episode_returns")


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Transitions in time order, the rows of an episode consecutive; NumPy arrays in the environment's units.

    A transition with `terminals` ends in a state without a future: its target is the reward alone. A time
    limit never counts as terminal. The arrays cannot be written to; `dataclasses.replace` makes another
    dataset.
    """

    name: str
    """The name or the stem of the file's name."""
    env: str | None
    """Gymnasium id of the environment, if known."""
    observations: np.ndarray
    """(N, O) float32."""
    actions: np.ndarray
    """(N, A) float32, in environment units."""
    rewards: np.ndarray
    """(N,) float32."""
    terminals: np.ndarray
    """(N,) bool."""
    next_observations: np.ndarray
    """(N, O) float32."""
    next_observed: np.ndarray
    """(N,) bool; False where the data lacks the next observation and a copy of the observation stands in:
    terminal rows without a stored one. Leave them out when fitting dynamics."""
    episodes: np.ndarray
    """(N,) int32: the number of the episode, 0 .. E-1. An episode may have lost its last step, or all."""
    complete: np.ndarray
    """(E,) bool: whether an episode ended by a terminal or a time limit, not by the end of the recording."""
    episode_returns: np.ndarray
    """(E,) float64: sum of the rewards, including that of a last step that has no transition."""
    uncut: bool
    """Whether only terminals ended episodes, since neither the data nor an environment has a time limit."""
    validation: Dataset | None = None
    """The dataset's own held-out transitions, on which losses are logged and nothing is trained."""
    reference_returns: tuple[float, float] | None = None
    """The returns that score 0 % and 100 %, where the file has some of its own."""
    member_sha256: tuple[str, ...] = ()
    """`sha256` of each dataset of a list, in the list's order, where the dataset is one."""
    source_sha256: InitVar[str | None] = None
    """`sha256`, where the arrays are those of a file or a part of them."""
    sha256: str = field(init=False)
    """Of the file's bytes, or of the arrays; see `of_episodes` for a part of them. What is learned from a
    dataset is kept under it."""

    def __post_init__(self, source_sha256: str | None) -> None:
        """Make the arrays read-only and compute their digest. Raises DataError if the validation differs."""
        if self.validation is not None:
            _check_validation(self, self.validation)
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        for name, array in arrays.items():
            if array.flags.writeable:
                object.__setattr__(self, name, _frozen(array.copy()))
        object.__setattr__(self, "sha256", source_sha256 or digest(arrays))

    def __repr__(self) -> str:
        """Return the size, the mean return and the environment."""
        return (
            f"<Dataset {self.name}: {len(self.rewards):,} transitions, {len(self.complete):,} episodes, mean "
            f"return {self.behaviour_return:.1f}{self.counted}, environment {self.env}>"
        )

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.rewards)

    @classmethod
    def from_arrays(
        cls,
        *,
        observations: ArrayLike,
        actions: ArrayLike,
        rewards: ArrayLike,
        terminals: ArrayLike,
        masks: ArrayLike | None = None,
        timeouts: ArrayLike | None = None,
        truncations: ArrayLike | None = None,
        next_observations: ArrayLike | None = None,
        env: str | None = None,
        name: str = "arrays",
        validation: Dataset | None = None,
    ) -> Dataset:
        """Wrap arrays with one row per step; see `load` for their meaning. They are copied.

        observations, next_observations: (N, O); actions: (N, A) in environment units; rewards, terminals,
        masks, timeouts: (N,) or (N, 1), flags 0 or 1; `truncations`, Gymnasium's name, may stand for
        `timeouts`.
        Episodes of a list are concatenated first. `validation` holds transitions of the same environment to
        compute held-out losses on. Raises DataError if the arrays cannot be trusted.
        """
        arguments = {
            "observations": observations,
            "actions": actions,
            "rewards": rewards,
            "terminals": terminals,
            "masks": masks,
            "timeouts": timeouts,
            "truncations": truncations,
            "next_observations": next_observations,
        }
        arrays = {key: as_array(value, name, key) for key, value in arguments.items() if value is not None}
        check_layout(arrays, name, present=listed(arrays))
        warn_of_integers(arrays["actions"], arrays["actions"].dtype, name)
        with np.errstate(over="ignore"):  # becomes inf, which validation reports with its row
            columns = {k: a if k in FLAGS else a.astype(np.float32) for k, a in arrays.items()}
        return cls.from_columns(merge_flags(columns, name), name=name, env=env, validation=validation)

    @classmethod
    def from_columns(
        cls,
        columns: dict[str, np.ndarray],
        *,
        name: str,
        origin: str | None = None,
        env: str | None = None,
        time_limit: int | None = None,
        sha256: str | None = None,
        validation: Dataset | None = None,
        reference_returns: tuple[float, float] | None = None,
    ) -> Dataset:
        """Make a dataset of columns without copying them: float32 vectors and rewards, flags of any type.

        They have the keys, shapes and meaning of the arguments of `from_arrays`, and the dataset keeps them.
        `origin` is what errors call them where it is not the name: a path, say. Where there are neither
        timeouts nor next observations, episodes are cut after `time_limit` steps, or the environment's.
        `sha256` is that of the file that holds the columns, if one does. `validation` is the dataset's own
        split of held-out transitions, `reference_returns` are the file's own. Raises DataError if the columns
        cannot be trusted.
        """
        origin = origin or name
        columns = {key: column if key in VECTORS else column.reshape(-1) for key, column in columns.items()}
        bounds = spaces(env) if env else None
        if env and bounds:
            check_spaces(columns, origin, env, bounds)
        next_observed = fill_unknown(columns) if "next_observations" in columns else None
        for key, column in columns.items():
            (check_flags if key in FLAGS else check_finite)(column, origin, key)
        if env and bounds:
            check_actions(columns["actions"], origin, env, bounds)
        if bounds and time_limit is None:
            time_limit = bounds.time_limit
        uncut = time_limit is None and not {"timeouts", "next_observations", MASKS} & columns.keys()
        if uncut and env is None:
            warn(
                f"{origin} has neither timeouts nor next_observations, and its environment is not known: "
                "only terminals end its episodes. If time limits cut them, too, store timeouts, or name the "
                "environment with env=."
            )
        fields = transitions_of(columns, origin, time_limit, next_observed)
        arrays: dict[str, Any] = {name: _frozen(array) for name, array in fields.items()}
        return cls(
            name=name,
            env=env,
            uncut=uncut,
            validation=validation,
            reference_returns=reference_returns,
            source_sha256=sha256,
            **arrays,
        )

    def of_episodes(self, numbers: np.ndarray) -> Dataset:
        """Return the episodes with these numbers (K,), ascending, without the validation split.

        They are numbered again. `sha256` is then a hash of the whole dataset's and of the numbers.
        """
        kept = np.isin(self.episodes, numbers)
        rows = {name: getattr(self, name)[kept] for name in _PER_ROW}
        rows["episodes"] = np.searchsorted(numbers, rows["episodes"]).astype(np.int32)
        per_episode = {name: getattr(self, name)[numbers] for name in _PER_EPISODE}
        part = hashlib.sha256(f"{self.sha256} {digest({'episodes': numbers})}".encode()).hexdigest()
        return replace(self, **rows, **per_episode, validation=None, source_sha256=part)

    def of_environment(self, env: str) -> Dataset:
        """Return the same transitions as recorded in `env`. Raises DataError if they cannot be."""
        bounds = spaces(env)
        check_spaces({"observations": self.observations, "actions": self.actions}, self.name, env, bounds)
        check_actions(self.actions, self.name, env, bounds)
        if self.uncut and bounds.time_limit:
            raise DataError(
                f"{self.name} has neither timeouts nor next_observations, and its episodes were not cut at "
                f"the time limit of {env}, {bounds.time_limit} steps, as it was not known then. Name the "
                f"environment where the dataset is made, with env={env!r} in load or from_arrays."
            )
        validation = self.validation and self.validation.of_environment(env)
        return replace(self, env=env, validation=validation, source_sha256=self.sha256)

    @property
    def behaviour_return(self) -> float:
        """Mean return of the complete episodes, or of all if none is complete; raw, not normalized."""
        return float(self.counted_returns.mean())

    @property
    def counted(self) -> str:
        """Which episodes `behaviour_return` is of, as words to put behind it; empty if it is of all."""
        count = int(self.complete.sum())
        return "" if count in (0, len(self.complete)) else f" of the {count:,} complete"

    @property
    def counted_returns(self) -> np.ndarray:
        """Returns of the complete episodes, or of all if none is complete."""
        return self.episode_returns[self.complete] if self.complete.any() else self.episode_returns


def _check_validation(dataset: Dataset, validation: Dataset) -> None:
    """Check that the held-out transitions are of the same sizes and environment. Raises DataError."""

    def described(part: Dataset) -> str:
        sizes = part.observations.shape[1], part.actions.shape[1]
        return f"observations of {sizes[0]} numbers, actions of {sizes[1]}, environment {part.env}"

    if not isinstance(validation, Dataset):
        raise DataError(
            f"{dataset.name}: validation={validation!r} is not possible: it must be a Dataset of held-out "
            "transitions. A share of the episodes is held out by data.validation=0.05 on the command line, "
            'and by cocoa.fit(..., data={"validation": 0.05}).'
        )
    if described(dataset) != described(validation):
        raise DataError(
            f"{dataset.name}: the validation split has {described(validation)}, but the dataset has "
            f"{described(dataset)}. Both must be recorded in the same environment."
        )


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
