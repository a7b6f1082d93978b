"""Whole runs whose environment is odd or fails: what is saved, what is told, and how they go on."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from support.paths import ROOT, TESTS
from support.pendulum import assert_same_run
from support.robots import Robot, dataset, failing_after, registered

import cocoa
from cocoa.errors import DataError, RunError
from cocoa.runs import experiment, trainer
from cocoa.runs.episodes import read_episodes
from cocoa.runs.folder import checkpoint_path
from cocoa.runs.metrics import MetricsFile, read_metrics
from cocoa.runs.summary import read_summary
from cocoa.storage.serialization import read_metadata
from cocoa.training.evaluation import Evaluator
from cocoa.training.loop import Training

SIZES = {"seeds": (3, 7), "updates": 50, "batch_size": 16}
FIELDS = {**SIZES, "log_every": 10, "eval_every": 20, "eval_episodes": 2, "wandb": "off"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def train(runs, name, algorithm=None, **fields):
    cocoa.fit(
        algorithm or cocoa.BC(hidden=(8,)), dataset(), **(FIELDS | fields), runs_dir=str(runs), name=name
    )
    return runs / "arrays" / "bc" / name


@pytest.fixture(scope="module")
def whole(runs):
    with registered():
        return train(runs, "whole")


@pytest.fixture(params=[False, True], ids=["between", "beside"])
def beside(request, monkeypatch):
    monkeypatch.setattr(experiment, "evaluates_beside", lambda mesh: request.param)
    return request.param


def log_of(folder):
    return (folder / "log.txt").read_text()


@pytest.mark.parametrize(("evaluations", "saved"), [(0, 20), (1, 40), (2, 50)])
def test_a_failing_environment_loses_no_updates_and_the_run_goes_on(evaluations, saved, beside, runs, whole):
    error = RuntimeError("connection lost")
    folder = runs / "arrays" / "bc" / f"failed-{evaluations}-{beside}"
    steps = 4 + evaluations * 40 + 5  # a trial in each of four instances, then episodes of ten steps
    with (
        registered(step=failing_after(steps, error)) as kind,
        pytest.raises(
            RunError, match=r"'Robot-v0' failed in an evaluation \(seed 3, episode 1, step 2\)"
        ) as told,
    ):
        train(runs, folder.name)
    assert kind.opened == 0
    assert told.value.__cause__ is error
    assert f"All is saved up to update {saved}; cocoa.load_policy" in str(told.value)
    assert str(told.value).endswith(f"go on: cocoa.resume('{folder}', dataset)")
    assert read_summary(folder)["status"] == "failed"
    assert int(read_metadata(checkpoint_path(folder))["step"]) == saved
    assert np.isfinite(cocoa.load_policy(folder)(np.zeros(3))).all()
    with registered(step=failing_after(9, error)), pytest.raises(RunError, match="connection lost"):
        cocoa.resume(folder, dataset())
    with registered():
        cocoa.resume(folder, dataset())
    assert_same_run(folder, whole)
    assert read_summary(folder)["status"] == "finished"


KILLS = {
    "before an evaluation": (Evaluator, "evaluate", False),
    "after an evaluation": (Evaluator, "evaluate", True),
    "before rows are written": (MetricsFile, "write", False),
    "after rows are written": (MetricsFile, "write", True),
    "before a save": (trainer.Trainer, "_save", False),
    "after a save": (trainer.Trainer, "_save", True),
    "before a chunk": (Training, "chunk", False),
}


class Killed(BaseException):
    """Stands for SIGKILL, once whatever would be written after it is kept from being written."""


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_run_killed_around_an_evaluation_goes_on_as_if_nothing_had_happened(
    kill, count, beside, runs, whole, monkeypatch
):
    owner, name, after = KILLS[kill]
    original, calls = getattr(owner, name), []

    def stopping(self, *args):
        calls.append(1)
        if len(calls) == count and not after:
            raise Killed
        result = original(self, *args)
        if len(calls) == count:
            raise Killed
        return result

    folder = runs / "arrays" / "bc" / f"{kill.replace(' ', '-')}-{count}-{beside}"
    with registered():
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stopping)
            patch.setattr(experiment.Record, "close", lambda record, status: record.close_files())
            try:
                train(runs, folder.name)
            except Killed:
                pass
            else:
                assert len(calls) < count
        cocoa.resume(folder, dataset())
    assert_same_run(folder, whole)


def test_rates_of_success_are_logged_in_percent(runs):
    def step(self, action):
        step = Robot.step(self, action)
        return *step[:4], {"success": step[1] > 0}

    with registered(step=step):
        folder = train(runs, "success", eval_episodes=5)
    episodes = read_episodes(folder / "episodes.csv")
    steps, rates = read_metrics(folder / "metrics.csv").values("evaluation/success")
    assert steps.tolist() == list(episodes) == [20, 40, 50]
    for step, column in zip(episodes, rates.T, strict=True):
        np.testing.assert_allclose(column, [100 * episodes[step][seed][:, 2].mean() for seed in (3, 7)])
    assert 0 < rates.mean() < 100
    summary = read_summary(folder)
    assert summary["success"]["per_seed"] == rates[:, -1].tolist()
    assert summary["success_last10"]["mean"] == pytest.approx(rates.mean())


def test_episodes_without_a_word_of_success_failed_where_others_have_one(runs):
    """The first evaluation succeeds in one of four episodes, and no other does."""
    ended = []

    def step(self, action):
        *step, info = Robot.step(self, action)
        self.taken += 1
        if self.taken == 10:
            ended.append(1)
        return *step, info | ({"success": True} if self.taken == 10 and len(ended) == 2 else {})

    def reset(self, **options):
        self.taken = 0
        return Robot.reset(self, **options)

    with registered(step=step, reset=reset):
        folder = train(runs, "seldom")
    assert read_metrics(folder / "metrics.csv").values("evaluation/success")[1].sum() == 50
    successes = np.concatenate([*read_episodes(folder / "episodes.csv")[20].values()])[:, 2]
    assert sorted(successes) == [0, 0, 0, 1]
    summary = read_summary(folder)
    assert summary["success"]["per_seed"] == [0, 0]
    assert summary["success_last10"]["mean"] == pytest.approx(25 / 3)


def test_a_checkpoint_saved_after_its_evaluation_is_not_evaluated_again(runs, whole, monkeypatch):
    """As they are saved after Ctrl-C."""
    folder = shutil.copytree(whole, whole.parent / "evaluated")
    (folder / "summary.json").unlink()
    monkeypatch.setattr(Evaluator, "evaluate", lambda *args: pytest.fail("evaluated again"))
    with registered():
        cocoa.resume(folder, dataset())
    assert_same_run(folder, whole)
    assert read_summary(folder)["status"] == "finished"


def test_a_single_instance_gives_the_same_run(runs, whole):
    def init(self):
        if type(self).opened:
            raise RuntimeError("only one at a time")
        Robot.__init__(self)

    with registered(__init__=init) as kind:
        folder = train(runs, "single")
        assert kind.opened == 0
    assert_same_run(folder, whole)
    assert log_of(folder).count("Only one instance of Robot-v0") == 1


def test_a_single_instance_serves_the_diagnostics_as_well(runs):
    def init(self):
        if type(self).opened:
            raise RuntimeError("only one at a time")
        Robot.__init__(self)

    groups = {}
    for name, methods in (("many", {}), ("one", {"__init__": init})):
        with registered(**methods):
            train(runs, name, updates=10, cocoa=cocoa.Zero(encoder_hidden=(8,), hidden=(16,)))
        series = read_metrics(runs / "arrays" / "bc+cocoa-zero" / name / "metrics.csv").series
        groups[name] = {key: rows for key, rows in series.items() if key[0].startswith("anchors/")}
    assert ("anchors/random-policy/nn_state", None) in groups["one"]
    assert groups["one"] == groups["many"]


def test_an_unusable_environment_is_told_before_anything_is_fitted(runs, monkeypatch):
    monkeypatch.setattr(experiment, "build_inputs", lambda *args, **kwargs: pytest.fail("models were fitted"))
    with registered(reset=lambda self: (np.zeros(3), {})), pytest.raises(DataError, match="'seed'"):
        train(runs, "old")
    monkeypatch.undo()
    with registered(reset=lambda self: (np.zeros(3), {})) as kind:
        train(runs, "old", eval_episodes=0)  # the failed run has given its name back
        assert kind.opened == 0


def test_environments_are_closed_when_a_run_fails_or_is_interrupted(runs, monkeypatch):
    def kill(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return original(*args, **kwargs)

    original = experiment.build_inputs
    monkeypatch.setattr(experiment, "build_inputs", kill)
    with registered() as kind, pytest.raises(KeyboardInterrupt):
        train(runs, "interrupted")
    assert kind.opened == 0
    monkeypatch.setattr(experiment, "build_inputs", lambda *args, **kwargs: 1 / 0)
    with registered() as kind, pytest.raises(ZeroDivisionError):
        train(runs, "broken")
    assert kind.opened == 0


@pytest.mark.parametrize("name", ["reward", "observation"])
def test_numbers_of_the_environment_that_are_not_finite_are_not_taken_for_divergence(name, runs):
    def step(self, action):
        state, reward, *rest = Robot.step(self, action)
        self.taken = getattr(self, "taken", 0) + 1
        if self.taken > 12 and name == "reward":
            reward = np.nan
        elif self.taken > 12:
            state = state * np.nan
        return state, reward, *rest

    with registered(step=step):
        folder = train(runs, f"nan-{name}")
    log = log_of(folder)
    assert (
        f"{name}s of the environment were not finite in 4 episodes of the evaluation after update 40" in log
    )
    assert "first in seed 3, episode 0, step 2" in log
    assert (
        f"says little about it: {name}s of the environment were not finite in 4 episodes of the last" in log
    )
    assert "diverged" not in log
    assert read_summary(folder)["nonfinite_episodes"] == {f"{name}s": 4}
    steps, counts = read_metrics(folder / "metrics.csv").values(f"evaluation/nonfinite_{name}s")
    assert (steps.tolist(), counts.tolist()) == ([40, 50], [[2, 2], [2, 2]])


def test_a_diverged_policy_is_not_put_down_to_the_environment(runs):
    with registered():
        folder = train(runs, "diverged", cocoa.BC(hidden=(8,), learning_rate=1e38), updates=20)
    log = log_of(folder)
    assert "actions of the policy were not finite in 4 episodes of the evaluation after update 20" in log
    assert "Finished, but the policy's return is nan: the training diverged." in log
    assert "of the environment were not finite" not in log


def test_a_run_with_deprecated_environments_is_silent(tmp_path):
    """And one that prints and warns when it is made does not disturb it."""
    script = (
        "import warnings\nimport cocoa\nfrom support.robots import Robot, dataset, registered\n"
        "def init(self):\n"
        "    warnings.warn('old', DeprecationWarning)\n    warnings.warn('odd')\n    Robot.__init__(self)\n"
        "with registered('Robot-v1'), registered('Robot-v0', __init__=init):\n"
        "    warnings.simplefilter('always')\n"
        "    cocoa.fit(cocoa.BC(hidden=(8,)), dataset(), updates=2, log_every=2, eval_every=2, wandb='off',\n"
        "              eval_episodes=2, runs_dir='runs', cache_dir='cache')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "out of date" not in done.stderr


def test_an_environment_that_fails_in_one_process_stops_all(tmp_path):
    script = (
        "import sys\nimport cocoa\nfrom cocoa.runs import launch\n"
        "from cocoa.config.schema import Config, DistributedConfig\n"
        "from support.robots import dataset, failing_after, registered\n"
        "rank, address = int(sys.argv[1]), sys.argv[2]\n"
        "steps = 10 if rank else 1000\n"
        "with registered(step=failing_after(steps, RuntimeError('connection lost'))):\n"
        "    places = DistributedConfig(coordinator=address, processes=2, process=rank)\n"
        "    data = dataset()\n"
        "    try:\n"
        "        launch.run(Config(algo=cocoa.BC(hidden=(8,)), dataset=data.name, seeds=(3, 7),\n"
        "            env='Robot-v0',\n"
        "            updates=20, batch_size=16, log_every=10, eval_every=20, eval_episodes=2, wandb='off',\n"
        "            runs_dir='runs', name='both', distributed=places), data)\n"
        "    except cocoa.UserError as error:\n"
        "        print(error)\n        sys.exit(2)\n"
    )
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rank), address],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [2, 2], printed
    assert "(seed 7, episode 0, step 5): RuntimeError: connection lost. All is saved" in printed[1]
    assert "Another process of the run failed; its output says why. All is saved up to" in printed[0]
    assert read_summary(tmp_path / "runs" / "arrays" / "bc" / "both")["status"] == "failed"
