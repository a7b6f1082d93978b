"""The price of tuning, against a slow literal version and in cases whose answer is known."""

import math

import numpy as np
import pytest

from cocoa.statistics.deployment import EXPLORATION, deployment


def policies(count, episodes=40, seed=0, spread=10.0):
    rng = np.random.default_rng(seed)
    return [rng.normal(mean, spread, episodes) for mean in rng.normal(50, 12, count)]


def literal(scores, evaluations, among, trials, seed=1):
    """The protocol, one trial and one episode after the other: the mean score (evaluations,) over trials."""
    rng = np.random.default_rng(seed)
    spread = math.sqrt(np.mean([np.var(episodes, ddof=1) for episodes in scores]))
    total = np.zeros(evaluations)
    for _ in range(trials):
        chosen = rng.permutation(len(scores))[:among]
        played = {arm: [] for arm in chosen}
        for t in range(evaluations):
            new = [arm for arm in chosen if not played[arm]]
            if new:
                arm = new[0]
            else:
                values = {
                    arm: np.mean(seen) + spread * math.sqrt(EXPLORATION * math.log(t) / len(seen))
                    for arm, seen in played.items()
                }
                arm = max(values, key=values.get)
            played[arm].append(rng.choice(scores[arm]))
            best = max((arm for arm in chosen if played[arm]), key=lambda arm: np.mean(played[arm]))
            total[t] += np.mean(scores[best])
    return total / trials


def test_the_curve_is_that_of_a_literal_version():
    scores = policies(6)
    found = deployment(scores, 25, among=4)
    # The standard errors of the two are about 10 / sqrt(1000) and 10 / sqrt(4000).
    np.testing.assert_allclose(found.score, literal(scores, 25, 4, 1_000), atol=1.2)
    assert found.evaluations.tolist() == list(range(1, 26))
    assert (found.among, found.policies) == (4, 6)


def test_a_single_policy_is_deployed_from_the_start_and_has_no_interval():
    scores = policies(1)
    found = deployment(scores, 10)
    np.testing.assert_allclose(found.score, scores[0].mean())
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()


def test_of_two_policies_without_noise_the_better_one_is_known_after_two_evaluations():
    found = deployment([np.full(3, -20.0), np.full(7, -10.0)], 10)
    assert found.score[0] == pytest.approx(-15, abs=0.5)
    np.testing.assert_allclose(found.score[1:], -10)


def test_a_policy_that_was_not_played_is_not_deployed():
    """Its mean would be 0, above those of policies with negative scores."""
    found = deployment([np.full(3, -20.0), np.full(3, -20.0), np.full(3, -90.0)], 3)
    assert found.score[0] == pytest.approx(-130 / 3, abs=2)
    assert found.score[0] <= found.score[1] <= found.score[2] == -20


def test_a_dominating_policy_is_found_by_all_trials():
    scores = [*policies(5), np.random.default_rng(9).normal(150, 10, 40)]
    found = deployment(scores, 20)
    np.testing.assert_allclose(found.score[5:], scores[-1].mean())


def test_after_many_evaluations_the_best_policy_is_deployed():
    scores = policies(4, spread=5.0)
    means = np.array([episodes.mean() for episodes in scores])
    found = deployment(scores, 1_500)
    assert found.score[0] == pytest.approx(means.mean(), abs=1)
    assert found.score[-1] == pytest.approx(means.max(), abs=0.3)
    assert (np.diff(found.score[4::100]) > -0.3).all()


def test_the_curve_keeps_its_shape_on_another_scale():
    """Exploration is in units of the scores' spread: scores a thousand times as large change nothing else."""
    scores = policies(5)
    large = deployment([1_000 * episodes + 7 for episodes in scores], 40)
    small = deployment(scores, 40)
    np.testing.assert_allclose(large.score, 1_000 * small.score + 7)
    np.testing.assert_allclose(large.high - large.low, 1_000 * (small.high - small.low), rtol=1e-6)


def test_the_interval_is_that_of_the_policies_and_does_not_shrink_with_trials(monkeypatch):
    """After one evaluation a random policy is deployed: its mean has Student's interval over policies."""
    scores = policies(12)
    means = np.array([episodes.mean() for episodes in scores])
    expected = 2 * 2.201 * means.std(ddof=1) / math.sqrt(12)
    widths = []
    for trials in (10, 200):
        monkeypatch.setattr("cocoa.statistics.deployment._TRIALS_EACH", trials)
        monkeypatch.setattr("cocoa.statistics.deployment._RESAMPLES", 600)
        found = deployment(scores, 1, among=4)
        widths.append(found.high[0] - found.low[0])
    assert widths == pytest.approx([expected, expected], rel=0.12)


def test_the_interval_covers_other_trainings(monkeypatch):
    """Curves of 8 policies estimated from 16 of the same population, after 1, 8 and 40 evaluations."""
    monkeypatch.setattr("cocoa.statistics.deployment._TRIALS", 400)
    monkeypatch.setattr("cocoa.statistics.deployment._RESAMPLES", 60)
    at = [0, 7, 39]
    truth = np.mean([deployment(policies(8, seed=s), 40).score[at] for s in range(1_000, 1_150)], axis=0)
    hits = np.zeros(3)
    for seed in range(60):
        found = deployment(policies(16, seed=seed), 40, among=8)
        hits += (found.low[at] <= truth) & (truth <= found.high[at])
    assert (hits / 60 > 0.75).all()
    assert hits[0] / 60 > 0.85


def test_an_episode_without_a_finite_score_counts_as_the_lowest():
    scores = [np.array([5.0, np.nan]), np.array([1.0, 3.0])]
    expected = deployment([np.array([5.0, 1.0]), np.array([1.0, 3.0])], 30)
    np.testing.assert_array_equal(deployment(scores, 30).score, expected.score)


def test_what_is_not_possible_is_an_error():
    for scores, among in (
        ([], None),
        ([np.array([])], None),
        (policies(2), 3),
        (policies(2), 0),
        ([np.array([np.nan])], None),
    ):
        with pytest.raises(ValueError):
            deployment(scores, 5, among)
