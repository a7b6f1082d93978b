"""Checks of a dataset's columns; every message names the file, the key, the first bad row and what to do.

Rows are counted from 0, as NumPy and h5py do.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from cocoa.environments.spaces import Spaces
from cocoa.errors import DataError, escaped, shown

VECTORS = ("observations", "actions", "next_observations")
"""Keys with one vector per row, (N, d)."""
TERMINALS = ("terminals", "terminal", "terminations", "termination", "terminated", "terminateds")
"""Names that recorders give to flags of terminals."""
TIMEOUTS = (
    *("timeouts", "timeout", "time_limits", "time_limit"),
    *("truncations", "truncation", "truncated", "truncateds"),
)
"""Names that recorders give to flags of time limits."""
ENDS = ("dones", "done", "episode_terminals")
"""Names of flags that mark terminals and, from many recorders, time limits as well."""
MASKS = "masks"
"""Name of the flags that are 0 where the next state has no future, whether or not the episode ends there."""
FLAGS = (*TERMINALS, *TIMEOUTS, *ENDS, MASKS)
"""Keys with one flag per row, (N,) or (N, 1)."""
REQUIRED = ("observations", "actions", "rewards", "terminals")
"""Keys that a dataset must have."""
_EPISODES = (
    " If these are episodes, concatenate them (np.concatenate) and mark the last step of each in terminals "
    "or timeouts."
)
_PACKAGE = str(Path(__file__).parents[1])
_LISTED = 8  # names in a message
ACTION_TOLERANCE = 1e-5
"""Share of half the range by which actions may exceed it: the rounding of a tanh policy's actions."""


def listed(names: Iterable[str]) -> str:
    """Return names from a file for a message: escaped, each shortened, and no more than a few."""
    names = list(names)
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(shown(name) for name in names[:_LISTED]) + more


def warn(message: str) -> None:
    """Warn at the line that called this package, with control characters escaped."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(escaped(message), stacklevel=level)


def warn_of_integers(actions: np.ndarray, dtype: np.dtype, origin: str) -> None:
    """Warn if actions were stored as integers, which are taken as continuous numbers."""
    if dtype.kind in "iu":
        count = len(np.unique(actions))
        warn(
            f"{origin}: `actions` are integers ({dtype}) with {count:,} distinct values; they are taken as "
            "continuous numbers. Discrete actions are not supported; store continuous ones as float32."
        )


def as_array(value: Any, origin: str, key: str) -> np.ndarray:
    """Return the value of a key as an array of numbers; tensors are copied from their device.

    Raises DataError for what has no such form, such as episodes of different lengths.
    """
    try:
        if hasattr(value, "detach"):  # a PyTorch tensor, which may need a gradient or lie on a GPU
            value = value.detach().cpu()
        array = np.asarray(value)
    except Exception as error:  # NumPy asks the object itself, which may raise anything
        reason = f"is no array of one shape ({shown(error, 150)})"
        raise DataError(f"{origin}: `{key}` {reason}.{_EPISODES}") from error
    if np.ma.is_masked(value):  # of which the array has lost the mask
        raise DataError(f"{origin}: `{key}` has masked values. Leave these rows out, or fill them in.")
    if array.dtype == object:
        kind = f"{len(array):,} objects" if array.ndim else f"a {type(value).__name__}"
        raise DataError(f"{origin}: `{key}` is {kind} and no array of numbers.{_EPISODES}")
    return array


def check_layout(columns: Mapping[str, Any], origin: str, present: str) -> None:
    """Check that keys, dtypes and shapes fit together, without looking at values.

    `columns` maps keys to arrays or HDF5 datasets; `origin` is the name or path that errors give, and
    `present` the list of all keys. Raises DataError.
    """
    for key in REQUIRED:
        if key not in columns and not (key == "terminals" and {*TERMINALS, *ENDS} & columns.keys()):
            needed = f"D4RL's format needs {', '.join(REQUIRED)}."
            raise DataError(f"{origin}: key `{key}` is missing (found: {present}). {needed}")
    for key, column in columns.items():
        _check_column(column.dtype, column.shape, origin, key)
    _check_rows({key: column.shape[0] for key, column in columns.items()}, origin)
    width = columns["observations"].shape[1]
    if "next_observations" in columns and columns["next_observations"].shape[1] != width:
        reason = (
            f"has {columns['next_observations'].shape[1]} numbers per row, but `observations` has {width}"
        )
        _reject(origin, "next_observations", reason, "Both must be of the same environment.")


def _check_column(dtype: np.dtype, shape: tuple[int, ...] | None, origin: str, key: str) -> None:
    if shape is None:
        _reject(origin, key, "has no values (a null dataspace)", "Store one row per step.")
    if dtype.kind not in ("fiub" if key in FLAGS else "fiu"):
        remedy = f"Store it as {'bool' if key in FLAGS else 'float32'}."
        _reject(origin, key, f"has dtype {dtype} instead of a numeric one", remedy)
    if key in VECTORS:
        if len(shape) != 2 or shape[1] == 0:
            remedy = (
                f"It must be (N, d): one vector of numbers per row.{_EPISODES if len(shape) == 3 else ''}"
            )
            _reject(origin, key, f"has shape {shape}", remedy)
    elif len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        remedy = f"It must be (N,) or (N, 1): one number per row.{_EPISODES if len(shape) == 2 else ''}"
        _reject(origin, key, f"has shape {shape}", remedy)


def _check_rows(rows: dict[str, int], origin: str) -> None:
    expected = rows["observations"]
    if expected == 0:
        _reject(origin, "observations", "has no rows", "Record at least one transition.")
    for key, count in rows.items():
        if count != expected:
            reason = (
                f"has {count} rows but `observations` {expected}; they part at row {min(count, expected)}"
            )
            _reject(origin, key, reason, "Every key needs one row per step.")


def check_spaces(columns: Mapping[str, Any], origin: str, env: str, spaces: Spaces) -> None:
    """Check that observations and actions have the sizes of the environment's. Raises DataError."""
    sizes = {"observations": spaces.observation_dim, "actions": len(spaces.action_low)}
    for key, size in sizes.items():
        if columns[key].shape[1] != size:
            reason = f"has {columns[key].shape[1]} numbers per row, but environment {env} has {size}"
            _reject(origin, key, reason, "Give env= the environment in which the data was recorded.")


def check_finite(column: np.ndarray, origin: str, key: str) -> None:
    """Check for NaN and infinity. Raises DataError."""
    # min and max propagate NaN, and need no temporary array of the column's size.
    if np.isfinite(column.min()) and np.isfinite(column.max()):
        return
    bad = ~np.isfinite(column)
    where = tuple(int(i) for i in np.argwhere(bad)[0])
    place = f"row {where[0]}" + (f", column {where[1]}" if column.ndim == 2 else "")
    reason = f"holds {column[where]:g} in {place} ({_count(bad)}); as float32 every number must be finite"
    _reject(origin, key, reason, "Drop the episodes concerned or record them again.")


def without_future(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (N,) bool: whether the next state of a row has no future, by `masks` or else by `terminals`."""
    return ~columns[MASKS].astype(bool) if MASKS in columns else columns["terminals"].astype(bool)


def fill_unknown(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Put the observation in place of next observations that are not finite in terminal rows.

    A recorder that has none stores NaN there. Returns (N,) bool: the rows in which a next observation stays.
    """
    following, terminals = columns["next_observations"], without_future(columns)
    observed = np.ones(len(terminals), bool)
    if np.isfinite(following.min()) and np.isfinite(following.max()):
        return observed
    observed = ~terminals | np.isfinite(following).all(axis=1)
    following[~observed] = columns["observations"][~observed]
    return observed


def check_flags(column: np.ndarray, origin: str, key: str) -> None:
    """Check that all values are 0 or 1. Raises DataError."""
    if column.dtype == bool:
        return
    bad = (column != 0) & (column != 1)
    if bad.any():
        row = int(bad.argmax())
        reason = f"holds {column[row]:g} in row {row} ({_count(bad)}); a flag is 0 or 1"
        _reject(origin, key, reason, "Store it as bool.")


def check_actions(actions: np.ndarray, origin: str, env: str, spaces: Spaces) -> None:
    """Check that actions (N, A) lie within the environment's bounds.

    Excesses up to 1e-5 of half the range are accepted. Raises DataError.
    """
    low, high = spaces.action_low, spaces.action_high
    slack = ACTION_TOLERANCE * (high - low) / 2
    if (actions.min(axis=0) >= low - slack).all() and (actions.max(axis=0) <= high + slack).all():
        return
    bad = (actions < low - slack) | (actions > high + slack)
    row, column = (int(i) for i in np.argwhere(bad)[0])
    hint = "Clip or rescale the actions, or give env= the environment in which the data was recorded."
    if spaces.action_bounded[column]:
        owner = f"the bounds of {env}"
    else:
        owner = f"the bounds assumed, as {env} has not two finite ones there"
        hint = "Register the environment with an action space of finite bounds that hold all actions."
    reason = (
        f"holds {actions[row, column]:g} in row {row}, column {column} ({_count(bad)}), outside of "
        f"[{low[column]:g}, {high[column]:g}], {owner}"
    )
    _reject(origin, "actions", reason, hint)


def _reject(origin: str, key: str, reason: str, remedy: str) -> NoReturn:
    raise DataError(f"{origin}: `{key}` {reason}. {remedy}")


def _count(bad: np.ndarray) -> str:
    rows = int(bad.reshape(len(bad), -1).any(axis=1).sum())
    return f"{rows} bad {'row' if rows == 1 else 'rows'} in all"
