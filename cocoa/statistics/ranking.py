"""How well estimates rank policies whose true scores are known.

Estimates and scores are arrays (policies,). What is not finite is the lowest: a policy that diverged, or one
whose estimate did. Of equal estimates the policy that is named first counts as the better one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats

from cocoa.statistics.aggregates import ranked


def spearman(estimates: np.ndarray, scores: np.ndarray) -> float:
    """Return Spearman's rank correlation: -1 to 1, NaN where all estimates or all scores are equal."""
    estimates, scores = ranked(estimates), ranked(scores)
    if len(estimates) < 2 or len(set(estimates)) < 2 or len(set(scores)) < 2:
        return float("nan")
    # The correlation is one of ranks, which have no infinities.
    correlation: Any = scipy.stats.spearmanr(scipy.stats.rankdata(estimates), scipy.stats.rankdata(scores))
    return float(correlation[0])


def regret_at(k: int, estimates: np.ndarray, scores: np.ndarray) -> float:
    """Return by how much the best of the `k` policies with the highest estimates is below the best of all.

    It is in the unit of the scores and infinite if all k diverged (Fu et al., ICLR 2021, arXiv 2103.16596).
    """
    true = ranked(scores)
    return float(true.max() - true[_top(k, estimates)].max())


def top_share_at(k: int, estimates: np.ndarray, scores: np.ndarray) -> float:
    """Return which share of the `k` best policies is among the `k` with the highest estimates."""
    chosen, best = _top(k, estimates), _top(k, scores)
    return len(set(chosen) & set(best)) / len(best)


def _top(k: int, values: np.ndarray) -> list[int]:
    """Return the positions of the `k` highest values, all if there are fewer."""
    if k < 1:
        raise ValueError(f"k={k} must be at least 1")
    return np.argsort(-ranked(values), kind="stable")[:k].tolist()
