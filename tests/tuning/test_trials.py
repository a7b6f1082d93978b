"""Trials as runs: killed and continued by two processes, stopped early, and diverged."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import time
from dataclasses import replace

import numpy as np
import pytest
from support.pendulum import ENV, TRAIN

pytest.importorskip("optuna")
pytest.importorskip("sklearn")
from optuna.trial import TrialState

from cocoa.runs import launch
from cocoa.selection import select
from cocoa.selection.settings import Selection
from cocoa.tuning.plan import make_plan
from cocoa.tuning.search import Search
from cocoa.tuning.trial import Watch, _mark, _store
from cocoa.tuning.trials import UNIT, WHY, read_trials

SMALL = ["algo=bc", "algo.hidden=[8]", f"env={ENV}", "eval_episodes=1", "wandb=off"]
RANGE = "algo.learning_rate=tag(log,interval(1e-4,1e-2))"


def test_a_killed_search_is_finished_by_two_processes(recording, tmp_path, subprocess_env):
    words = [
        "study=s",
        *SMALL,
        RANGE,
        f"dataset={recording}",
        "updates=400",
        "eval_every=200",
        "log_every=50",
    ]
    command = [*TRAIN, "tune", "trials=3", *words]

    def start():
        return subprocess.Popen(command, cwd=tmp_path, env=subprocess_env, stdout=-1, stderr=-1, text=True)

    first = start()
    while not any("Training on" in log.read_text() for log in tmp_path.glob("runs/s/logs/*.log")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    first.kill()
    first.communicate()
    (trial,) = read_trials(tmp_path / "runs" / "s")
    assert trial.state == TrialState.RUNNING
    texts = []
    for process in [start(), start()]:
        texts.append(process.communicate(timeout=300)[0])
        assert process.returncode == 0
    trials = read_trials(tmp_path / "runs" / "s")
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    summaries = [json.loads(path.read_text()) for path in tmp_path.glob("runs/s/*/*/*/summary.json")]
    assert sorted(s["return"]["mean"] for s in summaries) == sorted(trial.values[0] for trial in trials)
    assert any("Trials: 3 finished" in text and "Best: trial" in text for text in texts)
    assert (tmp_path / "runs/s/tuning/search.png").stat().st_size > 10_000


def test_a_run_that_was_stopped_before_it_had_a_folder_has_not_failed(recording, tmp_path, subprocess_env):
    command = [*TRAIN, "tune", "trials=1", "study=s", *SMALL, RANGE, f"dataset={recording}", "updates=400"]
    with subprocess.Popen(command, cwd=tmp_path, env=subprocess_env, start_new_session=True) as process:
        while not any(tmp_path.glob("runs/s/logs/*.log")):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # the run still imports
    assert process.returncode == 130
    assert not list(tmp_path.glob("runs/s/logs/*.log"))
    (trial,) = read_trials(tmp_path / "runs" / "s")
    assert trial.state == TrialState.RUNNING


@pytest.fixture(scope="module")
def search(recording, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    words = [f"runs_dir={folder}", f"cache_dir={folder / 'cache'}", f"dataset={recording}", "trials=20"]
    words += ["updates=30", "eval_every=10", "log_every=10", "study=s", *SMALL]
    return Search(make_plan([*words, RANGE]))


def trained(claim):
    """Train the run of a trial in this process; return its folder."""
    return launch.run(replace(claim.config, name=None))


def test_a_trial_below_the_median_is_stopped_and_its_run_says_so(search):
    for _ in range(5):
        claim = search.claim()
        claim.trial.report(1e6, 10)
        claim.trial.report(1e6, 20)
        search.finish(claim.trial, 1e6, "return")
        claim.lock.release()
    claim = search.claim()
    folder = trained(claim)
    watch = Watch(search, claim)
    assert watch()
    assert "is below the median of the other trials" in watch.pruned
    _mark(folder, watch.pruned)
    assert claim.run.state(search.plan.study).word == "pruned"
    assert _store(search, claim, watch, 143).startswith("pruned: at update 20 of 30")
    claim.lock.release()
    trial = read_trials(search.plan.study)[claim.trial.number]
    assert trial.state == TrialState.PRUNED
    assert trial.user_attrs[WHY] == json.loads((folder / "summary.json").read_text())["pruned"]
    assert list(trial.intermediate_values) == [10, 20]


def test_a_run_without_a_finite_score_is_a_failed_trial(search):
    claim = search.claim()
    folder = trained(claim)
    metrics = folder / "metrics.csv"
    lines = metrics.read_text().splitlines()
    lines = [
        f"{line.rpartition(',')[0]},nan" if line.startswith("30,") and "evaluation/return" in line else line
        for line in lines
    ]
    metrics.write_text("\n".join(lines) + "\n")
    assert _store(search, claim, Watch(search, claim), 0).startswith("failed: ")
    claim.lock.release()
    assert read_trials(search.plan.study)[claim.trial.number].state == TrialState.FAIL


def test_a_search_by_estimates_finds_the_iqm_of_fitted_q_evaluation(recording, tmp_path, monkeypatch):
    quick = functools.partial(select.select_run, settings=Selection(updates=20, hidden=(8,)))
    monkeypatch.setattr(select, "select_run", quick)
    words = [f"runs_dir={tmp_path}", f"cache_dir={tmp_path / 'cache'}", f"dataset={recording}", "study=s"]
    words += [*SMALL[:3], "wandb=off", "updates=10", "log_every=10", "seeds=[3,7]", "objective=fqe"]
    search = Search(make_plan([*words, "eval_episodes=0", "data.validation=0.1", RANGE]))
    claim = search.claim()
    folder = trained(claim)
    watch = Watch(search, claim)
    assert not watch()
    assert _store(search, claim, watch, 0).startswith("estimate ")
    claim.lock.release()
    (trial,) = read_trials(search.plan.study)
    stored = select.read_selection(folder)
    assert stored["settings"]["updates"] == 20
    assert stored["fitted_to"]["episodes"] == "held_out"
    assert trial.values == [pytest.approx(np.mean(stored["fqe"]["per_seed"]))]  # of two seeds, the IQM
    assert trial.user_attrs[UNIT] == "estimate"
