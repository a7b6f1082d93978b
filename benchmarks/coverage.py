"""How often the intervals of docs/statistics.md contain the truth, by simulation on known distributions.

`python -m benchmarks.coverage [experiments]` prints the tables of that page (1,000 experiments: ten minutes).
"""

from __future__ import annotations

import sys

import numpy as np

from cocoa.statistics.aggregates import Scores, iqm, mean
from cocoa.statistics.bootstrap import bootstrap, percentiles
from cocoa.statistics.deployment import deployment
from cocoa.statistics.differences import difference, seeds_needed

EXPERIMENTS = 1_000
SETTINGS = ((1, 3), (1, 4), (1, 5), (1, 10), (3, 3), (3, 4), (3, 10), (9, 4))
_RESAMPLES = 1_000
_LEVELS = 20.0
"""Difference of the datasets' levels; a seed moves both methods by 10, and each on its own by 5."""


def experiment(rng: np.random.Generator, datasets: int, seeds: int, effect: float) -> tuple[Scores, Scores]:
    """Return the scores of a method and a baseline whose seeds are paired."""
    levels = _LEVELS * np.arange(datasets)[:, None]
    shared = levels + rng.normal(0, 10, (datasets, seeds))
    return list(shared + rng.normal(effect, 5, shared.shape)), list(shared + rng.normal(0, 5, shared.shape))


def differences(experiments: int) -> str:
    """Return a table: how often intervals of differences contain the true one, which is 0."""
    lines = ["| datasets | seeds | mean: percentile | mean: t | IQM: percentile | IQM: t |", "|" + "---|" * 6]
    rng = np.random.default_rng(0)
    for datasets, seeds in SETTINGS:
        hits = np.zeros((2, 2))
        for _ in range(experiments):
            pair, together = experiment(rng, datasets, seeds, 0.0), [True] * datasets
            for row, statistic in enumerate((mean, iqm)):
                draws = bootstrap(
                    lambda x, y, of=statistic: of(x) - of(y), *pair, paired=together, resamples=_RESAMPLES
                )
                low, high = percentiles(draws)
                hits[row, 0] += low <= 0 <= high
                hits[row, 1] += difference(*pair, together, statistic, _RESAMPLES).sign == 0
        shares = [f"{100 * share:.0f} %" for share in (hits / experiments).ravel()]
        lines.append(f"| {datasets} | {seeds} | {' | '.join(shares)} |")
    return "\n".join(lines)


def promises(experiments: int) -> str:
    """Return a table: how often the promised number of seeds shows a difference, known or as observed."""
    lines = ["| datasets | difference | seeds that would do | shown by so many |", "|" + "---|" * 4]
    rng = np.random.default_rng(1)
    for datasets, effect in ((1, 10.0), (1, 5.0), (3, 5.0), (9, 2.0)):
        needed = seeds_needed(effect, np.sqrt(50 / datasets), datasets)
        assert needed is not None
        shown = [
            difference(*experiment(rng, datasets, needed, effect), [True] * datasets, mean, _RESAMPLES).sign
            for _ in range(experiments)
        ]
        share = np.mean(np.array(shown) == 1)
        lines.append(f"| {datasets} | {effect:g} | {needed} | {100 * share:.0f} % |")
    return "\n".join(lines)


def prices(experiments: int) -> str:
    """Return a table: how often the interval of a deployed policy's score contains its expectation."""
    lines = ["| policies | among | after 1 | after `among` | after 60 |", "|" + "---|" * 5]
    rng = np.random.default_rng(2)

    def policies(count: int) -> list[np.ndarray]:
        return [rng.normal(level, 15, 100) for level in rng.normal(60, 15, count)]

    for trained, among in ((4, 4), (8, 8), (8, 4), (16, 8), (24, 8)):
        at = [0, among - 1, 59]
        truth = np.mean([deployment(policies(among), 60).score[at] for _ in range(experiments)], axis=0)
        hits = np.zeros(3)
        for _ in range(experiments):
            found = deployment(policies(trained), 60, among)
            hits += (found.low[at] <= truth) & (truth <= found.high[at])
        shares = [f"{100 * share:.0f} %" for share in hits / experiments]
        lines.append(f"| {trained} | {among} | {' | '.join(shares)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EXPERIMENTS
    print(differences(count), end="\n\n", flush=True)
    print(promises(count), end="\n\n", flush=True)
    print(prices(count // 5), flush=True)
