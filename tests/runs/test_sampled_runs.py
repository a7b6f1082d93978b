"""Runs of an algorithm whose policy draws its actions: evaluated, resumed, loaded and estimated."""

import pickle
import shutil

import jax
import numpy as np
import pytest
from support.robots import dataset, registered

import cocoa
from cocoa.runs.episodes import read_episodes
from cocoa.runs.folder import read_config
from cocoa.runs.policy import load_learners
from cocoa.selection.select import FILE, select_run
from cocoa.selection.settings import Selection
from cocoa.training.seeds import of_seed

ALGORITHM = cocoa.FQL(hidden=(8,), flow_steps=2)
FIELDS = {"seeds": (3, 7), "batch_size": 16, "log_every": 10, "eval_every": 10, "eval_episodes": 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run without a break, and one that was resumed between two evaluations."""
    folder = tmp_path_factory.mktemp("runs")
    places = {"runs_dir": str(folder), "cache_dir": str(folder / "cache")}
    with registered():
        whole = cocoa.fit(ALGORITHM, dataset(), updates=20, name="whole", **places, **FIELDS).folder
        parts = cocoa.fit(ALGORITHM, dataset(), updates=10, name="parts", **places, **FIELDS).folder
        cocoa.resume(parts, dataset(), updates=20)
    return whole, parts


@pytest.fixture
def folder(folders, tmp_path):
    return shutil.copytree(folders[0], tmp_path / "run")


def test_a_resumed_run_plays_the_episodes_of_the_uninterrupted_one(folders):
    whole, parts = (read_episodes(folder / "episodes.csv") for folder in folders)
    assert list(whole) == list(parts) == [10, 20]
    for step in whole:
        np.testing.assert_array_equal([*whole[step].values()], [*parts[step].values()])
    returns = np.array([*whole[20].values()])[..., 0]
    assert len(np.unique(returns)) == returns.size == 6


def test_final_episodes_do_not_depend_on_their_number_or_on_other_seeds(folder):
    with registered():
        many = cocoa.evaluate(folder, episodes=30).episodes.returns
        one = cocoa.evaluate(folder, episodes=4, seeds=[7]).episodes.returns
        again = cocoa.evaluate(folder, episodes=30).episodes.returns
    np.testing.assert_array_equal(one, many[1:, :4])
    np.testing.assert_array_equal(again, many)


def test_a_policy_draws_in_each_call_and_repeats_itself_when_it_is_loaded_again(folder):
    policy, again = (cocoa.load_policy(folder, 7) for _ in range(2))
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    drawn = [policy(observations), policy.sample(observations), policy.predict(observations)[0]]
    config = read_config(folder)
    learners = load_learners(folder, config)
    state, interface = of_seed((learners.learner, learners.interface), 1)
    for number, actions in enumerate(drawn):
        key = jax.random.fold_in(jax.random.key(7), number)
        expected = config.algo.act(state, interface.observe(observations), key)
        np.testing.assert_allclose(actions, interface.scaling.to_environment(expected), atol=1e-6)
        np.testing.assert_array_equal(actions, again(observations))
    assert len(np.unique(drawn)) > 20  # some are at the bounds
    assert again(observations[0]).shape == (2,)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(policy))(observations), drawn[0])


def test_estimates_repeat_themselves(folder):
    settings = Selection(updates=20, batch_size=16, hidden=(8,))
    with registered():
        first = select_run(folder, settings, dataset())
        (folder / FILE).unlink()
        again = select_run(folder, settings, dataset())
    for name in ("fqe", "initial_value", "td_error"):
        assert first[name] == again[name]
        assert np.isfinite(first[name]["per_seed"]).all()
