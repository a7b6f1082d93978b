"""Final evaluations: which episodes are played, what is written, and when nothing is."""

import shutil

import filelock
import numpy as np
import pytest
from support.robots import Robot, dataset, failing_after, registered

import cocoa
from cocoa.environments.spaces import make_environment
from cocoa.errors import ConfigError, RunError
from cocoa.runs.episodes import read_episodes
from cocoa.runs.reevaluation import FILE
from cocoa.runs.summary import read_summary
from cocoa.training.evaluation import Evaluator

FIELDS = {"updates": 20, "batch_size": 16, "log_every": 10, "eval_every": 10, "eval_episodes": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    places = {"runs_dir": str(folder), "cache_dir": str(folder / "cache")}
    with registered():
        return cocoa.fit(cocoa.BC(hidden=(8,)), dataset(), seeds=(3, 7), **places, **FIELDS).folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def played(folder, seed, episode):
    """The return of an episode, from the policy alone."""
    env, policy = make_environment("Robot-v0"), cocoa.load_policy(folder, seed)
    number = np.random.SeedSequence([seed, 2**64, episode]).generate_state(1)[0]
    state, total, over = env.reset(seed=int(number))[0], 0.0, False
    while not over:
        state, reward, *ends, _ = env.step(policy(state))
        total, over = total + reward, any(ends)
    return total


def test_the_last_policies_are_played_from_states_that_the_training_did_not_use(folder):
    with registered() as kind:
        final = cocoa.evaluate(folder, episodes=30)
        expected = [[played(folder, seed, episode) for episode in (0, 13, 29)] for seed in (3, 7)]
    assert kind.opened == 6  # those of `played`
    returns = final.episodes.returns
    assert returns.shape == (2, 30)
    np.testing.assert_allclose(returns[:, [0, 13, 29]], expected, rtol=1e-4)
    assert (final.episodes.lengths == 10).all()
    trained = [values[:, 0] for values in read_episodes(folder / "episodes.csv")[20].values()]
    assert np.intersect1d(returns, trained).size == 0
    stored = read_episodes(folder / FILE)
    assert list(stored) == [20]
    for seed, values in zip((3, 7), returns, strict=True):
        np.testing.assert_array_equal(stored[20][seed][:, 0], values)
    block = read_summary(folder)["final_evaluation"]
    assert (block["step"], block["episodes"], block["seeds"]) == (20, 30, [3, 7])
    np.testing.assert_allclose(block["return"]["per_seed"], returns.mean(axis=1))
    assert "score" not in block


def test_fewer_episodes_are_the_first_of_more_and_seeds_may_be_chosen(folder):
    with registered():
        many = cocoa.evaluate(folder, episodes=30).episodes.returns
        few = cocoa.evaluate(folder, episodes=4).episodes.returns
        one = cocoa.evaluate(folder, episodes=30, seeds=[7])
    np.testing.assert_array_equal(few, many[:, :4])
    np.testing.assert_array_equal(one.episodes.returns, many[1:])
    assert (*read_episodes(folder / FILE)[20],) == one.seeds == (7,)


def test_episodes_that_are_there_are_not_played_again(folder, monkeypatch):
    with registered():
        first = cocoa.evaluate(folder, episodes=3)
        written = (folder / FILE).read_bytes()
        monkeypatch.setattr(Evaluator, "evaluate", lambda *args: pytest.fail("played again"))
        again = cocoa.evaluate(folder, episodes=3)
    assert again.folder == first.folder
    for one, other in zip(first.episodes, again.episodes, strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.undo()
    lines = written.decode().splitlines()
    (folder / FILE).write_text("\n".join(lines[:4] + lines[5:]) + "\n")  # damaged
    with registered():
        cocoa.evaluate(folder, episodes=3)
    assert (folder / FILE).read_bytes() == written


def test_a_longer_training_drops_the_block_of_the_older_policy(folder):
    with registered():
        cocoa.evaluate(folder, episodes=3)
        cocoa.resume(folder, dataset(), updates=30)
        assert "final_evaluation" not in read_summary(folder)
        assert cocoa.evaluate(folder, episodes=3).step == 30


def test_nothing_is_written_where_an_environment_fails(folder):
    before = (folder / "summary.json").read_bytes()
    with (
        registered(step=failing_after(40, RuntimeError("connection lost"))) as kind,
        pytest.raises(RunError, match=r"'Robot-v0' failed in an evaluation \(seed 3"),
    ):
        cocoa.evaluate(folder, episodes=3)
    assert kind.opened == 0
    assert not (folder / FILE).exists()
    assert (folder / "summary.json").read_bytes() == before


def test_numbers_that_are_not_finite_are_told(folder):
    def step(self, action):
        state, _, *rest = Robot.step(self, action)
        return state, np.nan, *rest

    with registered(step=step):
        cocoa.evaluate(folder, episodes=3)
    assert "rewards of the environment were not finite in 6 episodes" in (folder / "log.txt").read_text()
    assert read_summary(folder)["final_evaluation"]["return"]["per_seed"] == [None, None]


def test_mistakes_are_told(folder):
    with registered():
        with pytest.raises(RunError, match=r"has the seeds \[3, 7\], not 4"):
            cocoa.evaluate(folder, seeds=[3, 4])
        with pytest.raises(ConfigError, match="episodes=0 must be at least 1"):
            cocoa.evaluate(folder, episodes=0)
        with filelock.FileLock(folder / ".lock"), pytest.raises(RunError, match="is in use"):
            cocoa.evaluate(folder, episodes=1)
        config = (folder / "config.yaml").read_text()
        (folder / "config.yaml").write_text(config.replace("env: Robot-v0", "env: null"))
        with pytest.raises(RunError, match="names no environment"):
            cocoa.evaluate(folder, episodes=1)
