"""Whole runs: resumed ones equal uninterrupted ones, the cache is shared, the README's example works."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.envs.mujoco.inverted_pendulum_v4 import InvertedPendulumEnv
from support.paths import ROOT
from support.pendulum import COCOA, ENV, WIDTHS, assert_same_run, interrupt

import cocoa
from cocoa.algos.mopo import MOPO
from cocoa.anchors import ANCHORS, Nearest, Seek, learned
from cocoa.anchors.decomposition import Observe
from cocoa.config.schema import Config
from cocoa.data import Scaling
from cocoa.environments.spaces import make_environment
from cocoa.errors import DataError, RunError
from cocoa.report.runs import NOT_FINISHED
from cocoa.report.unfinished import unfinished
from cocoa.runs import experiment, launch, record
from cocoa.runs.episodes import read_episodes
from cocoa.runs.interface import Interface
from cocoa.runs.metrics import read_metrics
from cocoa.runs.progress import Speedometer
from cocoa.runs.summary import read_summary
from cocoa.studies.plan import logged_failure, unplanned
from cocoa.studies.table import table
from cocoa.training.evaluation import Evaluator
from cocoa.training.loop import Training


def test_a_run_leaves_what_it_should(finished, recording):
    assert {path.name for path in finished.iterdir()} >= {
        "config.yaml",
        "metrics.csv",
        "episodes.csv",
        "summary.json",
        "log.txt",
        "learning_curve.png",
        "anchors.png",
        "checkpoints",
    }
    assert finished.parts[-3:] == ("pendulum", "iql+cocoa", "whole")
    summary = read_summary(finished)
    assert summary["status"] == "finished"
    assert (summary["algo"], summary["cocoa"], summary["seeds"]) == ("iql", "seek", [3, 7])
    assert summary["models_shared_by_seeds"] is True
    assert summary["env"] == ENV
    assert summary["versions"]["jax"] == jax.__version__
    assert summary["hardware"]["cores"] >= 1
    steps, returns = read_metrics(finished / "metrics.csv").values("evaluation/return")
    assert steps.tolist() == [20, 40, 60]
    assert summary["return"]["per_seed"] == returns[:, -1].tolist()
    episodes = read_episodes(finished / "episodes.csv")
    assert list(episodes) == [20, 40, 60]
    np.testing.assert_allclose(
        [[episodes[step][seed][:, 0].mean() for step in episodes] for seed in (3, 7)], returns, rtol=1e-12
    )
    lengths = read_metrics(finished / "metrics.csv").values("evaluation/length")[1]
    assert lengths[1, 2] == episodes[60][7][:, 1].mean() > 1
    assert summary["success"] is None
    assert summary["return_last10"]["mean"] == pytest.approx(returns.mean())
    assert set(summary["seconds"]) >= {"forward", "reverse", "seeker", "anchors", "training", "evaluation"}
    assert summary["score"] is None
    assert "Finished: the policy's return" in (finished / "log.txt").read_text()


@pytest.mark.parametrize("beside", [False, True])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(beside, config, finished, monkeypatch):
    """Ctrl-C in the second chunk, then again after the first evaluation, whatever that runs beside."""
    monkeypatch.setattr(experiment, "evaluates_beside", lambda mesh: beside)
    starts, folder = interrupt(monkeypatch, 2, 4), finished.parent / f"cut-{beside}"
    with pytest.raises(KeyboardInterrupt):
        launch.run(dataclasses.replace(config, name=folder.name))
    assert read_summary(folder)["status"] == "interrupted"
    assert "cocoa.resume(" in (folder / "log.txt").read_text()
    with pytest.raises(KeyboardInterrupt):
        launch.resume(folder)
    launch.resume(folder)
    assert starts == [0, 10, 20, 30, 40, 50]
    assert_same_run(folder, finished)
    assert read_summary(folder)["status"] == "finished"
    assert "Warning" not in (folder / "log.txt").read_text()


def test_an_evaluation_beside_the_training_waits_until_the_device_is_busy(config, finished, monkeypatch):
    events, chunk, evaluate = [], Training.chunk, Evaluator.evaluate
    monkeypatch.setattr(experiment, "evaluates_beside", lambda mesh: True)
    monkeypatch.setattr(Training, "chunk", lambda *args: events.append("chunk") or chunk(*args))
    monkeypatch.setattr(Evaluator, "evaluate", lambda *args: events.append("evaluate") or evaluate(*args))
    folder = launch.run(dataclasses.replace(config, name="beside"))
    assert events == [*["chunk"] * 4, "evaluate", *["chunk"] * 2, "evaluate", "evaluate"]
    assert_same_run(folder, finished)


def test_the_speed_of_a_training_does_not_hang_on_what_is_evaluated_beside(config, finished, monkeypatch):
    counted, evaluate, naps = [], Evaluator.evaluate, iter([2, 0, 0])
    monkeypatch.setattr(experiment, "evaluates_beside", lambda mesh: True)
    monkeypatch.setattr(Evaluator, "evaluate", lambda *args: time.sleep(next(naps)) or evaluate(*args))
    monkeypatch.setattr(Speedometer, "add", lambda meter, *chunk: counted.append(chunk))
    launch.run(dataclasses.replace(config, name="slowly-evaluated"))
    assert sum(updates for updates, _ in counted) == config.updates
    assert all(seconds < 2 for _, seconds in counted[1:])  # the first one compiles


def test_a_run_may_stream_its_data(config, finished, monkeypatch):
    """And its summary tells of the commit that it was started at, whatever comes after."""
    commits = iter(["first"])
    monkeypatch.setattr(record, "provenance", lambda: {"git_commit": next(commits)})
    folder = launch.run(dataclasses.replace(config, name="streamed", stream=True))
    assert "batches streamed from the host" in (folder / "log.txt").read_text()
    streamed, resident = (read_metrics(path / "metrics.csv").series for path in (folder, finished))
    assert streamed.keys() == resident.keys()
    assert read_summary(folder)["git_commit"] == "first"
    for name, entries in resident.items():
        np.testing.assert_allclose(streamed[name], entries, rtol=1e-3, atol=1e-4, err_msg=str(name))


@pytest.mark.parametrize("own", [False, True])
def test_an_interrupted_model_based_run_goes_on(own, config, tmp_path, monkeypatch):
    """Between two rounds of rollouts, whose buffer is made again; seeds share models or have their own."""
    monkeypatch.setattr(learned, "NETWORK", dataclasses.replace(learned.NETWORK, max_epochs=2))
    imagining = MOPO(hidden=(16,), rollout_starts=20, rollout_length=2, rollout_every=15, rollout_rounds=2)
    wrapped = dataclasses.replace(COCOA, per_seed=own, amortised=own)
    cache = str(tmp_path / "cache")
    config = dataclasses.replace(config, algo=imagining, cocoa=wrapped, updates=50, cache_dir=cache)
    whole = launch.run(dataclasses.replace(config, name=f"whole-mopo-{own}"))
    starts = interrupt(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        launch.run(dataclasses.replace(config, name=f"cut-mopo-{own}"))
    assert starts == [0, 10, 20]
    shutil.rmtree(cache)  # models are fitted again
    folder = launch.resume(whole.parent / f"cut-mopo-{own}")
    assert_same_run(folder, whole)
    assert "Warning" not in (folder / "log.txt").read_text()
    metrics = read_metrics(folder / "metrics.csv")
    assert (metrics.values("training/rollout_steps")[1] <= 2).all()
    assert (("dynamics/amortised/data", 3) in metrics.series) == own
    assert np.isfinite(cocoa.load_policy(folder, 7)(np.zeros(4))).all()


def test_models_per_seed_differ_and_do_not_depend_on_the_other_seeds(config):
    separate = dataclasses.replace(COCOA, per_seed=True)
    both = launch.run(dataclasses.replace(config, cocoa=separate, updates=20, name="per-seed"))
    one = launch.run(dataclasses.replace(config, cocoa=separate, updates=20, seeds=(7,), name="only-7"))
    assert read_summary(both)["models_shared_by_seeds"] is False
    _, errors = read_metrics(both / "metrics.csv").values("dynamics/forward/relative")
    assert errors[0] != errors[1]
    observation = np.array([0.01, 0.02, 0.1, -0.1])
    actions = [cocoa.load_policy(both, 7)(observation), cocoa.load_policy(one)(observation)]
    np.testing.assert_allclose(*actions, rtol=1e-3)
    assert cocoa.load_policy(both, 3)(observation) != actions[0]


@pytest.mark.parametrize("variant", ["nearest", "random", "self-noise", "zero", None])
def test_plain_runs_and_controls(variant, config):
    wrapped = variant and ANCHORS[variant](**WIDTHS)
    data = dataclasses.replace(config.data, observation_normalization=True)
    run = dataclasses.replace(config, cocoa=wrapped, data=data, updates=20, seeds=(0,), name="control")
    folder = launch.run(run)
    assert folder.parent.name == ("iql" if variant is None else f"iql+cocoa-{variant}")
    assert read_summary(folder)["cocoa"] == variant
    assert np.isfinite(cocoa.load_policy(folder)(np.zeros(4))).all()


def test_evaluation_repeats_what_the_loaded_policy_does(config, finished):
    """The returns in the record are those of the policy in the environment, played by hand."""
    _, returns = read_metrics(finished / "metrics.csv").values("evaluation/return")
    policy = cocoa.load_policy(finished, seed=7)
    played = []
    for episode in range(config.eval_episodes):
        env = make_environment(ENV)
        seed = np.random.SeedSequence([7, 60, episode]).generate_state(1)[0]
        state, _ = env.reset(seed=int(seed))
        total, done = 0.0, False
        while not done:
            state, reward, terminal, timeout, _ = env.step(policy(state))
            total, done = total + float(reward), terminal or timeout
        played.append(total)
    assert returns[1, -1] == pytest.approx(np.mean(played), rel=0.1)


def test_a_policy_says_what_it_is(finished):
    said = repr(cocoa.load_policy(finished, seed=7))
    assert said == f"<Policy 4 -> 1: iql+cocoa, pendulum, seed 7, 60 updates, {str(finished)!r}>"


def test_a_policy_keeps_to_the_bounds_of_actions(tmp_path):
    """Like evaluation, whatever the algorithm asks for."""

    class Unbounded(cocoa.BC):
        def act(self, state, observation, key=None):
            return observation

    zeros, ones = jnp.zeros(2), jnp.ones(2)
    scaling = Scaling(zeros, ones, jnp.array([0.5, 0.0]), jnp.array([1.5, 2.0]))
    interface = Interface(Observe(zeros, ones), scaling)
    act = cocoa.Policy(Config(Unbounded()), (), interface, tmp_path, 0)
    np.testing.assert_allclose(act([[-9, 9], [9, 0.5]]), [[-1, 2], [2, 1]])


@pytest.mark.parametrize(
    "error", [MemoryError("no room"), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no room\nfor 8 bytes")]
)
def test_a_run_without_enough_memory_says_what_to_change(error, config, monkeypatch):
    def chunk(*args):
        raise error

    monkeypatch.setattr(Training, "chunk", chunk)
    name = f"huge-{type(error).__name__}"
    with pytest.raises(RunError, match=r"too little memory \(.*no room.*\)\. Start a new run with smaller"):
        launch.run(dataclasses.replace(config, cocoa=None, name=name))
    folder = Path(config.runs_dir) / "pendulum" / "iql" / name
    assert read_summary(folder)["status"] == "failed"
    assert logged_failure(folder).startswith("Error: There is too little memory")


def test_who_sees_a_failed_run_s_folder_alone_learns_why(config, monkeypatch):
    monkeypatch.setattr(Training, "chunk", lambda *args: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        launch.run(dataclasses.replace(config, cocoa=None, name="odd"))
    folder = Path(config.runs_dir) / "pendulum" / "iql" / "odd"
    assert "Traceback (most recent call last):\n" in (folder / "log.txt").read_text()
    why = "ZeroDivisionError: integer division or modulo by zero"
    status = table(Path(config.runs_dir), list(unplanned(Path(config.runs_dir))))
    assert f"odd failed: {why}\n" in status
    (left_out,) = unfinished([folder], {folder: NOT_FINISHED}, [folder])
    assert (left_out.state, left_out.why) == ("failed", why)


def test_an_environment_without_a_time_limit_is_told_and_what_is_odd_of_the_data(config, tmp_path, capsys):
    gymnasium.register("Unlimited-v0", InvertedPendulumEnv)
    data, path = cocoa.load(config.dataset), tmp_path / "shuffled.hdf5"
    with h5py.File(path, "w") as file:
        file["next_observations"] = data.next_observations[::-1]
        for name in ("observations", "actions", "rewards", "terminals"):
            file[name] = getattr(data, name)[::-1]
    run = dataclasses.replace(
        config, cocoa=None, seeds=(0,), dataset=str(path), env="Unlimited-v0", name="odd"
    )
    try:
        folder = launch.run(run)
    finally:
        del gymnasium.registry["Unlimited-v0"]
    log = (folder / "log.txt").read_text()
    assert "Warning: Gymnasium knows of no time limit of Unlimited-v0." in log
    assert "If the rows were shuffled" in log
    assert "If the rows were shuffled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        (Seek(), "The forward model of arrays cannot be fitted"),
        (Nearest(), r"no episode of the dataset is that long\. Set another variant"),
    ],
)
def test_too_little_data_is_told(variant, told, config):
    row = np.zeros((1, 4))
    step = {"observations": row, "next_observations": row + 1, "actions": row[:, :1]}
    dataset = cocoa.Dataset.from_arrays(**step, rewards=[1], terminals=[0], env=ENV)
    with pytest.raises(DataError, match=told):
        launch.run(dataclasses.replace(config, cocoa=variant, name="tiny"), dataset)


def test_mistakes_are_told(config, finished, tmp_path):
    with pytest.raises(RunError, match="exists already"):
        launch.run(dataclasses.replace(config, name="whole"))
    unknown = dataclasses.replace(cocoa.load(config.dataset, ENV), env=None)
    with pytest.raises(DataError, match=r"'Pendulm-v4' cannot be made.*env="):
        launch.run(dataclasses.replace(config, env="Pendulm-v4", name="wrong"), unknown)
    with pytest.raises(RunError, match=r"no config\.yaml"):
        launch.resume(finished.parent / "wohle")
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "summary.json").unlink()
    with pytest.raises(RunError, match="SHA-256"):
        launch.resume(copy, dataclasses.replace(cocoa.load(config.dataset, ENV), name="other"))
    with pytest.raises(RunError, match="seeds"):
        cocoa.load_policy(finished, seed=4)


def test_the_example_in_the_readme_runs(tmp_path, subprocess_env):
    example = re.search(r"```python\n(import cocoa\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    shortened = example.replace(
        "updates=20_000",
        "updates=20, eval_every=20, eval_episodes=1, cache_dir='cache', "
        "dynamics=EnsembleConfig(hidden=(16,), weight_decay=(0.0, 0.0), max_epochs=1)",
    ).replace("updates=30_000", "updates=20")
    shortened = shortened.replace(
        "cocoa=True", "cocoa=cocoa.Seek(rollout_length=1, seeker=SeekerConfig(max_epochs=1))"
    )
    assert shortened.count("max_epochs=1") == 2
    script = (
        "from cocoa.dynamics.config import EnsembleConfig\nfrom cocoa.anchors import SeekerConfig\n"
        + shortened
        + "import json\nprint(json.dumps([action.tolist(), again(observation).tolist(), again.seed]))\n"
        + "assert longer.folder == policy.folder\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=subprocess_env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    action, other, seed = json.loads(done.stdout.splitlines()[-1])
    assert len(action) == len(other) == 3
    assert action != other
    assert seed == 1


def test_widths_that_cocoa_replaces_are_told(config, finished):
    assert config.algo.hidden != type(config.algo)().hidden
    assert config.cocoa is not None
    assert "Without effect: algo.hidden=" in (finished / "log.txt").read_text()
