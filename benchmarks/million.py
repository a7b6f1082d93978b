"""A file of a million transitions: `python -m benchmarks.million million.hdf5`.

The transitions are hopper-demo's, over and over, each copy with its states shifted by a vector of its own.
The file is for times and memory; what is learned of it says nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np

from cocoa.data import load

ROWS = 1_000_000
SHIFT = 0.05
"""Of a copy, in standard deviations of the states."""


def write_million(path: Path, rows: int = ROWS) -> None:
    """Write `rows` transitions of Hopper-v4 as D4RL does."""
    demo = load("hopper-demo")
    ends = np.append(demo.episodes[1:] != demo.episodes[:-1], True)
    columns = {
        "observations": demo.observations,
        "actions": demo.actions,
        "rewards": demo.rewards,
        "terminals": demo.terminals,
        "timeouts": ends & ~demo.terminals,
        "next_observations": demo.next_observations,
    }
    rng = np.random.default_rng(0)
    std = demo.observations.std(axis=0)
    copies = -(-rows // len(ends))
    shifts = (SHIFT * std * rng.standard_normal((copies, len(std)))).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.attrs["env_id"] = "Hopper-v4"
        for name, column in columns.items():
            moved = shifts if name.endswith("observations") else np.zeros(copies, column.dtype)
            repeated = np.concatenate([column + shift for shift in moved])[:rows]
            file.create_dataset(name, data=repeated.astype(column.dtype), compression="gzip")


if __name__ == "__main__":
    write_million(Path(sys.argv[1]))
