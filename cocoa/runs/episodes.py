"""The evaluated episodes of a run: one tidy CSV file, a row per episode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cocoa.errors import RunError
from cocoa.runs.rows import RowsFile, lines_of, text_of
from cocoa.training.evaluation import Episodes

HEADER = "step,seed,episode,return,length,success\n"


class EpisodesFile(RowsFile):
    """Appends rows `step,seed,episode,return,length,success`, episodes counted from 0 in each evaluation."""

    header = HEADER

    def write(self, step: int, episodes: Episodes, seeds: Sequence[int]) -> None:
        """Append the episodes of the evaluation after the update `step`."""
        self.append(rows_of(step, episodes, seeds))


def rows_of(step: int, episodes: Episodes, seeds: Sequence[int]) -> str:
    """Return the rows of the episodes of `seeds` after the update `step`."""
    rows = []
    for seed, *values in zip(seeds, *episodes, strict=True):
        for number, episode in enumerate(zip(*values, strict=True)):
            rows.append(f"{step},{seed},{number},{','.join(map(text_of, episode))}\n")
    return "".join(rows)


def read_episodes(path: Path) -> dict[int, dict[int, np.ndarray]]:
    """Return {step: {seed: (episodes, 3) float64}} of an episodes file: return, length, success.

    Raises RunError, naming the line, if it is damaged or missing.
    """
    rows: dict[int, dict[int, list[list[float]]]] = {}
    for number, line in enumerate(lines_of(path, HEADER), start=2):
        try:
            step, seed, episode, *values = line.split(",")
            played = rows.setdefault(int(step), {}).setdefault(int(seed), [])
            if int(episode) != len(played) or len(values) != 3:
                raise ValueError("rows are missing")
            played.append([float(value) for value in values])
        except ValueError as error:
            raise RunError(f"{path} is damaged in line {number}: {line[:80]!r}.") from error
    return {step: {seed: np.array(x) for seed, x in seeds.items()} for step, seeds in rows.items()}
