"""The summary: intervals as SciPy's, every documented field, JSON that every reader takes."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest
import scipy.stats

from cocoa.algos import REGISTRY
from cocoa.anchors import Seek
from cocoa.config.schema import Config
from cocoa.data import Dataset
from cocoa.errors import RunError
from cocoa.runs.metrics import MetricsFile, read_metrics
from cocoa.runs.summary import (
    block,
    interval,
    read_summary,
    summarize,
    verdict,
    write_summary,
)

SEEDS = (3, 7, 1)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_interval_is_students(count):
    values = np.random.default_rng(count).normal(50, 20, count)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(interval(values), expected)


def test_the_interval_covers_the_mean_in_95_percent():
    samples = np.random.default_rng(0).normal(size=(4000, 3))
    found = np.array([interval(sample) for sample in samples])
    assert np.mean((found[:, 0] < 0) & (found[:, 1] > 0)) == pytest.approx(0.95, abs=0.015)


def test_blocks():
    assert block(np.array([4.0])) == {"mean": 4.0, "ci95": None, "per_seed": [4.0]}
    three = block(np.array([1.0, 2.0, 6.0]))
    assert three["mean"] == 3.0
    assert three["per_seed"] == [1.0, 2.0, 6.0]
    assert three["ci95"][0] + three["ci95"][1] == pytest.approx(6.0)
    assert block(np.array([2.0, 2.0]))["ci95"] == [2.0, 2.0]


@pytest.fixture(scope="module")
def dataset():
    """Two complete episodes with returns 10 and 30."""
    rewards = np.array([4, 6, 10, 20], np.float32)
    states = np.arange(18, dtype=np.float32).reshape(6, 3)
    return Dataset.from_arrays(
        observations=states[[0, 1, 3, 4]],
        actions=np.zeros((4, 1), np.float32),
        rewards=rewards,
        terminals=np.array([False, True, False, True]),
        next_observations=states[[1, 2, 4, 5]],
    )


def metrics_of(path, returns, scores=None):
    """A metrics file with evaluations of all seeds, returns (seeds, T)."""
    file = MetricsFile(path)
    for index in range(returns.shape[1]):
        rows = {"evaluation/return": returns[:, index]}
        if scores is not None:
            rows["evaluation/score"] = scores[:, index]
        file.write(10 * (index + 1), rows, SEEDS)
    file.close()
    return read_metrics(path)


def summary_of(dataset, metrics, env, cocoa=None):
    config = Config(algo=REGISTRY["iql"](), cocoa=cocoa, env=env, seeds=SEEDS, updates=120, name="mine")
    return summarize(
        config,
        dataset,
        metrics,
        "finished",
        seconds={"training": 1.5},
        updates_per_second=80.0,
        extra={"step": 120},
    )


def test_every_documented_field(dataset, tmp_path):
    returns = np.random.default_rng(0).normal(1000, 300, (3, 12))
    scores = 100 * (returns + 20.272305) / (3234.3 + 20.272305)  # D4RL's numbers for Hopper
    found = summary_of(dataset, metrics_of(tmp_path / "m.csv", returns, scores), "Hopper-v4", Seek())
    assert set(found) == {
        *("status", "dataset", "env", "algo", "cocoa", "updates", "seeds", "score", "score_last10"),
        *(
            "return",
            "return_last10",
            "success",
            "success_last10",
            "behaviour_score",
            "behaviour_return",
            "reference_returns",
            "references",
            "updates_per_second",
            "seconds",
        ),
        *("dataset_sha256", "name", "evaluations", "step", "length"),
    }
    assert (found["algo"], found["cocoa"], found["env"]) == ("iql", "seek", "Hopper-v4")
    assert (found["updates"], found["evaluations"], found["seeds"]) == (120, 12, [3, 7, 1])
    assert found["score"]["per_seed"] == scores[:, -1].tolist()
    assert found["return"]["mean"] == pytest.approx(returns[:, -1].mean())
    np.testing.assert_allclose(found["score_last10"]["per_seed"], scores[:, 2:].mean(axis=1))
    np.testing.assert_allclose(found["return_last10"]["per_seed"], returns[:, 2:].mean(axis=1))
    assert found["behaviour_return"] == pytest.approx(20)
    assert found["behaviour_score"] == pytest.approx(100 * (20 + 20.272305) / (3234.3 + 20.272305))
    assert found["dataset_sha256"] == dataset.sha256
    write_summary(tmp_path, found)
    assert read_summary(tmp_path) == found


def test_the_dataset_s_own_references_come_before_those_of_its_environment(dataset, tmp_path):
    own = dataclasses.replace(dataset, reference_returns=(0.0, 40.0))
    found = summary_of(own, metrics_of(tmp_path / "m.csv", np.zeros((3, 1))), "Hopper-v4")
    assert found["behaviour_score"] == pytest.approx(50)
    assert found["references"] == "the dataset's references"


def test_without_a_reference_there_are_returns_and_no_scores(dataset, tmp_path):
    returns = np.arange(6.0).reshape(3, 2)
    found = summary_of(dataset, metrics_of(tmp_path / "m.csv", returns), "Pendulum-v1")
    assert found["score"] is found["score_last10"] is found["behaviour_score"] is found["cocoa"] is None
    assert found["return"]["per_seed"] == [1.0, 3.0, 5.0]
    assert found["return_last10"]["per_seed"] == [0.5, 2.5, 4.5]


def test_a_last_evaluation_without_a_score_has_none(dataset, tmp_path):
    """As of a run that went on where references are no longer known: a missing score is not zero."""
    path = tmp_path / "m.csv"
    with contextlib.closing(MetricsFile(path)) as file:
        for step in (10, 20):
            scores = {"evaluation/score": np.full(3, 50.0)} if step == 10 else {}
            file.write(step, {"evaluation/return": np.full(3, 7.0), **scores}, SEEDS)
    found = summary_of(dataset, read_metrics(path), "Hopper-v4")
    assert found["score"] is found["score_last10"] is None
    assert found["return"]["mean"] == 7


def test_a_score_without_one_of_the_data_is_told_alone():
    summary = {"return": {}, "score": {"mean": 34.0, "ci95": None}, "behaviour_score": None}
    assert verdict(summary) == "Finished: the policy's score is 34.0, of one seed."
    summary["score"] = {"mean": 34.0, "ci95": [30.0, 38.0]}
    assert verdict(summary) == "Finished: the policy's score is 34.0 (95 % interval 30.0 to 38.0)."


def test_without_an_evaluation_there_is_neither(dataset, tmp_path):
    MetricsFile(tmp_path / "m.csv").close()
    found = summary_of(dataset, read_metrics(tmp_path / "m.csv"), "Hopper-v4")
    assert found["score"] is found["return"] is found["return_last10"] is None
    assert found["evaluations"] == 0
    assert found["behaviour_score"] > 0


def test_what_is_not_finite_is_null(tmp_path):
    values = {"a": float("nan"), "b": [1.0, np.float64("inf")], "c": {"d": (float("-inf"), 2)}, "e": None}
    write_summary(tmp_path, values)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    strict = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert strict == {"a": None, "b": [1.0, None], "c": {"d": [None, 2]}, "e": None}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff", b"null", b"[" * 100_000])
def test_damage_is_told(tmp_path, content):
    if content is not None:
        (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(RunError, match=r"summary\.json cannot be read.*written again"):
        read_summary(tmp_path)


def test_the_verdict_compares_only_with_an_interval():
    def say(mean, ci95):
        block = {"mean": mean, "ci95": ci95}
        summary = {"return": block, "score": block, "behaviour_score": 50.0, "behaviour_return": 900.0}
        return verdict(summary)

    assert "of 70.0 (95 % interval 60.0 to 80.0) beats the data's mean score of 50.0" in say(70.0, (60, 80))
    assert "is below" in say(20.0, (10, 30))
    assert "does not clearly differ" in say(55.0, (40, 70))
    assert say(70.0, None) == "Finished: the policy's score is 70.0, of one seed; the data's mean is 50.0."
    assert "diverged" in say(float("nan"), None)
