"""Rows of numbers that models are fitted to or start from, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def finite_rows(rows: ArrayLike, name: str, width: int | None = None) -> np.ndarray:
    """Return rows (N, width) as float32; None allows any width.

    Raises ValueError for another shape, and for a number that is not finite.
    """
    rows = np.asarray(rows, np.float32)
    if rows.ndim != 2 or rows.shape[1] != (width or rows.shape[1]):
        raise ValueError(f"{name} must have the shape (rows, {width or 'columns'}), not {rows.shape}")
    if not np.isfinite(rows).all():
        row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise ValueError(f"{name} are not finite in row {row}")
    return rows
