"""Whole runs with held-out transitions, and runs on data whose environment is not known."""

import dataclasses

import numpy as np
import pytest
from support.pendulum import ENV, WIDTHS, arrays_in, assert_same_run, interrupt

import cocoa
from cocoa.data import load, split
from cocoa.data.held_out import batches
from cocoa.data.preprocessing import DataConfig
from cocoa.runs import launch
from cocoa.runs.folder import checkpoint_path
from cocoa.runs.metrics import read_metrics
from cocoa.runs.summary import read_summary

SHARE = DataConfig(validation=0.1, observation_normalization=True, reward_normalization="return_range")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """A cache of models that no other module fills."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def divided(config):
    return dataclasses.replace(config, data=SHARE, eval_episodes=0)


@pytest.fixture(scope="module")
def whole(divided):
    return launch.run(dataclasses.replace(divided, name="whole"))


def contents(cache):
    """The arrays of each kind of artifact in a cache."""
    return {path.name.partition("-")[0]: arrays_in(path.read_bytes()) for path in cache.glob("*.safetensors")}


def test_held_out_losses_stand_beside_those_of_the_training(whole, divided):
    metrics = read_metrics(whole / "metrics.csv")
    steps, losses = metrics.values("held_out/critic_loss")
    assert steps.tolist() == [20, 40, 60]
    assert losses.shape == (2, 3)
    assert (losses[0] != losses[1]).all()
    training = {name.partition("/")[2] for name, _ in metrics.series if name.startswith("training/")}
    assert training == {name.partition("/")[2] for name, _ in metrics.series if name.startswith("held_out/")}
    summary = read_summary(whole)
    assert summary["held_out"]["critic_loss"]["per_seed"] == losses[:, -1].tolist()
    assert (whole / "held_out.png").stat().st_size > 10_000
    log = (whole / "log.txt").read_text()
    held_out = split(load(divided.dataset, ENV), SHARE)[1]
    count = len(np.unique(held_out.episodes))
    assert f"held out: {len(held_out):,} transitions of {count} episode" in log
    assert "Finished; no policy was evaluated. Held out: " in log
    assert "critic_loss" in log.splitlines()[-1]


def test_nothing_learned_depends_on_what_is_held_out(whole, divided, recording, artifacts, tmp_path):
    data = load(recording, ENV)
    held_out = np.isin(data.observations, split(data, SHARE)[1].observations).all(axis=1)
    assert 0 < held_out.sum() < len(data)
    changes = {"observations": 3.0, "next_observations": 5.0, "rewards": -7.0, "actions": -0.5}
    arrays = {name: getattr(data, name).copy() for name in changes}
    for name, factor in changes.items():
        arrays[name][held_out] *= factor
    returns = np.bincount(data.episodes, arrays["rewards"])
    changed = dataclasses.replace(data, episode_returns=returns, **arrays)
    name, wandb = "changed", {"cache_dir": str(tmp_path), "dataset": "pendulum", "name": "changed"}
    folder = launch.run(dataclasses.replace(divided, **wandb), changed)
    assert folder.name == name
    fitted = contents(tmp_path)
    assert fitted.keys() == {"forward", "reverse", "seeker", "anchors"}
    assert fitted == contents(artifacts)
    assert arrays_in(checkpoint_path(folder).read_bytes()) == arrays_in(checkpoint_path(whole).read_bytes())
    first, second = (read_metrics(path / "metrics.csv").series for path in (folder, whole))
    assert first.keys() == second.keys()
    for key, values in first.items():
        same = values == second[key]
        assert same == (not key[0].startswith("held_out/") or key[0] == "held_out/policy_std"), key


@pytest.mark.parametrize("stream", [False, True])
def test_an_interrupted_run_goes_on_bit_for_bit(stream, divided, whole, monkeypatch):
    interrupt(monkeypatch, 2, 5)
    changed = dataclasses.replace(divided, name=f"cut-{stream}", stream=stream)
    with pytest.raises(KeyboardInterrupt):
        launch.run(changed)
    folder = whole.parent / changed.name
    with pytest.raises(KeyboardInterrupt):
        launch.resume(folder)
    launch.resume(folder)
    if not stream:
        assert_same_run(folder, whole)
    monkeypatch.undo()
    streamed = read_metrics(folder / "metrics.csv").series
    for key, values in read_metrics(whole / "metrics.csv").series.items():
        np.testing.assert_allclose(streamed[key], values, rtol=1e-3, atol=1e-4, err_msg=str(key))


def test_a_clone_is_as_far_from_held_out_actions_as_its_policy_says(divided):
    """Of the environment's own states, with anchors that are each seed's own."""
    anchors = cocoa.Random(per_seed=True, **WIDTHS)
    changes = {"algo": cocoa.BC(), "cocoa": anchors, "updates": 20, "name": "clone"}
    folder = launch.run(dataclasses.replace(divided, **changes))
    _, held_out = split(load(divided.dataset, ENV), SHARE)
    rows = batches(len(held_out), divided.batch_size).ravel()
    _, losses = read_metrics(folder / "metrics.csv").values("held_out/actor_loss")
    for seed, loss in zip(divided.seeds, losses[:, -1], strict=True):
        missed = cocoa.load_policy(folder, seed)(held_out.observations[rows]) - held_out.actions[rows]
        np.testing.assert_allclose(loss, ((missed / 3) ** 2).mean(), rtol=1e-4)  # actions go from -3 to 3


def test_data_without_an_environment_train_with_held_out_losses(divided, recording):
    data = load(recording)
    wide = dataclasses.replace(data, actions=2 * data.actions)
    assert wide.env is None
    changes = {"env": None, "cocoa": None, "data": DataConfig(), "eval_episodes": 10, "name": "unknown"}
    folder = launch.run(dataclasses.replace(divided, dataset="mine", **changes), wide)
    log = (folder / "log.txt").read_text()
    assert log.count("Not evaluated: no environment is known; held-out losses instead.") == 1
    assert "Actions are scaled by the largest in the data, up to 2," in log
    steps, _ = read_metrics(folder / "metrics.csv").values("held_out/critic_loss")
    assert steps.tolist() == [20, 40, 60]
    summary = read_summary(folder)
    assert (summary["status"], summary["return"], summary["env"]) == ("finished", None, None)
    assert "evaluation" not in summary["seconds"]
    assert (folder / "held_out.png").exists()
    actions = cocoa.load_policy(folder)(data.observations)
    assert 1 < np.abs(actions).max() <= 2
    (folder / "held_out.png").unlink()
    cocoa.resume(folder, wide)
    assert (folder / "held_out.png").exists()


def test_an_own_split_is_used(divided, recording):
    data = load(recording, ENV)
    training, held_out = split(data, DataConfig(validation=0.3))
    own = dataclasses.replace(training, validation=held_out)
    changes = {"cocoa": None, "data": DataConfig(), "algo": cocoa.BC(hidden=(16,)), "dataset": "mine"}
    changed = dataclasses.replace(divided, **changes, updates=20)
    first = launch.run(dataclasses.replace(changed, name="own"), own)
    share = dataclasses.replace(changed, name="share", data=DataConfig(validation=0.3))
    assert_same_run(first, launch.run(share, data))
