"""What a folder of sets says of itself: a page with a table, and a figure of the returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cocoa.collection.settings import Collection, command
from cocoa.data import Dataset
from cocoa.data.scores import percent
from cocoa.runs.plots import STATE, save
from cocoa.storage.files import atomic_write


@dataclass(frozen=True)
class References:
    """Mean returns of a collection's random actions (0 %) and of its last policy (100 %)."""

    low: float
    high: float
    error: float
    """Standard error of their difference; infinite where one is of a single episode."""

    @classmethod
    def of(cls, random: np.ndarray, last: np.ndarray) -> References:
        """Return the references of episode returns (N,), (M,)."""
        parts = [x.var(ddof=1) / len(x) if len(x) > 1 else math.inf for x in (random, last)]
        return cls(float(random.mean()), float(last.mean()), math.sqrt(sum(parts)))

    @property
    def scale(self) -> tuple[float, float] | None:
        """Both returns, or None if the last policy is not clearly better: then scores would be noise."""
        return (self.low, self.high) if self.high - self.low > 2 * self.error else None


@dataclass(frozen=True)
class Row:
    """What the card says of a set."""

    name: str
    transitions: int
    returns: np.ndarray
    """Of the whole episodes, or of all if there is none."""
    episodes: int
    references: References

    @classmethod
    def of(cls, dataset: Dataset, name: str, references: References) -> Row:
        """Return the row of a set."""
        return cls(name, len(dataset), dataset.counted_returns, len(dataset.complete), references)

    @property
    def score(self) -> str:
        """The mean return in percent of the way from random to the last policy's, if there is a scale."""
        scale = self.references.scale
        return f"{percent(float(self.returns.mean()), scale):.1f}" if scale else "-"


def write_card(
    folder: Path, settings: Collection, rows: list[Row], medium: Mapping[int, int], versions: str
) -> None:
    """Write README.md; `medium` holds for each seed the step after which its medium policy was kept.

    Raises RunError if it cannot be written.
    """
    table = "\n".join(
        f"| {row.name} | {row.transitions:,} | {row.episodes:,} | {row.returns.mean():.1f} | "
        f"{row.returns.min():.1f} | {row.returns.max():.1f} | {row.score} |"
        for row in rows
    )
    references = "\n".join(
        f"- {name}: {found.low:.2f} (random actions), {found.high:.2f} (last policy)"
        for name, found in dict.fromkeys(
            (row.name.removeprefix(row.name.split(" ")[0]).strip() or "all sets", row.references)
            for row in rows
        )
    )
    several = len(medium) > 1
    kept = ", ".join(f"{step:,}" + f" (seed {seed})" * several for seed, step in medium.items())
    text = f"""# Datasets of {settings.env}

Made by

    {command(settings)}

with {versions}. SAC was trained online for {settings.steps:,} environment steps. The medium
policy is that after {kept} steps.

| set | transitions | episodes | return, mean | lowest | highest | score |
|---|---|---|---|---|---|---|
{table}

Returns are those of whole episodes. The score is the mean return in percent of the way from the
return of random actions to that of the last policy, both of this collection's own:

{references}

It is not D4RL's normalized score. The two returns are in the attribute `reference_returns` of each
file, and `cocoa.normalized_score(<file>, <return>)` uses them, unless the last policy is not clearly
better than random actions (by two standard errors): then there is no score. Actions were drawn from
the stochastic policies, as in training.

![Returns](returns.png)
"""
    atomic_write(folder / "README.md", text.encode())


def draw_returns(path: Path, rows: list[Row]) -> None:
    """Draw a histogram of the returns of each set, on one axis of returns. Raises RunError."""
    lows, highs = zip(*((row.returns.min(), row.returns.max()) for row in rows), strict=True)
    bins = np.linspace(min(lows), max(max(highs), min(lows) + 1e-6), 41)
    figure = Figure(figsize=(6.4, 1.1 * len(rows) + 0.8), layout="constrained")
    for row, axes in zip(rows, figure.subplots(len(rows), sharex=True, squeeze=False)[:, 0], strict=True):
        axes.hist(row.returns, bins=bins, color=STATE)  # type: ignore[arg-type]
        for reference in (row.references.low, row.references.high):
            axes.axvline(reference, color="0.3", linestyle="--", linewidth=1)
        axes.set_title(
            f"{row.name}: {len(row.returns):,} episodes, mean {row.returns.mean():.1f}",
            fontsize=9,
            loc="left",
        )
        axes.set_ylabel("episodes", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    figure.axes[-1].set_xlabel("return (dashed: random actions and last policy)")
    save(figure, path)
