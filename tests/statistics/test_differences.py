"""Paired differences: Student's interval, coverage, and the promise of how many seeds would do."""

import numpy as np
import pytest
import scipy.stats

from cocoa.statistics.aggregates import iqm, mean
from cocoa.statistics.differences import MOST_SEEDS, difference, seeds_needed


def experiment(rng, datasets, seeds, effect, spread=5.0):
    """Scores of two methods that share what a seed does: their differences have the deviation `spread`."""
    base = [rng.normal(level, 20, seeds) for level in np.linspace(20, 90, datasets)]
    noise = [rng.normal(effect, spread, seeds) for _ in range(datasets)]
    return [values + added for values, added in zip(base, noise, strict=True)], base


def test_on_one_dataset_the_interval_of_means_is_the_paired_t_interval():
    (ours,), (base,) = experiment(np.random.default_rng(0), 1, 6, 3.0)
    found = difference([ours], [base], [True], statistic=mean, resamples=200_000)
    expected = scipy.stats.ttest_rel(ours, base).confidence_interval(0.95)
    assert found.estimate[1:] == pytest.approx((expected.low, expected.high), rel=0.01)
    assert found.estimate.value == pytest.approx((ours - base).mean())
    assert found.deviation == pytest.approx((ours - base).std(ddof=1), rel=0.01)


def test_without_pairs_it_is_the_two_sample_t_interval():
    (ours,), (base,) = experiment(np.random.default_rng(1), 1, 6, 3.0)
    found = difference([ours], [base], statistic=mean, resamples=200_000)
    expected = scipy.stats.ttest_ind(ours, base).confidence_interval(0.95)
    assert found.estimate[1:] == pytest.approx((expected.low, expected.high), rel=0.01)


@pytest.mark.parametrize("statistic", [iqm, mean])
@pytest.mark.parametrize(("datasets", "seeds"), [(1, 4), (3, 4), (3, 10)])
def test_the_interval_covers_the_difference_with_few_seeds(statistic, datasets, seeds):
    """No effect: in at most about 5 of 100 experiments the verdict says that there is one."""
    rng = np.random.default_rng(2)
    signs = [
        difference(*experiment(rng, datasets, seeds, 0.0), [True] * datasets, statistic, 400).sign
        for _ in range(400)
    ]
    assert np.mean(np.abs(signs)) <= (0.085 if statistic is iqm else 0.075)


def test_the_promised_number_of_seeds_shows_the_effect():
    """Four seeds say how many would do; with these, four of five experiments show the effect."""
    rng = np.random.default_rng(3)
    for datasets, effect in ((1, 5.0), (3, 4.0)):
        n = seeds_needed(effect, 5.0 / np.sqrt(datasets), datasets)
        signs = [
            difference(*experiment(rng, datasets, n, effect), [True] * datasets, mean, 400).sign
            for _ in range(400)
        ]
        assert np.mean(np.array(signs) == 1) == pytest.approx(0.8, abs=0.06)
        fewer = [
            difference(*experiment(rng, datasets, max(2, n // 2), effect), [True] * datasets, mean, 400).sign
            for _ in range(200)
        ]
        assert np.mean(np.array(fewer) == 1) < 0.65


def test_the_deviation_is_that_of_one_seed_whatever_their_number():
    rng = np.random.default_rng(4)
    for seeds in (10, 40):
        found = [
            difference(*experiment(rng, 3, seeds, 2.0), [True] * 3, mean, 300).deviation for _ in range(60)
        ]
        assert np.mean(found) == pytest.approx(5 / np.sqrt(3), rel=0.05)


def test_seeds_needed_are_those_of_the_paired_t_test():
    """Of 34 pairs a t test at 5 % sees half a standard deviation in 80 of 100 (Cohen 1988)."""
    assert seeds_needed(5.0, 10.0, 1) == 34
    assert seeds_needed(-5.0, 10.0, 1) == 34
    assert seeds_needed(5.0, 10.0, 1, power=0.95) == 54
    assert seeds_needed(10.0, 0.0, 1) == 2
    assert seeds_needed(0.0, 1.0, 3) is None
    assert seeds_needed(0.01, 10.0, 1) is None
    assert seeds_needed(np.nan, 1.0, 1) is None
    assert seeds_needed(1e-300, 1e-290, 1) is None
    assert MOST_SEEDS == 1_000


def test_there_is_no_conclusion_from_single_or_diverged_seeds():
    single = difference([np.array([5.0])], [np.array([1.0])], [True])
    assert single.estimate.value == 4.0
    assert single.sign == 0
    assert single.seeds_needed() is None
    for ours in (np.array([np.nan, np.nan, 3.0]), np.array([np.nan, 1.0, 2.0])):
        found = difference([ours], [np.array([0.0, 0.1, 0.2])], [True])
        assert np.isnan(found.estimate.low)
        assert found.sign == 0


def test_datasets_may_have_different_numbers_of_seeds():
    rng = np.random.default_rng(5)
    signs = []
    for _ in range(300):
        pairs = [experiment(rng, 1, n, 0.0) for n in (3, 8)]
        ours, base = ([pair[i][0] for pair in pairs] for i in (0, 1))
        signs.append(difference(ours, base, [True, True], mean, 300).sign)
    assert np.mean(np.abs(signs)) <= 0.09
