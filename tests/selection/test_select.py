"""Estimates of whole runs: what they are, what is written, and when nothing is computed."""

import dataclasses
import json
import shutil

import filelock
import jax
import numpy as np
import pytest
from support import oracle
from support.pendulum import ENV

import cocoa
from cocoa.cli import main
from cocoa.data import load, split
from cocoa.data.preprocessing import DataConfig
from cocoa.errors import RunError
from cocoa.runs import launch
from cocoa.runs.folder import read_config
from cocoa.runs.policy import load_learners
from cocoa.runs.summary import read_summary, write_summary
from cocoa.selection import select
from cocoa.selection.comparison import compare
from cocoa.selection.select import FILE, read_selection, select_run
from cocoa.selection.settings import Selection
from cocoa.training.seeds import of_seed

DATA = DataConfig(validation=0.2, reward_scale=2.0, observation_normalization=True)
SETTINGS = Selection(updates=20, batch_size=16, hidden=(8,))


@pytest.fixture(scope="module")
def runs(config):
    """IQL with anchors and held-out episodes, and BC without either, which is not evaluated."""
    wrapped = launch.run(dataclasses.replace(config, data=DATA, updates=20, name="mine"))
    changes = {"algo": cocoa.BC(hidden=(8,)), "cocoa": None, "eval_episodes": 0, "updates": 20}
    return wrapped, launch.run(dataclasses.replace(config, **changes, name="mine"))


@pytest.fixture
def wrapped(runs, tmp_path):
    return shutil.copytree(runs[0], tmp_path / "wrapped")


@pytest.fixture
def cloned(runs, tmp_path):
    return shutil.copytree(runs[1], tmp_path / "cloned")


def own_critics(folder, data):
    """Initial-state values and TD errors of each seed's critics, in float64, from parameters alone."""
    config = read_config(folder)
    _, held_out = split(data, DATA)
    learners = load_learners(folder, config)
    scaling = learners.interface.scaling
    action = (held_out.actions - scaling.action_center) / scaling.action_half_range
    first = np.flatnonzero(np.diff(held_out.episodes, prepend=-1))
    for position in range(len(config.seeds)):
        state, observe = of_seed((learners.learner, learners.interface.observe), position)
        params, actor = oracle.to_numpy(state.critics.params), oracle.to_numpy(state.actor.params)
        now, later = (
            jax.tree.map(lambda x: np.asarray(x, np.float64), observe(states))
            for states in (held_out.observations, held_out.next_observations)
        )
        value = oracle.critics(params, now, oracle.policy_mean(actor, now)).min(0)
        next_value = oracle.critics(params, later, oracle.policy_mean(actor, later)).min(0)
        target = 2 * held_out.rewards + config.algo.discount * (1 - held_out.terminals) * next_value
        error = target - oracle.critics(params, now, action).min(0)
        yield value[first].mean() / 2, (error**2).mean() / 4


def test_the_file_has_three_estimates_of_each_seed_from_held_out_episodes(wrapped, recording):
    selection = select_run(wrapped, SETTINGS)
    assert selection == json.loads((wrapped / FILE).read_text()) == read_selection(wrapped)
    data = load(recording, ENV)
    _, held_out = split(data, DATA)
    count = len(np.unique(held_out.episodes))
    assert selection["fitted_to"] == {"episodes": "held_out", "count": count, "transitions": len(held_out)}
    assert selection["initial_states"] == {"episodes": "held_out", "count": count}
    assert (selection["step"], selection["seeds"]) == (20, [3, 7])
    assert selection["settings"]["hidden"] == [8]
    assert len(set(selection["fqe"]["per_seed"])) == 2
    values, errors = zip(*own_critics(wrapped, data), strict=True)
    np.testing.assert_allclose(selection["initial_value"]["per_seed"], values, rtol=1e-4)
    np.testing.assert_allclose(selection["td_error"]["per_seed"], errors, rtol=1e-4)


def test_what_is_there_is_not_computed_again(wrapped, monkeypatch):
    first = select_run(wrapped, SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(select, "fitted_values", lambda *args: pytest.fail("fitted again"))
        assert select_run(wrapped, SETTINGS) == first
    other = select_run(wrapped, dataclasses.replace(SETTINGS, updates=30))
    assert other["fqe"] != first["fqe"]
    assert other["td_error"] == first["td_error"]
    (wrapped / FILE).write_text("[1")
    again = select_run(wrapped, SETTINGS)
    assert again["fqe"] == first["fqe"]


def test_q_may_be_fitted_to_all_episodes(wrapped, recording):
    selection = select_run(wrapped, dataclasses.replace(SETTINGS, episodes="all"))
    assert selection["fitted_to"]["transitions"] == len(load(recording, ENV))
    assert selection["initial_states"]["episodes"] == "held_out"


def test_the_command_ranks_policies_and_says_where_nothing_is_held_out(wrapped, cloned, tmp_path, capsys):
    words = ["updates=20", "batch_size=16", "hidden=[8]"]
    assert main(["select", str(tmp_path), *words]) == 0
    printed = capsys.readouterr()
    assert "(all), averaged over" in printed.err
    assert "The run holds out no episodes, so its policies were trained on these" in printed.err
    rows = [line.split(" | ") for line in printed.out.splitlines() if line[:3].strip("| ").isdigit()]
    assert len(rows) == 4
    for table in (rows[:2], rows[2:]):  # Q fitted to other episodes is not compared
        assert float(table[0][3]) >= float(table[1][3])
    assert {(row[1], row[4] == "-") for row in rows} == {("iql+cocoa", False), ("bc", True)}
    assert "| FQE | 2 | " in printed.out
    assert "(episodes=held_out, updates=20" in printed.out
    assert "(episodes=all, updates=20" in printed.out
    assert read_selection(cloned)["initial_value"] is None
    assert read_selection(cloned)["td_error"] is None


def test_a_run_that_cannot_be_estimated_is_left_out(wrapped, cloned, tmp_path, capsys):
    (cloned / "checkpoints" / "latest.safetensors").unlink()
    assert main(["select", str(tmp_path), "updates=20", "batch_size=16", "hidden=[8]"]) == 1
    printed = capsys.readouterr()
    assert f"Left out: {cloned}: " in printed.err
    assert "has no checkpoint" in printed.err
    assert "| iql+cocoa | 3 | " in printed.out
    assert main(["select", str(cloned)]) == 2
    assert main(["select", str(wrapped), "updates=0"]) == 2
    assert "updates=0" in capsys.readouterr().err


def test_other_data_and_a_run_in_use_are_refused(wrapped, recording):
    data = load(recording, ENV)
    with pytest.raises(RunError, match="has other data"):
        select_run(wrapped, SETTINGS, data.of_episodes(np.arange(3)))
    with filelock.FileLock(wrapped / ".lock"), pytest.raises(RunError, match="is in use"):
        select_run(wrapped, SETTINGS, data)


def test_estimates_are_compared_with_final_returns_where_there_are_any(wrapped, tmp_path):
    selection = select_run(wrapped, SETTINGS)
    blocks = {"fqe": [3.0, 5.0], "initial_value": [4.0, 1.0], "td_error": [0.5, 0.2]}
    for name, values in blocks.items():
        selection[name]["per_seed"] = values
    (wrapped / FILE).write_text(json.dumps(selection))
    summary = read_summary(wrapped)
    (comparison,) = compare([wrapped])
    last = dict(zip((3, 7), summary["return"]["per_seed"], strict=True))
    assert [(x.seed, x.value) for x in comparison.candidates] == [(7, last[7]), (3, last[3])]
    final = {"step": 20, "seeds": [3, 7], "return": {"per_seed": [10.0, 30.0]}}
    write_summary(wrapped, summary | {"final_evaluation": final})
    (comparison,) = compare([wrapped])
    assert [x.value for x in comparison.candidates] == [30, 10]
    fqe, own, error = comparison.agreements()
    assert (fqe.spearman, fqe.regret, fqe.best) == (pytest.approx(1), (0, 0), (1, 1))
    assert (own.spearman, own.regret, own.best) == (pytest.approx(-1), (20, 0), (0, 1))
    assert (error.spearman, error.policies) == (pytest.approx(1), 2)
    write_summary(wrapped, summary | {"final_evaluation": final | {"step": 10}})  # of an older policy
    assert {x.value for x in compare([wrapped])[0].candidates} == set(last.values())


def test_diverged_policies_and_estimates_rank_lowest(wrapped):
    selection, summary = select_run(wrapped, SETTINGS), read_summary(wrapped)
    for name, values in {"fqe": [None, 5.0], "td_error": [0.5, None]}.items():
        selection[name]["per_seed"] = values
    (wrapped / FILE).write_text(json.dumps(selection))
    final = {"step": 20, "seeds": [3, 7], "return": {"per_seed": [None, 30.0]}}
    write_summary(wrapped, summary | {"final_evaluation": final})
    (comparison,) = compare([wrapped])
    assert [(x.seed, x.value) for x in comparison.candidates] == [(7, 30), (3, -np.inf)]
    fqe, _, error = comparison.agreements()
    assert (fqe.policies, fqe.spearman, fqe.regret) == (2, pytest.approx(1), (0, 0))
    assert (error.policies, error.spearman, error.regret) == (2, pytest.approx(-1), (np.inf, 0))
