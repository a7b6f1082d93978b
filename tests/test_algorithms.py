"""What every algorithm must do, plain and with decomposed observations, for one seed and for several."""

import dataclasses
import functools
import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ACTION_DIM, OBSERVATION_DIM, make_batch, make_networks, make_observe

from algos import REGISTRY
from cocoa.serialization import load_tree, save_tree
from cocoa.training.loop import Actor, Training
from cocoa.typed import document

ROOT = Path(__file__).parents[1]


@pytest.fixture(params=sorted(REGISTRY))
def algorithm(request):
    """Each algorithm, with larger steps, so that few updates are enough."""
    plain = REGISTRY[request.param]()
    rates = {
        field.name: 10 * field.default
        for field in dataclasses.fields(plain)
        if field.name.endswith("learning_rate")
    }
    return dataclasses.replace(plain, **rates)


def bandit(with_cocoa):
    """One-step episodes whose reward is higher the nearer the first action is to 0.5."""
    data = make_batch(with_cocoa, size=2000)
    reward = -4 * (data.action[:, 0] - 0.5) ** 2
    return data.replace(reward=reward, terminal=jnp.ones_like(reward))


@functools.cache
def make_training(algorithm, with_cocoa, seeds=(3,)):
    """A training whose compiled program is shared by the tests."""
    networks = make_networks(with_cocoa)
    return Training(algorithm, networks, bandit(with_cocoa), seeds, updates=500, batch_size=64)


def assert_equal_trees(a, b, **tolerance):
    def equal(x, y):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        if tolerance:
            np.testing.assert_allclose(x, y, **tolerance)
        else:
            np.testing.assert_array_equal(x, y)

    jax.tree.map(equal, a, b)


def test_hyperparameters_are_documented_defaults(algorithm):
    assert algorithm.name in REGISTRY
    source = Path(inspect.getfile(type(algorithm))).read_text()
    documents = document(type(algorithm))
    for field in dataclasses.fields(algorithm):
        assert isinstance(field.default, bool | int | float | str | tuple)
        assert documents[field.name], f"{field.name} has no docstring"
    assert len(source.splitlines()) <= 220


def test_a_training_cut_in_two_equals_one_in_one_piece(algorithm, with_cocoa, tmp_path):
    training = make_training(algorithm, with_cocoa)
    whole, metrics = training.chunk(training.init(), 0, 20)
    assert all(np.isfinite(value).all() and value.shape == (1,) for value in metrics.values())
    half, _ = training.chunk(training.init(), 0, 7)
    save_tree(tmp_path / "state.safetensors", half)
    restored = load_tree(tmp_path / "state.safetensors", jax.eval_shape(training.init))
    assert_equal_trees(half, restored)
    rest, _ = training.chunk(restored, 7, 13)
    assert_equal_trees(whole, rest)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), training.init(), whole)
    assert any(jax.tree.leaves(moved))


def test_seeds_do_not_depend_on_each_other(algorithm, with_cocoa):
    together = make_training(algorithm, with_cocoa, (3, 7))
    both, metrics = together.chunk(together.init(), 0, 5)
    assert all(value.shape == (2,) for value in metrics.values())
    alone = make_training(algorithm, with_cocoa, (7,))
    second, _ = alone.chunk(alone.init(), 0, 5)
    assert_equal_trees(jax.tree.map(lambda x: x[1:], both), second, rtol=1e-3, atol=1e-5)


def test_observations_per_seed_give_what_shared_ones_give(algorithm):
    data = bandit(True)
    shared = make_training(algorithm, True, (3, 7))
    twice = jax.tree.map(lambda x: jnp.stack([x, x]), (data.observation, data.next_observation))
    stacked = data.replace(observation=twice[0], next_observation=twice[1])
    networks = make_networks(True)
    separate = Training(algorithm, networks, stacked, (3, 7), 500, 64, per_seed=True)
    assert_equal_trees(separate.init(), shared.init())
    expected, _ = shared.chunk(shared.init(), 0, 3)
    actual, _ = separate.chunk(separate.init(), 0, 3)
    assert_equal_trees(actual, expected, rtol=1e-3, atol=1e-5)


def test_what_follows_a_terminal_does_not_matter(algorithm, with_cocoa):
    data = make_batch(with_cocoa, size=64)
    data = data.replace(terminal=jnp.ones_like(data.terminal))
    other = data.replace(next_observation=make_batch(with_cocoa, size=64, seed=9).observation)
    state = algorithm.init(jax.random.key(0), make_networks(with_cocoa), data, 10)
    loss = {
        name: jax.jit(algorithm.update)(state, batch, jax.random.key(1))[1]
        for name, batch in (("data", data), ("other", other))
    }
    name = "td_loss" if "td_loss" in loss["data"] else "critic_loss"
    if name in loss["data"]:
        np.testing.assert_allclose(loss["data"][name], loss["other"][name], rtol=1e-4)


def test_policy_acts_within_bounds_alone_and_in_batches(algorithm, with_cocoa):
    training = make_training(algorithm, with_cocoa, (3, 7))
    state = training.init()
    actor = Actor(algorithm, make_observe(with_cocoa), per_seed=False)
    states = 10 * jax.random.normal(jax.random.key(0), (2, 5, OBSERVATION_DIM))
    actions = actor(state, states)
    assert actions.shape == (2, 5, ACTION_DIM)
    assert (jnp.abs(actions) <= 1).all()
    np.testing.assert_allclose(actor(state, states[:, 0]), actions[:, 0], atol=1e-5)
    one = jax.tree.map(lambda x: x[0], state)
    observation = make_observe(with_cocoa)(states[0])
    drawn = [algorithm.act(one, observation, jax.random.key(i)) for i in range(2)]
    assert all((jnp.abs(action) <= 1).all() for action in drawn)


def test_policy_finds_the_best_action_that_the_data_show(algorithm, with_cocoa):
    training = make_training(algorithm, with_cocoa)
    state, _ = training.chunk(training.init(), 0, 500)
    states = jax.random.normal(jax.random.key(0), (1, 100, OBSERVATION_DIM))
    first = Actor(algorithm, make_observe(with_cocoa), per_seed=False)(state, states)[..., 0]
    best = 0.0 if algorithm.name == "bc" else 0.5
    assert abs(float(first.mean()) - best) < 0.25


def test_algorithms_and_models_know_nothing_of_the_method_that_wraps_them():
    for folder in ("algos", "dynamics"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not re.search(r"anchor|cocoa|decompos", path.read_text(), re.IGNORECASE), path
