"""Bootstrap intervals: rliable's, exact enumeration, coverage."""

import itertools

import numpy as np
import pytest
import scipy.stats

from cocoa.statistics.aggregates import iqm, mean, probability_of_improvement, profile
from cocoa.statistics.bootstrap import bootstrap, estimate, percentiles

LIBRARY = pytest.importorskip("rliable.library")
METRICS = pytest.importorskip("rliable.metrics")
RESAMPLES = 2_000


SEEDED = {"random_state": np.random.RandomState(0)}
"""Without it rliable draws other resamples each time."""


def scores(datasets, seeds, key=0):
    return np.random.default_rng(key).normal(60, 20, (seeds, datasets))


def by_dataset(matrix):
    return list(matrix.T)


def close(own, oracle, draws):
    """Ends of two bootstraps agree to a quarter of a standard error: their resamples are random."""
    np.testing.assert_allclose(own, np.ravel(oracle), atol=0.25 * draws.std())


def test_intervals_are_those_of_rliable():
    matrix = scores(3, 8)
    _, theirs = LIBRARY.get_interval_estimates(
        {"a": matrix}, lambda x: np.array([METRICS.aggregate_iqm(x)]), reps=RESAMPLES, **SEEDED
    )
    draws = bootstrap(iqm, by_dataset(matrix), resamples=RESAMPLES)
    close(estimate(iqm, by_dataset(matrix), resamples=RESAMPLES)[1:], theirs["a"], draws)


def test_intervals_of_two_methods_are_those_of_rliable():
    pair = scores(3, 6), scores(3, 9, key=1)
    _, theirs = LIBRARY.get_interval_estimates(
        {"a": list(pair)},
        lambda x, y: np.array([METRICS.probability_of_improvement(x, y)]),
        reps=2000,
        **SEEDED,
    )
    ours = [by_dataset(matrix) for matrix in pair]
    draws = bootstrap(probability_of_improvement, *ours)
    close(estimate(probability_of_improvement, *ours)[1:], theirs["a"], draws)


def test_bands_of_a_profile_are_those_of_rliable():
    matrix, thresholds = scores(2, 6), np.linspace(30, 90, 7)
    _, theirs = LIBRARY.create_performance_profile({"a": matrix}, thresholds, reps=RESAMPLES)
    low, high = percentiles(
        bootstrap(lambda x: profile(x, thresholds), by_dataset(matrix), resamples=RESAMPLES)
    )
    # The draws are multiples of 1 / 12: an end may be one step away.
    np.testing.assert_allclose([low, high], theirs["a"], atol=1 / 12 + 1e-12)
    assert np.abs([low, high] - theirs["a"]).mean() < 0.02


def test_resamples_of_a_small_sample_are_all_of_them():
    """Three seeds have 27 resamples: their share is known."""
    values = np.array([1.0, 5.0, 20.0])
    exact = [np.mean(chosen) for chosen in itertools.product(values, repeat=3)]
    draws = bootstrap(mean, [values], resamples=100_000)
    found, counts = np.unique(draws.round(9), return_counts=True)
    expected, shares = np.unique(np.round(exact, 9), return_counts=True)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(counts / 100_000, shares / 27, atol=0.005)


def test_pairs_are_drawn_together_where_datasets_are_paired():
    base = [np.arange(5.0), 10 + np.arange(6.0)]
    above = [base[0] + 3, base[1] + 3]
    together = bootstrap(lambda x, y: mean(x) - mean(y), above, base, paired=[True, True])
    np.testing.assert_allclose(together, 3)
    mixed = bootstrap(lambda x, y: mean(x) - mean(y), above, base, paired=[True, False])
    # Half of the difference of two means of six, each of variance 35 / 12 / 6.
    assert mixed.std() == pytest.approx(np.sqrt(2 * 35 / 12 / 6) / 2, rel=0.03)
    with pytest.raises(ValueError, match="dataset 1"):
        bootstrap(mean, above, [base[0], base[1][:3]], paired=[True, True])


def test_resamples_are_the_same_each_time():
    values = [np.arange(7.0), np.arange(4.0)]
    draws = bootstrap(mean, values, resamples=2_500)
    assert draws.shape == (2_500,)
    np.testing.assert_array_equal(draws, bootstrap(mean, values, resamples=2_500))
    assert not np.array_equal(draws, bootstrap(mean, values, resamples=2_500, seed=1))


def test_an_interval_needs_two_seeds_everywhere():
    assert np.isnan(estimate(iqm, [np.array([1.0])])[1:]).all()
    assert np.isnan(estimate(iqm, [np.arange(9.0), np.array([1.0])])[1:]).all()
    assert np.isfinite(estimate(iqm, [np.arange(9.0), np.arange(2.0)])).all()


def test_diverged_seeds_lower_the_end_of_an_interval():
    value, low, high = estimate(iqm, [np.array([np.nan, 40.0, 50.0, 90.0])])
    assert (value, low) == (45.0, -np.inf)
    assert 50 < high <= 90
    undefined = np.array([np.nan, 1.0, 2.0, 3.0])
    assert percentiles(undefined, 0.5) == (-np.inf, np.inf)
    assert percentiles(np.arange(5.0), 0.5) == (1.0, 3.0)


def test_a_large_sample_has_the_interval_of_student():
    values = np.random.default_rng(1).normal(5, 1, 200)
    half = scipy.stats.t.ppf(0.975, 199) * scipy.stats.sem(values)
    centre = values.mean()
    assert estimate(mean, [values])[1:] == pytest.approx((centre - half, centre + half), abs=0.03)


def test_the_percentile_interval_covers_with_enough_seeds():
    """In 95 of 100 experiments with 20 seeds on three datasets of different levels."""
    rng = np.random.default_rng(0)
    truth = mean([np.array([20.0]), np.array([50.0]), np.array([90.0])])
    hits = 0
    for _ in range(400):
        sample = [rng.normal(level, 15, 20) for level in (20, 50, 90)]
        _, low, high = estimate(mean, sample, resamples=1_000)
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.975
