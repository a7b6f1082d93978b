"""The price of tuning of runs: whose episodes it takes, on which scale, among how many policies."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from cocoa.algos.iql import IQL
from cocoa.algos.td3_bc import TD3BC
from cocoa.config.schema import Config, to_dict
from cocoa.data.scores import normalized_score
from cocoa.report.deployment import (
    deployment_figure,
    deployment_text,
    draw_deployment,
    price_of_tuning,
    varies,
)
from cocoa.report.groups import grouped
from cocoa.report.runs import Run
from cocoa.runs.episodes import HEADER
from cocoa.statistics.deployment import deployment

ENV = "Hopper-v4"


def rows(step, seed, returns, success=float("nan")):
    return "".join(f"{step},{seed},{i},{x},{7},{success}\n" for i, x in enumerate(returns))


def run(folder, algo=None, seeds=(0, 1), episodes=12, key=0, dataset="d"):
    """A finished run with the episodes of two evaluations, and the returns (seeds, episodes) of the last."""
    config = Config(algo or IQL(), dataset=dataset, env=ENV, seeds=seeds)
    rng = np.random.default_rng(key)
    returns = rng.normal(rng.normal(1_500, 600, (len(seeds), 1)), 300, (len(seeds), episodes))
    scores = [normalized_score(ENV, value) for value in returns.mean(axis=1)]
    summary = {
        "algo": config.algo.name,
        "score": {"per_seed": scores},
        "return": {"per_seed": returns.mean(axis=1).tolist()},
        "behaviour_return": 900.0,
        "behaviour_score": normalized_score(ENV, 900.0),
        "dataset_sha256": dataset,
    }
    folder.mkdir()
    early = "".join(rows(50, seed, -np.ones(episodes)) for seed in seeds)
    last = "".join(rows(100, seed, values) for seed, values in zip(seeds, returns, strict=True))
    (folder / "episodes.csv").write_text(HEADER + early + last)
    curves = {seed: {100: score} for seed, score in zip(seeds, scores, strict=True)}
    return Run(folder, to_dict(config) | {"seeds": list(seeds)}, summary, curves), returns


def normalized(returns):
    return [np.array([normalized_score(ENV, value) for value in episodes]) for episodes in returns]


def test_policies_are_the_last_ones_of_all_settings_and_seeds_on_the_scale_of_scores(tmp_path):
    one, first = run(tmp_path / "a", seeds=(0, 1), key=0)
    two, second = run(tmp_path / "b", IQL(expectile=0.9), seeds=(0, 1, 2), key=1)
    groups = grouped([one, two])
    assert varies(groups)
    (price,) = price_of_tuning(groups, 20)
    expected = deployment(normalized([*first, *second]), 20, 5)
    assert (price.unit, price.curves["iql"].policies, price.curves["iql"].among) == ("score", 5, 5)
    np.testing.assert_allclose(price.curves["iql"].score, expected.score, rtol=1e-9)
    np.testing.assert_allclose(price.curves["iql"].high, expected.high, rtol=1e-6)


def test_all_methods_choose_among_as_many_policies_as_the_one_with_the_fewest(tmp_path):
    runs = [
        run(tmp_path / "a", seeds=(0, 1, 2, 3))[0],
        run(tmp_path / "b", TD3BC(), seeds=(0, 1, 2), key=1)[0],
        run(tmp_path / "c", seeds=(0,), dataset="e")[0],
    ]
    assert not varies(grouped(runs))
    first, second = price_of_tuning(grouped(runs), 30)
    assert {method: (c.among, c.policies) for method, c in first.curves.items()} == {
        "iql": (3, 4),
        "td3_bc": (3, 3),
    }
    assert second.curves == {}
    text = deployment_text([first, second])
    assert "| dataset | method | policies | among | 1 | 3 | 10 | 30 |" in text
    assert "| d | iql | 4 | 3 | " in text
    assert "Left out: e: iql: it has a single policy: there is nothing to choose" in text


def test_a_final_evaluation_counts_more_than_that_of_the_training(tmp_path):
    one, _ = run(tmp_path / "a", seeds=(0, 1))
    final = HEADER + rows(100, 0, [1_000.0] * 40) + rows(100, 1, [2_000.0] * 40)
    (tmp_path / "a" / "final_evaluation.csv").write_text(final)
    (price,) = price_of_tuning(grouped([one]), 5)
    assert price.curves["iql"].score[-1] == pytest.approx(normalized_score(ENV, 2_000.0))


def test_a_final_evaluation_of_an_older_policy_does_not_count(tmp_path):
    one, _ = run(tmp_path / "a", seeds=(0, 1))
    (before,) = price_of_tuning(grouped([one]), 5)
    stale = HEADER + rows(1, 0, [1_000.0] * 40) + rows(1, 1, [2_000.0] * 40)
    (tmp_path / "a" / "final_evaluation.csv").write_text(stale)
    (after,) = price_of_tuning(grouped([one]), 5)
    np.testing.assert_array_equal(after.curves["iql"].score, before.curves["iql"].score)


def test_a_score_without_a_reference_is_the_rate_of_success(tmp_path):
    one, _ = run(tmp_path / "a")
    (tmp_path / "a" / "episodes.csv").write_text(
        HEADER + rows(100, 0, [-5.0] * 4, success=1.0) + rows(100, 1, [-9.0] * 4, success=0.0)
    )
    runs = [dataclasses.replace(one, summary=dict(one.summary) | {"behaviour_score": None})]
    (price,) = price_of_tuning(grouped(runs), 5)
    np.testing.assert_allclose(price.curves["iql"].score[1:], 100.0)


def test_returns_stay_returns(tmp_path):
    one, returns = run(tmp_path / "a")
    runs = [dataclasses.replace(one, summary=dict(one.summary) | {"score": None, "behaviour_score": None})]
    (price,) = price_of_tuning(grouped(runs), 200)
    assert price.unit == "return"
    assert price.curves["iql"].score[0] == pytest.approx(returns.mean(), rel=0.02)


def test_methods_whose_scores_are_not_known_are_named(tmp_path):
    one, _ = run(tmp_path / "a")
    lost, _ = run(tmp_path / "b", TD3BC())
    path = tmp_path / "b" / "episodes.csv"
    path.write_text(HEADER + rows(100, 0, [np.nan] * 4) + rows(100, 1, [np.nan] * 4))
    for summary, why in (
        (dict(one.summary) | {"return": {}}, "does not have the returns and the scores"),
        (dict(one.summary) | {"return": {"per_seed": [900.0, None]}}, "all its returns are the same"),
    ):
        (price,) = price_of_tuning(grouped([dataclasses.replace(one, summary=summary), lost]))
        assert price.curves == {}
        assert why in price.left_out["iql"]
        assert price.left_out["td3_bc"] == "all its policies diverged"


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_run_without_episodes_is_named(damage, tmp_path):
    one, _ = run(tmp_path / "a")
    path = tmp_path / "a" / "episodes.csv"
    path.unlink() if damage == "missing" else path.write_text(path.read_text() + "100,1,zero,,,\n")
    (price,) = price_of_tuning(grouped([one]))
    assert price.curves == {}
    why = "no episodes of seed 0" if damage == "missing" else "is damaged in line"
    assert why in deployment_text([price])


def test_the_figure_has_a_curve_with_a_band_for_each_method(tmp_path):
    runs = [run(tmp_path / "a")[0], run(tmp_path / "b", TD3BC(), key=1)[0]]
    (price,) = price_of_tuning(grouped(runs), 10)
    axes = Figure().add_subplot()
    draw_deployment(axes, price)
    assert [line.get_label() for line in axes.lines] == ["iql", "td3_bc"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), price.curves["iql"].score)
    assert len(axes.collections) == 2
    deployment_figure(price, tmp_path / "price.png")
    assert (tmp_path / "price.png").read_bytes().startswith(b"\x89PNG")
