"""Runs that go on in their environment: what they leave, how they are cut, and what is refused."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.pendulum import assert_same_run, interrupt

import cocoa
from cocoa.algos.base import Batch
from cocoa.algos.mopo import MOPO
from cocoa.algos.rebrac import ReBRAC
from cocoa.anchors import Seek
from cocoa.config.compose import compose
from cocoa.config.online import OnlineConfig
from cocoa.errors import ConfigError
from cocoa.runs import launch
from cocoa.runs.folder import read_config
from cocoa.runs.metrics import read_metrics
from cocoa.runs.online import check_memory, check_possible
from cocoa.runs.summary import read_summary
from cocoa.training.online import Online
from cocoa.training.step_log import StepLog
from cocoa.training.streams import INITIAL

UPDATES, STEPS = 20, 40


@pytest.fixture(scope="module")
def online(config):
    """Two blocks of steps in each chunk, and two chunks before each evaluation."""
    stage = OnlineConfig(steps=STEPS, every=5)
    return dataclasses.replace(config, algo=ReBRAC(hidden=(16,)), updates=UPDATES, online=stage)


@pytest.fixture(scope="module")
def whole(online):
    return launch.run(dataclasses.replace(online, name="whole-online"))


def test_a_run_goes_on_in_its_environment(whole, online):
    steps, returns = read_metrics(whole / "metrics.csv").values("evaluation/return")
    assert steps.tolist() == [20, 40, 60]
    losses, _ = read_metrics(whole / "metrics.csv").values("training/critic_loss")
    assert losses.tolist() == [10, 20, 30, 40, 50, 60]
    log = list(StepLog(whole / "checkpoints" / "online").parts())
    assert [part.reward.shape for part in log] == [(2, 20, 1)] * 2
    summary = read_summary(whole)
    assert (summary["updates"], summary["length"], summary["step"]) == (20, 60, 60)
    gained = summary["online"]
    assert gained["unit"] == "return"
    assert "regret" not in gained
    assert gained["before"]["per_seed"] == returns[:, 0].tolist()
    assert gained["after"]["per_seed"] == summary["return"]["per_seed"] == returns[:, 2].tolist()
    assert gained["mean"]["per_seed"] == returns[:, 1:].mean(axis=1).tolist()
    assert "Online, the return went from" in (whole / "log.txt").read_text()


def test_the_regret_is_the_mean_distance_from_the_full_score(whole):
    from cocoa.runs.gains import gains, sentence

    series = {("evaluation/score", 3): [(10, 5.0), (20, 10.0), (30, 40.0), (40, 80.0)]}
    metrics = cocoa.runs.metrics.Metrics(series)
    entry = gains(SimpleNamespace(updates=20), metrics, lambda values: {"mean": values.mean()})
    assert entry["online"]["regret"]["mean"] == pytest.approx((0.6 + 0.2) / 2)
    assert sentence(entry) == (
        "Online, the score went from 10.0 to 80.0; mean of this stage 60.0, regret 0.40."
    )


def test_an_interrupted_run_is_the_uninterrupted_one(online, whole, monkeypatch):
    """Ctrl-C in the offline stage, in its last chunk, and in the first chunk of steps, of two blocks."""
    interrupt(monkeypatch, 1, 2, 4)
    folder = whole.parent / "cut-online"
    with pytest.raises(KeyboardInterrupt):
        launch.run(dataclasses.replace(online, name=folder.name))
    for step in (10, 20):
        assert read_summary(folder)["step"] == step
        with pytest.raises(KeyboardInterrupt):
            launch.resume(folder)
    assert read_summary(folder)["step"] == 30
    launch.resume(folder)
    assert_same_run(folder, whole)


class Killed(BaseException):
    """Stands for SIGKILL."""


def kill(monkeypatch, blocks):
    """End the process in the block of this number."""
    made, block = [], Online.block

    def counted(self, state, step):
        made.append(step)
        if len(made) == blocks:
            raise Killed
        return block(self, state, step)

    monkeypatch.setattr(Online, "block", counted)
    monkeypatch.setattr(launch.Record, "close", lambda record, status: record.close_files())


def test_a_killed_model_based_run_makes_its_rollouts_again(config, monkeypatch):
    """Killed between two renewals, of which the first is of fewer transitions, and two checkpoints."""
    algorithm = MOPO(hidden=(16,), rollout_starts=20, rollout_length=2, rollout_every=15, rollout_rounds=2)
    stage = OnlineConfig(steps=STEPS, every=5, balanced=True, envs=5, warmup=10, updates_per_step=2)
    shared = dataclasses.replace(
        config, algo=algorithm, cocoa=None, updates=UPDATES, online=stage, seeds=(3,), eval_episodes=0
    )
    whole = launch.run(dataclasses.replace(shared, name="whole-mopo"))
    with monkeypatch.context() as patch:
        kill(patch, 7)
        with pytest.raises(Killed):
            launch.run(dataclasses.replace(shared, name="cut-mopo"))
    assert read_summary(whole.parent / "cut-mopo")["step"] < 60
    launch.resume(whole.parent / "cut-mopo")
    assert_same_run(whole.parent / "cut-mopo", whole)


def test_an_offline_run_is_taken_online_later(online, whole):
    later = launch.run(dataclasses.replace(online, name="later", online=OnlineConfig()))
    with pytest.raises(ConfigError, match=r"With online.steps=0 .* set online.steps= as well"):
        launch.resume(later, online={"every": 5})
    with pytest.raises(ConfigError, match=r"log_every=10 .* multiple of online.every=50"):
        launch.resume(later, online={"steps": 100})
    launch.resume(later, online={"steps": STEPS, "every": 5})
    assert read_config(later).online == online.online
    series = [read_metrics(folder / "metrics.csv").series for folder in (whole, later)]
    assert series[0].keys() == series[1].keys()
    for name, values in series[0].items():
        np.testing.assert_allclose(series[1][name], values, rtol=1e-4, err_msg=str(name))
    with pytest.raises(ConfigError, match=r"has made 40 steps already"):
        launch.resume(later, online={"steps": 20})
    with pytest.raises(ConfigError, match=r"only online.steps may change"):
        launch.resume(later, online={"steps": 80, "balanced": True})
    with pytest.raises(ConfigError, match=r"only online.steps may change"):
        launch.resume(later, updates=30)


@dataclasses.dataclass(frozen=True)
class OneDiverges(cocoa.BC):
    """BC of which the seed 3 begins without numbers."""

    def init(self, key, networks, batch, updates):
        state = super().init(key, networks, batch, updates)
        broken = (key == jax.random.fold_in(jax.random.key(3), INITIAL)).all()
        return state.replace(params=jax.tree.map(lambda x: jnp.where(broken, jnp.nan, x), state.params))


def test_a_policy_is_trained_online_alone_and_goes_on_beside_one_that_diverges(config):
    """Without updates before, and without evaluations; a policy without noise is warned of."""
    stage = OnlineConfig(steps=20, every=10)
    bare = dataclasses.replace(config, algo=OneDiverges(hidden=(8,)), cocoa=None, eval_episodes=0)
    folder = launch.run(dataclasses.replace(bare, name="alone", updates=0, online=stage))
    assert read_summary(folder)["step"] == 20
    log = (folder / "log.txt").read_text()
    assert "has no noise" in log
    assert "not finite after environment step 20 in the seeds [3]" in log
    (steps,) = StepLog(folder / "checkpoints" / "online").parts()
    assert (steps.action[0] == 0).all()
    assert (steps.action[1] != 0).any()
    assert np.isfinite(cocoa.load_policy(folder, 7)(np.ones(4))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": None}, "name one with env="),
        ({"stream": True}, "set stream=false"),
        ({"instances": 1}, "only one instance"),
        ({"processes": 2}, "several processes"),
    ],
)
def test_what_is_not_possible_is_refused(changes, message, online, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: changes.get("processes", 1))
    config = dataclasses.replace(online, env=changes.get("env", online.env))
    evaluator = SimpleNamespace(instances=[None] * changes.get("instances", 4))
    check_possible(online, False, SimpleNamespace(instances=[None] * 4)) if "processes" not in changes else 0
    with pytest.raises(ConfigError, match=message):
        check_possible(config, changes.get("stream", False), evaluator)


@pytest.mark.parametrize(
    ("seeds", "cocoa", "steps", "fits"),
    [
        # Of a row 2 * 16 of 44 bytes are of states, and COCOA decomposes each into two.
        ((1, 2), None, 400, True),
        ((1, 2), None, 500, False),
        ((1,), None, 500, True),
        ((1,), Seek(), 400, True),
        ((1,), Seek(), 500, False),
        ((1, 2), Seek(), 400, False),
    ],
)
@pytest.mark.parametrize(("host", "devices"), [(False, 1), (True, 1), (True, 2)])
def test_memory_for_what_is_collected_is_foreseen(
    seeds, cocoa, steps, fits, host, devices, online, monkeypatch
):
    states, numbers = np.zeros((100, 4), np.float32), np.zeros(100, np.float32)
    batch = Batch(states, numbers[:, None], numbers, numbers, states)
    data = 100 * (44 + 32 * (cocoa is not None))
    free = 500 * 44 * 2 - 1 if cocoa is None else 500 * 76 - 1
    memory = None if host else {"bytes_limit": 2 * (data + free)}
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: memory)])
    monkeypatch.setattr("cocoa.runs.online.available_memory", lambda: data + free)
    monkeypatch.setattr("cocoa.runs.online.seeds_mesh", lambda seeds, _: SimpleNamespace(size=devices))
    config = dataclasses.replace(online, seeds=seeds, cocoa=cocoa, online=OnlineConfig(steps=steps, every=10))
    if fits:
        check_memory(config, batch)
    else:
        with pytest.raises(
            ConfigError, match=rf"online.steps={steps} needs 0.0 GB for what {len(seeds)} seeds"
        ):
            check_memory(config, batch)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("online.steps=30", "online.steps=30 must be a multiple of online.every=50"),
        ("online.steps=100 online.every=20 log_every=30", "log_every=30 .* multiple of online.every=20"),
        ("online.steps=100 online.warmup=100", "online.warmup=100 must be less than online.steps=100"),
        ("online.every=10 online.envs=3", "online.every=10 must be a multiple of online.envs=3"),
        ("updates=0", "updates must be at least 1"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        compose(words.split())
