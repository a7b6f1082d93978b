"""Means and standard deviations of columns, by which data are standardised."""

from __future__ import annotations

import numpy as np

_STD_FLOOR = 1e-6


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (d,) of rows (N, d), float32, computed in float64.

    A column whose deviation is below 1e-6 counts as constant: its deviation is 0.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    # Column by column, since NumPy's std makes a float64 copy of all rows.
    std = np.array([column.std(dtype=np.float64) for column in rows.T])
    return mean.astype(np.float32), np.where(std < _STD_FLOOR, 0.0, std).astype(np.float32)


def divisor(std: np.ndarray) -> np.ndarray:
    """Return standard deviations (d,) to divide by: 1 in place of 0."""
    return np.where(std > 0, std, np.float32(1))
