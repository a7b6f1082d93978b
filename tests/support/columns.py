"""Small datasets as columns, files and environments, for tests of the data's meaning and its checks."""

import warnings
from pathlib import Path

import gymnasium
import h5py
import numpy as np

TIME_LIMIT = 3
"""Steps after which `DatasetToy-v0` cuts an episode."""
ROWS = 40
"""Rows of `columns`."""


class Toy(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))


def recording(rows=6, **changes):
    """Two episodes: rows 0-2 end terminal, rows 3-5 by a timeout."""
    columns = {
        "observations": np.arange(2 * rows, dtype=np.float32).reshape(rows, 2),
        "actions": np.linspace(-1, 1, rows, dtype=np.float32)[:, None],
        "rewards": np.arange(rows, dtype=np.float32),
        "terminals": np.arange(rows) == 2,
        "timeouts": np.arange(rows) == 5,
    }
    return columns | changes


def columns():
    """One episode with the sizes of Pendulum-v1, cut by a time limit at its last row."""
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(ROWS + 1, 3)).astype(np.float32)
    return {
        "observations": observations[:-1].copy(),
        "actions": rng.uniform(-1, 1, (ROWS, 1)).astype(np.float32),
        "rewards": rng.normal(size=ROWS).astype(np.float32),
        "terminals": np.zeros(ROWS, bool),
        "timeouts": np.arange(ROWS) == ROWS - 1,
        "next_observations": observations[1:].copy(),
    }


def write(path: Path, data: dict) -> Path:
    with h5py.File(path, "w") as file:
        for key, column in data.items():
            compressed = {"compression": "gzip"} if np.ndim(column) and np.size(column) else {}
            file.create_dataset(key, data=column, **compressed)
    return path


def messages_of(make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return make(), " ".join(str(warning.message) for warning in caught)


def assert_says(error, *fragments):
    message = str(error.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message, message
