"""Rankings of policies by estimates, counted by hand."""

import math

import numpy as np
import pytest

from cocoa.statistics.ranking import regret_at, spearman, top_share_at

SCORES = np.array([10.0, 50.0, 90.0, 70.0])


def test_the_right_order_and_its_reverse():
    assert spearman(SCORES**3, SCORES) == pytest.approx(1)
    assert spearman(-SCORES, SCORES) == pytest.approx(-1)
    assert math.isnan(spearman(np.ones(4), SCORES))
    assert math.isnan(spearman(np.ones(1), np.ones(1)))


def test_the_correlation_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    estimates, scores = rng.normal(size=(2, 9))
    ranks = [np.argsort(np.argsort(values)) for values in (estimates, scores)]
    assert spearman(estimates, scores) == pytest.approx(np.corrcoef(ranks)[0, 1])


def test_regret_and_the_share_of_the_best():
    estimates = np.array([4.0, 3.0, 1.0, 2.0])
    assert [regret_at(k, estimates, SCORES) for k in (1, 2, 3, 4, 9)] == [80, 40, 20, 0, 0]
    assert [top_share_at(k, estimates, SCORES) for k in (1, 2, 3, 4)] == [0, 0, 2 / 3, 1]
    assert regret_at(1, np.zeros(4), SCORES) == 80
    with pytest.raises(ValueError, match="k=0"):
        regret_at(0, estimates, SCORES)


@pytest.mark.parametrize("diverged", [np.nan, np.inf])
def test_what_diverged_is_the_lowest(diverged):
    assert regret_at(1, np.array([diverged, 3.0, 1.0, 2.0]), SCORES) == 40
    assert regret_at(1, SCORES, np.array([1.0, 5.0, diverged, 2.0])) == np.inf
    assert spearman(np.array([diverged, 1.0, 3.0, 2.0]), SCORES) == pytest.approx(1)
