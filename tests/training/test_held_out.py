"""Held-out losses are those of the current parameters, for every algorithm, and change nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.ingredients import OBSERVATION_DIM, make_batch, make_networks, make_world, with_next_actions

from cocoa.algos import REGISTRY, Algorithm
from cocoa.algos.bc import BC
from cocoa.algos.iql import IQL
from cocoa.algos.mobile import ImaginedBatch
from cocoa.algos.networks import Adam, Model
from cocoa.algos.rollouts import ModelBased
from cocoa.algos.sac import SAC
from cocoa.training.held_out import HeldOut
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.seeds import PerSeed, of_seed, place
from cocoa.training.streams import HELD_OUT

BATCHES, ROWS = 3, 16
IMAGINING = {"rollout_starts": 8, "rollout_length": 2, "rollout_every": 3, "rollout_rounds": 1}


@dataclasses.dataclass(frozen=True)
class OwnState(Algorithm):
    """Fits the mean reward with parameters of its own, without a `Model`."""

    def init(self, key, networks, batch, updates):
        return jnp.float32(0)

    def update(self, state, batch, key):
        error = batch.reward.mean() - state
        return state + 0.5 * error, {"error": error}

    def act(self, state, observation, key=None):
        raise NotImplementedError


def small(cls):
    return cls(hidden=(8,), **(IMAGINING if issubclass(cls, ModelBased) else {}))


def make_training(algorithm, with_cocoa=False, seeds=(3, 7)):
    data = transitions(algorithm, with_cocoa, 50, seed=1)
    job = TrainingJob(algorithm, make_networks(with_cocoa), data, seeds, 100, 16, make_world(with_cocoa))
    return Training(job)


def transitions(algorithm, with_cocoa, size, seed):
    batch = make_batch(with_cocoa, size, seed)
    return with_next_actions(batch) if algorithm.next_actions else batch


def held_out_data(algorithm, with_cocoa=False):
    flat = transitions(algorithm, with_cocoa, BATCHES * ROWS, seed=2)
    return jax.tree.map(lambda x: x.reshape(BATCHES, ROWS, *x.shape[1:]), flat)


def row(tree, index):
    return jax.tree.map(lambda x: x[index], tree)


def without_steps(state):
    """The state with optimizers that compute a step of size zero."""

    def still(part):
        return dataclasses.replace(part, optimizer=Adam(0.0)) if isinstance(part, Model) else part

    return jax.tree.map(still, state, is_leaf=lambda part: isinstance(part, Model))


def models(state):
    """The parameters of the models in a state."""
    parts = jax.tree.leaves(state, is_leaf=lambda part: isinstance(part, Model))
    return [part.params for part in parts if isinstance(part, Model)]


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_algorithm_has_the_metrics_of_its_training(name, with_cocoa):
    algorithm = small(REGISTRY[name])
    training, data = make_training(algorithm, with_cocoa), held_out_data(algorithm, with_cocoa)
    learner, key = training.job.template().learner, jax.random.key(0)
    held_out = HeldOut(training, data)
    shapes = held_out._compute.eval_shape(learner, *held_out._arguments).values
    assert {value.shape for value in shapes.values()} == {(2,)}

    def update(learner, batch):
        source = training.source
        batch = source.draw(source.init(batch), batch, training.world, key, ROWS)
        return algorithm.update(row(learner.values, 0), batch, key)

    _, logged = jax.eval_shape(update, learner, row(data, 0))
    assert shapes.keys() == logged.keys()


@pytest.mark.parametrize("name", ["bc", "td3_bc", "mobile"])
def test_losses_are_those_of_an_update_with_steps_of_size_zero(name):
    """TD3+BC's policy has none in every other update; MOBILE imagines nothing of held-out transitions."""
    algorithm = small(REGISTRY[name])
    training, data = make_training(algorithm), held_out_data(algorithm)
    state, _ = training.chunk(training.init(), 0, 3)
    before = jax.tree.map(np.asarray, state.learner)
    metrics = HeldOut(training, data).metrics(state.learner)
    jax.tree.map(np.testing.assert_array_equal, state.learner, before)
    update = jax.jit(algorithm.update)
    for seed in range(2):
        learner, key = without_steps(of_seed(state.learner, seed)), of_seed(training.keys, seed)
        logged = []
        for index, batch_key in enumerate(jax.random.split(jax.random.fold_in(key, HELD_OUT), BATCHES)):
            batch = row(data, index)
            if name == "td3_bc":
                learner = learner.replace(step=jnp.int32(1))
            if name == "mobile":
                nothing = jnp.zeros((10, 2, 0, OBSERVATION_DIM))
                batch = ImaginedBatch(**vars(batch), real=jnp.ones(ROWS, bool), imagined=nothing)
            moved, numbers = update(learner, batch, jax.random.split(batch_key)[1])
            jax.tree.map(np.testing.assert_array_equal, models(moved), models(learner))
            logged.append(numbers)
        for metric, values in metrics.items():
            expected = np.mean([numbers[metric] for numbers in logged])
            np.testing.assert_allclose(values[seed], expected, rtol=2e-5, atol=1e-6, err_msg=metric)


def test_iql_sees_no_value_that_was_fitted_to_the_held_out_batch():
    """Its critics' target is V(s'), which an update moves first; computed here from the networks' outputs."""
    algorithm = IQL(learning_rate=0.1, actor_dropout=0.5, hidden=(8,))
    training, data = make_training(algorithm), held_out_data(algorithm)
    state, _ = training.chunk(training.init(), 0, 5)
    metrics = HeldOut(training, data).metrics(state.learner)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)
    for seed in range(2):
        learner = of_seed(state.learner, seed)
        q = np.asarray(learner.critics(flat.observation, flat.action), np.float64)
        low = np.asarray(learner.critics(flat.observation, flat.action, params=learner.target_critics)).min(0)
        value, following = (np.asarray(learner.value(x)) for x in (flat.observation, flat.next_observation))
        target = flat.reward + algorithm.discount * (1 - flat.terminal) * following
        weight = np.minimum(np.exp(algorithm.temperature * (low - value)), algorithm.advantage_clip)
        log_prob = learner.actor(flat.observation).log_prob(flat.action)  # no unit is dropped
        expected = {
            "critic_loss": ((target - q) ** 2).mean(axis=-1).sum(),
            "value_loss": (np.abs(algorithm.expectile - (low < value)) * (low - value) ** 2).mean(),
            "actor_loss": -(weight * log_prob).mean(),
            "q": q.mean(),
        }
        for name, wanted in expected.items():
            np.testing.assert_allclose(metrics[name][seed], wanted, rtol=1e-4, err_msg=name)


def test_the_numbers_of_a_seed_do_not_depend_on_the_others_nor_on_the_call():
    algorithm = small(SAC)
    training, data = make_training(algorithm), held_out_data(algorithm)
    state, _ = training.chunk(training.init(), 0, 2)
    held_out = HeldOut(training, data)
    metrics, again = held_out.metrics(state.learner), held_out.metrics(state.learner)
    jax.tree.map(np.testing.assert_array_equal, metrics, again)
    alone = make_training(algorithm, seeds=(7,))
    learner = place(PerSeed(jax.tree.map(lambda x: x[1:], state.learner.values)), alone.mesh)
    for name, value in HeldOut(alone, data).metrics(learner).items():
        np.testing.assert_allclose(value[0], metrics[name][1], rtol=1e-5, err_msg=name)
        assert metrics[name][0] != metrics[name][1]


def test_seeds_may_see_their_own_observations():
    training, shared = make_training(small(BC)), held_out_data(BC())
    learner = training.init().learner
    both = PerSeed.stack([shared.observation, 2 * shared.observation])
    metrics = HeldOut(training, shared.replace(observation=both)).metrics(learner)
    for seed in range(2):
        seen = shared.replace(observation=(1 + seed) * shared.observation)
        expected = HeldOut(training, seen).metrics(learner)["actor_loss"][seed]
        np.testing.assert_allclose(metrics["actor_loss"][seed], expected, rtol=1e-6)


def test_an_algorithm_with_parameters_of_its_own_has_what_its_update_reports():
    training, data = make_training(OwnState()), held_out_data(OwnState())
    learner = PerSeed(jnp.array([1.0, 2.0]))
    metrics = HeldOut(training, data).metrics(learner)
    np.testing.assert_allclose(metrics["error"], data.reward.mean() - learner.values, rtol=1e-4)
