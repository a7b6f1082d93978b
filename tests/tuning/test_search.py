"""The trials of a search, on objectives that cost nothing: proposals, several processes, kills."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna")
pytest.importorskip("sklearn")
from optuna.trial import TrialState

from cocoa.config.compose import parse
from cocoa.errors import ConfigError, RunError
from cocoa.tuning.figure import importances
from cocoa.tuning.plan import make_plan
from cocoa.tuning.results import report
from cocoa.tuning.search import Search
from cocoa.tuning.trials import read_trials

RANGES = [
    "algo.expectile=interval(0.5,0.99)",
    "algo.learning_rate=tag(log,interval(1e-5,1e-1))",
    "batch_size=interval(1,1000)",
    "algo.hidden=choice([8],[16],[32])",
]


def plan(folder, *words):
    return make_plan(["study=first", "algo=iql", f"runs_dir={folder}", *RANGES, *words])


def height(words):
    """The value of a trial, at most 0: at expectile 0.8, step size 1e-3 and hidden=[16]; not of the batch."""
    values = {override.key_or_group: override.value() for override in parse(words)}
    expectile, step = values["algo.expectile"] - 0.8, math.log10(values["algo.learning_rate"]) + 3
    return -((10 * expectile) ** 2) - step**2 - 4 * (values["algo.hidden"] != [16])


def climb(search, sleep=0.0):
    """Work on the trials of a search with `height` in place of a training; return their values."""
    values = []
    while claim := search.claim():
        time.sleep(sleep)
        values.append(height(claim.words))
        search.finish(claim.trial, values[-1], "score")
        claim.lock.release()
    return values


def test_a_search_finds_an_optimum_that_is_known(tmp_path):
    values = climb(Search(plan(tmp_path, "trials=40")))
    assert len(values) == 40
    assert max(values) > -0.1  # of random trials, one in a thousand
    assert sum(values[-20:]) / 20 > sum(values[:10]) / 10 + 2
    trials = read_trials(tmp_path / "first")
    shares = importances(trials)
    assert shares["batch_size"] < 0.3 < max(shares.values())
    assert all(isinstance(trial.params["batch_size"], int) for trial in trials)


@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_a_search_that_goes_on_proposes_what_it_would_have_without_the_break(tmp_path, storage):
    whole = climb(Search(plan(tmp_path / "whole", "trials=14")))
    cut = climb(Search(plan(tmp_path / "cut", "trials=5", f"storage={storage}")))
    search = Search(plan(tmp_path / "cut", "trials=14", f"storage={storage}"))
    left = search.claim()
    assert left is not None
    left.lock.release()  # as if this process had been killed
    cut += climb(Search(plan(tmp_path / "cut", "trials=14", f"storage={storage}")))
    assert cut == whole
    other = climb(Search(plan(tmp_path / "other", "trials=5", "sampler_seed=1")))
    assert not set(other) & set(whole)


WORKER = """
import sys
from pathlib import Path
from tuning.test_search import climb, plan
from cocoa.tuning.search import Search
search = Search(plan(Path(sys.argv[1]), "trials=24"))
print("ready", flush=True)
climb(search, sleep=0.05)
"""


def test_no_trial_is_lost_or_made_twice_by_processes_of_which_one_is_killed(tmp_path):
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, str(Path(tests).parent)])}
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    workers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout.readline() == b"ready\n"
    while len(read_trials(tmp_path / "first")) < 6:
        time.sleep(0.02)
    workers[0].send_signal(signal.SIGKILL)
    for worker in workers:
        _, errors = worker.communicate(timeout=100)
        assert worker is workers[0] or worker.returncode == 0, errors.decode()
    trials = read_trials(tmp_path / "first")
    assert [trial.number for trial in trials] == list(range(24))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert len({tuple(trial.params.values()) for trial in trials}) == 24


def test_settings_that_exclude_each_other_are_a_failed_trial(tmp_path):
    ranges = ["dynamics.members=interval(2,9)", "dynamics.elites=interval(2,9)"]
    search = Search(make_plan(["study=first", "algo=mopo", f"runs_dir={tmp_path}", *ranges, "trials=12"]))
    finished = 0
    while claim := search.claim():
        search.finish(claim.trial, 1.0, "score")
        claim.lock.release()
        finished += 1
    text = report(tmp_path / "first")
    assert 0 < finished < 12
    assert f"{12 - finished} failed" in text
    assert "is not possible: there are" in text


def test_another_search_does_not_go_on_in_the_same_study(tmp_path):
    Search(plan(tmp_path))
    Search(plan(tmp_path, "trials=30", "wandb=off", "devices=1"))
    for word, named in (
        ("updates=7", "settings"),
        ("algo.temperature=1,3", "ranges"),
        ("sampler_seed=1", "sampler seed"),
        ("pruner=none", "pruner"),
        ("storage=sqlite", "storage"),
    ):
        with pytest.raises(ConfigError, match=f"other {named}"):
            Search(plan(tmp_path, word))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_search_is_named(tmp_path, content):
    with pytest.raises(RunError, match="There is no search"):
        read_trials(tmp_path / "first")
    Search(plan(tmp_path))
    (tmp_path / "first" / "tuning" / "search.json").write_text(content)
    with pytest.raises(RunError, match=r"search\.json cannot be read"):
        read_trials(tmp_path / "first")
