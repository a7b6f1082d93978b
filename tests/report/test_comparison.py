"""Comparisons of plain algorithms with +COCOA: recomputed from the scores, and what their verdicts say."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from cocoa.algos.iql import IQL
from cocoa.algos.td3_bc import TD3BC
from cocoa.anchors import Seek
from cocoa.config.schema import Config, to_dict
from cocoa.errors import RunError
from cocoa.report.comparison import compare, comparisons
from cocoa.report.groups import grouped
from cocoa.report.markdown import number
from cocoa.report.runs import Run
from cocoa.report.verdict import row_verdict, text, verdict

METRICS = pytest.importorskip("rliable.metrics")


def run(tmp_path, dataset, scores, *, cocoa=False, algo=None, seeds=None, unit="score", **changes):
    """A finished run with these last scores (seeds,)."""
    seeds = tuple(range(len(scores))) if seeds is None else seeds
    config = Config(algo or IQL(), Seek() if cocoa else None, dataset=dataset, seeds=seeds, **changes)
    per_seed = [None if np.isnan(score) else float(score) for score in scores]
    summary = {
        "algo": config.algo.name,
        "cocoa": config.variant,
        "score": {"per_seed": per_seed} if unit == "score" else None,
        "return": {"per_seed": per_seed},
        "dataset_sha256": dataset,
    }
    curves = {seed: {config.updates: score} for seed, score in zip(seeds, scores, strict=True)}
    return Run(tmp_path, to_dict(config) | {"seeds": list(seeds)}, summary, curves)


def pair(tmp_path, dataset, plain, cocoa, **changes):
    return [
        run(tmp_path, dataset, plain, **changes),
        run(tmp_path, dataset, cocoa, cocoa=True, **changes),
    ]


def study(tmp_path, gain, datasets=3, seeds=4, noise=1.0):
    """Runs of both methods and their scores (seeds, datasets), which a seed shares but for some noise."""
    rng = np.random.default_rng(0)
    plain = rng.normal(np.linspace(20, 90, datasets), 8, (seeds, datasets))
    cocoa = plain + rng.normal(gain, noise, plain.shape)
    runs = [pair(tmp_path, f"d{i}", plain[:, i], cocoa[:, i]) for i in range(datasets)]
    return [run for both in runs for run in both], plain, cocoa


def test_aggregates_are_those_of_rliable(tmp_path):
    runs, plain, cocoa = study(tmp_path, 5.0)
    (found,) = comparisons(grouped(runs))
    assert (found.baseline, found.method) == ("iql", "iql+cocoa")
    for name, oracle in (
        ("IQM", METRICS.aggregate_iqm),
        ("mean", METRICS.aggregate_mean),
        ("median", METRICS.aggregate_median),
        ("optimality gap", lambda x: METRICS.aggregate_optimality_gap(x, gamma=100)),
    ):
        measure = found.measures[name]
        expected = oracle(plain), oracle(cocoa), oracle(cocoa) - oracle(plain)
        values = measure.baseline.value, measure.method.value, measure.difference.estimate.value
        np.testing.assert_allclose(values, expected, atol=1e-12)
    expected = METRICS.probability_of_improvement(cocoa, plain)
    assert found.improvement.value == pytest.approx(expected, abs=1e-12)
    baseline, method = found.profiles()
    at = np.searchsorted(method.thresholds, 50)
    assert method.value[at] == pytest.approx((cocoa > method.thresholds[at]).mean())
    assert (baseline.value <= method.value + 1e-12).all()
    assert (method.low <= method.value + 1e-12).all()
    assert (method.value <= method.high + 1e-12).all()


def test_seeds_are_paired_by_number_whatever_their_order(tmp_path):
    scores = np.array([10.0, 50.0, 90.0, 70.0])
    order = [2, 0, 3, 1]
    runs = [
        run(tmp_path, "d", scores),
        run(tmp_path, "d", (scores + 5)[order], cocoa=True, seeds=tuple(order)),
    ]
    (row,) = comparisons(grouped(runs))[0].rows
    assert row.pairs == 4
    np.testing.assert_array_equal(row.method_values - row.baseline_values, 5)
    np.testing.assert_allclose(row.measure.difference.estimate, 5)


def test_other_seeds_are_resampled_on_their_own(tmp_path):
    scores = np.array([10.0, 50.0, 90.0, 70.0])
    runs = [run(tmp_path, "d", scores), run(tmp_path, "d", scores + 5, cocoa=True, seeds=(4, 5, 6, 7))]
    (row,) = comparisons(grouped(runs))[0].rows
    assert row.pairs == 0
    assert row.measure.difference.estimate.low < -30


def test_verdicts(tmp_path):
    better = verdict(comparisons(grouped(study(tmp_path, 5.0)[0]))[0])
    assert better.startswith("iql+cocoa is better than iql by ")
    assert better.endswith(" IQM points over 3 datasets, 4 seeds on each.")
    worse = verdict(comparisons(grouped(study(tmp_path, -5.0)[0]))[0])
    assert worse.startswith("iql+cocoa is worse than iql by ")
    runs, _, _ = study(tmp_path, 1.0, datasets=1, noise=4.0)
    unclear = verdict(comparisons(grouped(runs))[0], effect=5)
    assert unclear.startswith("No conclusion: iql+cocoa differs from iql by ")
    assert "If this is the true difference, " in unclear
    assert "If the true difference is 5, about " in unclear


def test_the_number_of_seeds_is_that_of_the_paired_t_test(tmp_path):
    rng = np.random.default_rng(3)
    plain = rng.normal(50, 10, 40)
    cocoa = plain + rng.normal(2, 6, 40)
    (found,) = comparisons(grouped(pair(tmp_path, "d", plain, cocoa)))
    spread = (cocoa - plain).std(ddof=1)
    n = np.arange(2, 400)
    critical = scipy.stats.t.ppf(0.975, n - 1)
    expected = n[scipy.stats.nct.sf(critical, n - 1, 3 * np.sqrt(n) / spread) >= 0.8][0]
    assert found.measures["mean"].difference.seeds_needed(3.0) == pytest.approx(expected, abs=2)


def test_returns_are_never_aggregated(tmp_path):
    runs = pair(tmp_path, "a", np.arange(4.0), np.arange(4.0) + 5, unit="return")
    runs += pair(tmp_path, "b", 1000 * np.arange(4.0), 1000 * np.arange(4.0) - 7, unit="return")
    (found,) = comparisons(grouped(runs))
    assert found.measures == {}
    assert found.improvement is None
    assert found.profiles() is None
    assert verdict(found) == (
        "iql+cocoa is better than iql by 5.0 [5.0, 5.0] in return (IQM) on a, 4 seeds. "
        "iql+cocoa is worse than iql by 7.0 [7.0, 7.0] in return (IQM) on b, 4 seeds."
    )
    assert "all: IQM" not in text([found])
    (mixed,) = comparisons(grouped(runs + pair(tmp_path, "c", np.arange(4.0), np.arange(4.0) + 2)))
    assert [row.dataset for row in mixed.scored] == ["c"]
    assert verdict(mixed).endswith("on c, 4 seeds. Returns are not in it: a, b.")


def test_single_and_diverged_seeds_are_no_conclusion(tmp_path):
    (single,) = comparisons(grouped(pair(tmp_path, "d", [5.0], [9.0])))
    assert "an interval needs two seeds of each method on each dataset, and d has one" in verdict(single)
    (lost,) = comparisons(grouped(pair(tmp_path, "d", [5.0, 6.0, 7.0], [np.nan, np.nan, 9.0])))
    assert verdict(lost) == (
        "No conclusion on iql+cocoa against iql: too many seeds diverged. Diverged, and counted as below "
        "every score: 2 of 3 seeds of iql+cocoa."
    )
    assert "| d | 6.0 [5.0, 7.0] | -inf [-inf, 9.0] | -inf | 3 |" in text([lost])


def test_one_diverged_seed_of_many_leaves_a_conclusion_and_is_named(tmp_path):
    plain = np.linspace(40, 60, 20)
    cocoa = plain + 10
    cocoa[3] = np.nan
    (found,) = comparisons(grouped(pair(tmp_path, "d", plain, cocoa)))
    assert "is better" in verdict(found)
    assert verdict(found).endswith("counted as below every score: 1 of 20 seeds of iql+cocoa.")


def test_the_plain_run_of_the_same_settings_is_the_baseline(tmp_path):
    scores = np.arange(4.0)
    runs = []
    for expectile in (0.7, 0.9):
        for wrapped in (False, True):
            algo = IQL(expectile=expectile)
            runs.append(run(tmp_path, "d", scores + expectile, cocoa=wrapped, algo=algo))
    runs.append(run(tmp_path, "d", scores, cocoa=True, algo=TD3BC()))
    runs.append(run(tmp_path, "e", scores, cocoa=True))
    found = comparisons(grouped(runs))
    assert [(one.baseline, one.method) for one in found] == [
        ("iql algo.expectile=0.7", "iql+cocoa algo.expectile=0.7"),
        ("iql algo.expectile=0.9", "iql+cocoa algo.expectile=0.9"),
    ]
    assert [row.changed for one in found for row in one.rows] == [(), ()]


def test_other_hyperparameters_are_compared_and_named_other_protocols_are_not(tmp_path):
    scores = np.arange(4.0)
    plain = run(tmp_path, "d", scores)
    tuned = run(tmp_path, "d", scores + 1, cocoa=True, algo=IQL(expectile=0.8))
    (found,) = comparisons(grouped([plain, tuned]))
    assert found.rows[0].changed == ("algo.expectile: 0.7 -> 0.8",)
    assert "On d the two differ in algo.expectile: 0.7 -> 0.8, too." in text([found])
    longer = run(tmp_path, "d", scores + 1, cocoa=True, updates=17)
    assert comparisons(grouped([plain, longer])) == []
    other = run(tmp_path, "d", scores, algo=IQL(expectile=0.9))
    assert comparisons(grouped([plain, other, tuned])) == []


def test_any_two_methods_are_compared(tmp_path):
    scores = np.arange(4.0)
    runs = [
        run(tmp_path, "d", scores),
        run(tmp_path, "d", scores + 3, algo=TD3BC()),
        run(tmp_path, "e", scores, algo=TD3BC()),
        run(tmp_path, "d", scores, cocoa=True),
        run(tmp_path, "d", scores, cocoa=True, algo=IQL(expectile=0.9)),
    ]
    groups = grouped(runs)
    found = compare(groups, "iql", "td3_bc")
    assert [row.dataset for row in found.rows] == ["d"]
    assert row_verdict(found.rows[0]).startswith(
        "td3_bc is better than iql by 3.0 [3.0, 3.0] IQM points on d"
    )
    with pytest.raises(RunError, match=r"several groups of runs on d\. Choose one of 'iql\+cocoa algo"):
        compare(groups, "iql", "iql+cocoa")
    with pytest.raises(RunError, match=r"'cql' and 'td3_bc'\. There are: iql, "):
        compare(groups, "cql", "td3_bc")


def test_numbers_have_their_intervals(tmp_path):
    (found,) = comparisons(grouped(pair(tmp_path, "d", [5.0, 7.0], [9.0, 8.0])))
    measure = found.rows[0].measure
    assert number(measure.baseline) == "6.0 [5.0, 7.0]"
    assert number(measure.difference.estimate, "+.1f").startswith("+2.5 [-16.")
    assert number(dataclasses.replace(measure.difference).estimate._replace(low=np.nan)) == "2.5"
