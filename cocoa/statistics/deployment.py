"""The price of tuning: the expected score of the policy that is deployed after some online evaluations.

A user trains several policies, of other hyperparameters and seeds, and has a budget of episodes in the real
environment to choose one. Jackson, Berdica, Liesen, Whiteson and Foerster, "A Clean Slate for Offline
Reinforcement Learning" (NeurIPS 2025), evaluate algorithms by this: a bandit (UCB) spends the episodes on the
policies, and after each the one with the best mean so far would be deployed. The protocol is theirs, with
four repairs:

- Their intervals resample the bandit's trials, which shrinks them to nothing with more trials, however few
  policies were trained. Here the policies are resampled: the interval says how far the curve may be from that
  of other trainings.
- Their exploration is the same number for all scores, and hardly any next to scores of 0 to 100: the bandit
  is almost greedy. Here it is in units of the scores' spread from episode to episode.
- A policy that has not been played has the mean 0 with them, and is deployed where the others are negative.
  Here only a policy that was played is deployed.
- Their trials take fewer policies of an algorithm that has fewer, without a word. Here `among` is the same
  for all, or an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from cocoa.statistics.bootstrap import CONFIDENCE

EXPLORATION = 2.0
"""The factor of log(t) / plays in the square of the bandit's bonus, for scores of standard deviation one."""
_TRIALS = 4_000
"""Bandits whose mean is the curve."""
_RESAMPLES = 300
_TRIALS_EACH = 20
"""Bandits for each resample of the policies."""


class Deployment(NamedTuple):
    """The expected score of the deployed policy; arrays (N,)."""

    evaluations: np.ndarray
    """The number of episodes played: 1 to N."""
    score: np.ndarray
    low: np.ndarray
    high: np.ndarray
    """The ends of the 95 % interval; NaN for a single policy."""
    among: int
    """How many policies the user chooses among."""
    policies: int
    """How many were trained."""


def deployment(
    policies: Sequence[np.ndarray],
    evaluations: int = 100,
    among: int | None = None,
    seed: int = 0,
    exploration: float = EXPLORATION,
) -> Deployment:
    """Return the expected score of the policy that is deployed after 1 to `evaluations` episodes.

    `policies` are the scores (episodes,) of the episodes that each trained policy has played: one episode of
    a bandit draws one of them with replacement, and the true score of a policy is their mean. In each of many
    trials `among` of the policies, by default all, are drawn without replacement, and played once each in
    random order; then that with the largest

        mean + spread * sqrt(exploration * log(t) / plays)

    is played, after t episodes, where `spread` is the root of the policies' mean variance from episode to
    episode. The deployed policy has the largest mean of those played; ties go to a random one. Episodes
    without a finite score count as the lowest that any policy had.

    The interval is score +- t * error, with Student's quantile t for K-1 degrees of freedom, where K is the
    number of `policies`. `error` is the standard deviation of the curves of K policies resampled with
    replacement, times sqrt(K / (K-1)); the part of their variance that comes from the finite number of trials
    is taken out. Such an interval is somewhat too narrow where the best policy decides, most of all if
    `among` is K: see docs/statistics.md. Raises ValueError if there are fewer policies than `among`, or one
    has no episode, or none has a finite score.
    """
    if not policies or min(map(len, policies)) == 0:
        raise ValueError("each policy needs an evaluated episode")
    count = len(policies) if among is None else among
    if not 1 <= count <= len(policies):
        raise ValueError(f"{count} policies cannot be drawn from {len(policies)}")
    rng = np.random.default_rng(seed)
    arms = _Arms(_finite(policies), exploration)
    everyone = np.broadcast_to(np.arange(len(policies)), (_TRIALS, len(policies)))
    score = arms.play(_some(everyone, count, rng), evaluations, rng).mean(axis=0)
    steps = np.arange(1, evaluations + 1)
    if len(policies) == 1:
        missing = np.full(evaluations, np.nan)
        return Deployment(steps, score, missing, missing, count, 1)
    resampled = np.repeat(rng.integers(len(policies), size=(_RESAMPLES, len(policies))), _TRIALS_EACH, axis=0)
    curves = arms.play(_some(resampled, count, rng), evaluations, rng)
    half = _half_width(curves.reshape(_RESAMPLES, _TRIALS_EACH, evaluations), len(policies))
    return Deployment(steps, score, score - half, score + half, count, len(policies))


class _Arms:
    """The policies, as a bandit plays them."""

    def __init__(self, policies: Sequence[np.ndarray], exploration: float):
        self.lengths = np.array([len(episodes) for episodes in policies])
        self.episodes = np.zeros((len(policies), self.lengths.max()))
        for row, episodes in zip(self.episodes, policies, strict=True):
            row[: len(episodes)] = episodes
        self.means = np.array([episodes.mean() for episodes in policies])
        variances = [episodes.var(ddof=1) for episodes in policies if len(episodes) > 1]
        self.bonus = np.sqrt(exploration * np.mean(variances)) if variances else 0.0

    def play(self, chosen: np.ndarray, evaluations: int, rng: np.random.Generator) -> np.ndarray:
        """Return the true scores (trials, evaluations) of the policy deployed after each episode.

        `chosen` (trials, k) are the policies of each trial, in the order in which they are first played.
        """
        trials = np.arange(len(chosen))
        plays, sums = np.zeros(chosen.shape), np.zeros(chosen.shape)
        means = np.full(chosen.shape, -np.inf)
        deployed = np.empty((evaluations, len(chosen)))
        for t in range(evaluations):
            if t < chosen.shape[1]:
                arm = np.full(len(chosen), t)
            else:
                arm = np.argmax(means + self.bonus * np.sqrt(np.log(t) / plays), axis=1)
            policy = chosen[trials, arm]
            episode = (rng.random(len(chosen)) * self.lengths[policy]).astype(int)
            plays[trials, arm] += 1
            sums[trials, arm] += self.episodes[policy, episode]
            means[trials, arm] = sums[trials, arm] / plays[trials, arm]
            deployed[t] = self.means[chosen[trials, np.argmax(means, axis=1)]]
        return deployed.T


def _finite(policies: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the policies with the lowest finite score of all in place of what is not finite."""
    scores = np.concatenate(policies)
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        raise ValueError("no episode has a finite score")
    return [np.where(np.isfinite(episodes), episodes, finite.min()) for episodes in policies]


def _some(policies: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` of the policies (trials, K) of each trial, in random order."""
    order = rng.permuted(np.broadcast_to(np.arange(policies.shape[1]), policies.shape), axis=1)
    return np.take_along_axis(policies, order[:, :count], axis=1)


def _half_width(curves: np.ndarray, policies: int) -> np.ndarray:
    """Return half the width (N,) of the interval; `curves` (resamples, trials, N) are of resampled policies.

    The mean of a few trials scatters more than the expectation that it estimates: this much is taken out.
    """
    total = curves.mean(axis=1).var(axis=0, ddof=1)
    noise = (curves.var(axis=1, ddof=1) / curves.shape[1]).mean(axis=0)
    error = np.sqrt(np.clip(total - noise, 0, None) * policies / (policies - 1))
    return scipy.stats.t.ppf((1 + CONFIDENCE) / 2, policies - 1) * error
