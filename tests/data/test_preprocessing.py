"""From a dataset to a training batch; scales and reference scores."""

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

from cocoa.data import Dataset, normalized_batch, unnormalized_batch
from cocoa.data.preprocessing import DataConfig
from cocoa.errors import ConfigError, DataError

ROWS = 6


class Lopsided(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(np.array([-1, 0, -2], "f4"), np.array([3, 0.5, np.inf], "f4"))


@pytest.fixture(scope="module", autouse=True)
def lopsided_env():
    gymnasium.register("Lopsided-v0", Lopsided)
    yield
    del gymnasium.registry["Lopsided-v0"]


def dataset(rewards=(1, 2, 3, 10, 20, 30), env=None, actions=None):
    """Three episodes: a terminal in row 1, a timeout in row 4, and an unflagged tail."""
    rng = np.random.default_rng(0)
    observations = rng.normal(3, 2, (ROWS + 1, 2)).astype(np.float32)
    return Dataset.from_arrays(
        observations=observations[:-1],
        actions=np.linspace(-1, 1, ROWS)[:, None] if actions is None else actions,
        rewards=np.array(rewards, np.float32),
        terminals=np.arange(ROWS) == 1,
        timeouts=np.arange(ROWS) == 4,
        next_observations=observations[1:],
        env=env,
    )


def test_by_default_numbers_stay_as_they_are():
    data = dataset()
    batch, scaling = normalized_batch(data, DataConfig())
    for actual, wanted in [
        (batch.observation, data.observations),
        (batch.action, data.actions),
        (batch.reward, data.rewards),
        (batch.next_observation, data.next_observations),
        (scaling.normalize(batch.observation), data.observations),
        (scaling.to_environment(batch.action), data.actions),
    ]:
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, wanted)
    assert batch.terminal.dtype == np.float32
    assert batch.terminal.tolist() == [0, 1, 0, 0, 0, 0]


def test_observations_are_normalized_for_those_who_train_on_the_batch():
    data = dataset()
    config = DataConfig(observation_normalization=True)
    batch, scaling = unnormalized_batch(data, config)
    trained, _ = normalized_batch(data, config)
    np.testing.assert_array_equal(trained.observation, scaling.normalize(data.observations))
    np.testing.assert_array_equal(trained.next_observation, scaling.normalize(data.next_observations))
    assert np.shares_memory(batch.observation, data.observations)
    np.testing.assert_array_equal(batch.observation, data.observations)
    normalized = scaling.normalize(batch.observation)
    np.testing.assert_allclose(normalized.mean(axis=0), 0, atol=1e-6)
    std = data.observations.std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(normalized.std(axis=0), std / (std + 1e-3), rtol=1e-5)
    on_device = scaling.normalize(jnp.asarray(batch.observation))
    np.testing.assert_allclose(on_device, normalized, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*has neither timeouts")
def test_a_constant_observation_stays_finite():
    columns = {"actions": np.zeros((3, 1)), "rewards": np.zeros(3), "terminals": [0, 0, 1]}
    data = Dataset.from_arrays(observations=np.full((3, 1), 5.0), **columns)
    batch, _ = normalized_batch(data, DataConfig(observation_normalization=True))
    np.testing.assert_array_equal(batch.observation, 0)


def test_actions_go_from_the_environments_bounds_to_one_and_back():
    rng = np.random.default_rng(1)
    actions = rng.uniform([-1, 0, -1], [3, 0.5, 1], (ROWS, 3)).astype(np.float32)
    actions[0], actions[1] = [-1, 0, -1], [3, 0.5, 1]
    data = dataset(env="Lopsided-v0", actions=actions)
    batch, scaling = normalized_batch(data, DataConfig())
    assert batch.action[0].tolist() == [-1, -1, -1]
    assert batch.action[1].tolist() == [1, 1, 1]
    np.testing.assert_allclose(scaling.to_environment(batch.action), actions, atol=1e-6)
    np.testing.assert_allclose(scaling.to_environment(np.zeros(3)), [1, 0.25, 0])
    np.testing.assert_array_equal(data.actions, actions)


def test_bounds_that_are_assumed_are_not_called_the_environments():
    for column, owner in enumerate(
        ("the bounds of Lopsided-v0", "the bounds of Lopsided-v0", "not two finite")
    ):
        actions = np.full((ROWS, 3), 0.25)
        actions[2, column] = 7
        with pytest.raises(DataError, match=rf"row 2, column {column} .*{owner}"):
            dataset(env="Lopsided-v0", actions=actions)


def test_without_an_environment_actions_are_bounded_by_one_or_the_largest_rounded_up():
    largest = [0.3, 1 + 5e-6, 1.01, 2, 18.41, 0.00104e6, 3.4e38]
    actions = np.full((ROWS, 7), 0.2)
    actions[3] = np.multiply([1, -1, 1, -1, 1, -1, 1], largest)
    data = dataset(actions=actions)
    batch, scaling = normalized_batch(data, DataConfig())
    np.testing.assert_allclose(scaling.action_half_range, [1, 1, 1.1, 2, 19, 1100, 3.4e38], rtol=1e-6)
    assert np.abs(batch.action).max() <= 1
    np.testing.assert_allclose(scaling.to_environment(batch.action), data.actions, rtol=1e-5)


def test_actions_beyond_a_bound_by_rounding_are_clipped():
    actions = np.full((ROWS, 1), 1 + 5e-6)
    batch, _ = normalized_batch(dataset(actions=actions), DataConfig())
    assert batch.action.max() == 1


def test_return_range_spans_a_thousand_over_complete_episodes():
    # Complete episodes return 1 + 2 = 3 and 3 + 10 + 20 = 33; the tail's 30 does not count.
    batch, _ = normalized_batch(dataset(), DataConfig(reward_normalization="return_range"))
    np.testing.assert_allclose(batch.reward, np.array([1, 2, 3, 10, 20, 30]) * 1000 / 30, rtol=1e-6)


def test_return_range_of_equal_returns_is_refused():
    with pytest.raises(DataError, match=r"2 complete episodes return 3.*reward_normalization"):
        normalized_batch(dataset(rewards=(1, 2, 1, 1, 1, 5)), DataConfig(reward_normalization="return_range"))


def test_rewards_are_normalized_then_scaled_then_shifted():
    batch, _ = normalized_batch(dataset(), DataConfig(reward_scale=10.0, reward_shift=-5.0))
    assert batch.reward.tolist() == [5, 15, 25, 95, 195, 295]
    config = DataConfig(reward_normalization="return_range", reward_scale=0.3, reward_shift=-1.0)
    batch, _ = normalized_batch(dataset(), config)
    np.testing.assert_allclose(batch.reward, np.array([1, 2, 3, 10, 20, 30]) * 10 - 1, rtol=1e-6)


def test_an_unknown_reward_normalization_is_refused():
    with pytest.raises(ConfigError, match="return_range"):
        normalized_batch(dataset(), DataConfig(reward_normalization="range"))
