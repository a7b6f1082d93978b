"""The inputs of each stage of the preparation, in an environment whose actions are not bounded by 1."""

import dataclasses
from contextlib import nullcontext

import jax
import numpy as np
import pytest
from support.ingredients import Quiet

from cocoa.algos.iql import IQL
from cocoa.anchors import Seek, SeekerConfig
from cocoa.anchors.seeker import SeekerFit
from cocoa.config.schema import Config
from cocoa.data import Dataset, unnormalized_batch
from cocoa.dynamics.config import EnsembleConfig
from cocoa.errors import DataError
from cocoa.preparation import models
from cocoa.preparation.cache import Store
from cocoa.preparation.inputs import build_inputs
from cocoa.preparation.models import ModelSet

pytestmark = pytest.mark.filterwarnings("ignore:arrays. the next observation")  # the states are random
ENV = "InvertedPendulum-v4"  # actions in [-3, 3]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    rng = np.random.default_rng(0)
    dataset = Dataset.from_arrays(
        observations=rng.normal(size=(60, 4)),
        actions=rng.uniform(-3, 3, (60, 1)),
        rewards=rng.normal(size=60),
        terminals=np.arange(60) % 20 == 19,
        next_observations=rng.normal(size=(60, 4)),
        env=ENV,
    )
    cocoa = Seek(
        rollout_length=2, rollout_scale=0.7, rollout_noise=0.2, seeker=SeekerConfig(hidden=(8,), max_epochs=1)
    )
    models = EnsembleConfig(members=1, elites=1, hidden=(8,), weight_decay=(0.0, 0.0), max_epochs=1)
    config = Config(algo=IQL(), cocoa=cocoa, dynamics=models)
    store = Store(str(tmp_path_factory.mktemp("cache")), Quiet())
    return config, dataset, *unnormalized_batch(dataset, config.data), store, lambda stage: nullcontext()


def test_models_learn_from_scaled_actions(setting):
    config, dataset, batch, _, *rest = setting
    states, actions, rewards, next_states = ModelSet(config, dataset, batch, *rest, seed=0).known
    np.testing.assert_allclose(actions, dataset.actions / 3, rtol=1e-6)
    np.testing.assert_array_equal(states, dataset.observations)
    np.testing.assert_array_equal(rewards, dataset.rewards)
    np.testing.assert_array_equal(next_states, dataset.next_observations)


def test_the_seeker_learns_from_walks_back_from_next_states(setting, monkeypatch):
    config, dataset, batch, _, *rest = setting
    walks = []

    def spy(*arguments):
        walks.append((arguments, real(*arguments)))
        return walks[0][1]

    real, fits = models.reverse_rollouts, []
    monkeypatch.setattr(models, "reverse_rollouts", spy)
    maker = ModelSet(config, dataset, batch, *rest, seed=0)
    monkeypatch.setattr(models, "SeekerFit", lambda *arguments: fits.append(SeekerFit(*arguments)) or fits[0])
    config.cocoa.trained_seeker(maker)
    (model, starts, directions, _, *numbers), (states, actions) = walks[0]
    assert model is maker.reverse
    np.testing.assert_array_equal(starts, dataset.next_observations)
    np.testing.assert_allclose(directions, dataset.actions / 3, rtol=1e-6)
    assert numbers == [2, 0.7, 0.2]
    np.testing.assert_array_equal(fits[0].states, states)
    np.testing.assert_array_equal(fits[0].actions, actions)


def test_observations_are_those_of_their_own_states(setting):
    config, dataset, batch, scaling, *rest = setting
    inputs = build_inputs(config, dataset, batch, scaling, *rest)
    observed = jax.jit(lambda states: inputs.observe(states))
    for observations, states in (
        (inputs.data.observation, dataset.observations),
        (inputs.data.next_observation, dataset.next_observations),
    ):
        expected = observed(states)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), observations, expected)
    assert not np.allclose(inputs.data.observation.anchor, inputs.data.next_observation.anchor)


def test_too_few_transitions_for_a_model_are_an_error_that_tells(setting):
    config, dataset, batch, _, *rest = setting
    nothing = dataclasses.replace(dataset, next_observed=np.zeros(60, bool))
    with pytest.raises(DataError, match="forward model of arrays cannot be fitted: a model needs at least 2"):
        ModelSet(config, nothing, batch, *rest, seed=0).forward  # noqa: B018
