"""Aggregates: rliable's, NumPy's, and what diverged seeds and unequal numbers of seeds do to them."""

import numpy as np
import pytest
import scipy.stats

from cocoa.statistics.aggregates import (
    iqm,
    mean,
    median,
    optimality_gap,
    probability_of_improvement,
    profile,
)

RLIABLE = pytest.importorskip("rliable.metrics")
THRESHOLDS = np.linspace(-10, 130, 57)


def scores(datasets, seeds, key=0, ties=False):
    """The scores (seeds, datasets) as rliable takes them, in percent."""
    values = np.random.default_rng(key).normal(60, 40, (seeds, datasets))
    return values.round(-1) if ties else values


def by_dataset(matrix):
    return list(matrix.T)


@pytest.mark.parametrize(("datasets", "seeds"), [(1, 1), (1, 4), (2, 3), (3, 5), (7, 10)])
def test_aggregates_are_those_of_rliable(datasets, seeds):
    matrix = scores(datasets, seeds)
    ours = by_dataset(matrix)
    for own, oracle in (
        (iqm(ours), RLIABLE.aggregate_iqm(matrix)),
        (mean(ours), RLIABLE.aggregate_mean(matrix)),
        (median(ours), RLIABLE.aggregate_median(matrix)),
        (optimality_gap(ours), RLIABLE.aggregate_optimality_gap(matrix, gamma=100)),
        (optimality_gap(ours, 50), RLIABLE.aggregate_optimality_gap(matrix, gamma=50)),
    ):
        assert float(own) == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seeds", [(1, 1), (3, 5), (10, 10)])
def test_probability_of_improvement_is_that_of_rliable(seeds, ties):
    ours, theirs = (scores(4, n, key, ties) for key, n in enumerate(seeds))
    expected = RLIABLE.probability_of_improvement(ours, theirs)
    assert float(probability_of_improvement(by_dataset(ours), by_dataset(theirs))) == pytest.approx(
        expected, abs=1e-12
    )
    assert float(probability_of_improvement(by_dataset(ours), by_dataset(ours))) == 0.5


def test_profiles_are_those_of_rliable():
    library = pytest.importorskip("rliable.library")
    matrix = scores(4, 5, ties=True)
    expected = library.score_distributions(matrix, THRESHOLDS)
    np.testing.assert_allclose(profile(by_dataset(matrix), THRESHOLDS), expected, atol=1e-12)


def test_leading_axes_are_resamples():
    batch = [np.stack([scores(3, 5, key)[:, d] for key in range(6)]) for d in range(3)]
    for statistic in (iqm, mean, median, optimality_gap):
        alone = [statistic(by_dataset(scores(3, 5, key))) for key in range(6)]
        np.testing.assert_allclose(statistic(batch), alone, atol=1e-12)
    against = [scores(3, 5, 9)[:, d] for d in range(3)]
    alone = [probability_of_improvement(by_dataset(scores(3, 5, key)), against) for key in range(6)]
    np.testing.assert_allclose(probability_of_improvement(batch, against), alone, atol=1e-12)
    assert profile(batch, THRESHOLDS).shape == (6, 57)


@pytest.mark.parametrize("seeds", [(2, 3), (1, 4, 6), (3, 4, 10), (5, 5, 10)])
def test_datasets_with_different_numbers_of_seeds_have_the_same_weight(seeds):
    """As if each score stood there as often as makes all datasets equally long."""
    rng = np.random.default_rng(1)
    ragged = [rng.normal(50 * d, 20, n) for d, n in enumerate(seeds)]
    longest = np.lcm.reduce(seeds)
    equal = [np.repeat(values, longest // len(values)) for values in ragged]
    for statistic in (mean, median, optimality_gap):
        assert float(statistic(ragged)) == pytest.approx(float(statistic(equal)), abs=1e-12)
    # The share that is cut is floor(N / 4) / N of the real number of scores, taken from the repeated ones.
    total = sum(seeds)
    repeated = np.sort(np.concatenate([np.repeat(values, total) for values in equal]))
    cut = round(len(repeated) * (total // 4) / total)
    expected = repeated[cut : len(repeated) - cut].mean()
    assert float(iqm(ragged)) == pytest.approx(expected, abs=1e-9)


def test_interquartile_mean_ignores_outliers():
    assert iqm([np.array([-1000.0, 1.0, 3.0, 1000.0])]) == 2.0
    values = np.random.default_rng(0).normal(size=101)
    assert float(iqm([values])) == pytest.approx(scipy.stats.trim_mean(values, 0.25), abs=1e-14)


@pytest.mark.parametrize("diverged", [np.nan, np.inf, -np.inf])
def test_a_diverged_seed_is_below_every_other(diverged):
    values = np.array([diverged, 10.0, 20.0, 60.0])
    assert iqm([values]) == 15.0
    assert iqm([values, np.array([0.0, 5.0])]) == pytest.approx(
        iqm([values.clip(-1e9), np.array([0.0, 5.0])])
    )
    assert iqm([np.array([diverged, diverged, 20.0, 60.0])]) == -np.inf
    assert mean([values]) == -np.inf
    assert median([values, np.array([3.0]), np.array([7.0])]) == 3.0
    assert optimality_gap([values]) == np.inf
    assert profile([values], np.array([-1e300, 15.0]))[0] == 0.75
    assert probability_of_improvement([values], [np.array([-1e300])]) == 0.75
    assert probability_of_improvement([values], [np.array([diverged])]) == 0.875
