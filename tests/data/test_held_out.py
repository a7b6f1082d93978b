"""Which episodes are held out from training, and which of their transitions losses are computed on."""

import dataclasses
import itertools

import numpy as np
import pytest
from support.columns import assert_says, recording

from cocoa.data import Dataset, split, unnormalized_batch
from cocoa.data.held_out import batches
from cocoa.data.preprocessing import DataConfig
from cocoa.errors import DataError

EPISODES, STEPS = 40, 5


def dataset(episodes=EPISODES, **changes):
    """Episodes of five steps; the first number of an observation is the episode."""
    rows, number = episodes * STEPS, np.repeat(np.arange(episodes), STEPS)
    step = np.arange(rows) % STEPS
    columns = {
        "observations": np.stack([number, step], axis=1),
        "actions": np.linspace(-1, 1, rows)[:, None],
        "rewards": np.random.default_rng(0).normal(size=rows),
        "terminals": np.zeros(rows),
        "timeouts": step == STEPS - 1,
        "next_observations": np.stack([number, step + 1], axis=1),
    }
    return Dataset.from_arrays(**(columns | changes))


def episodes_of(part):
    return np.unique(part.observations[:, 0]).astype(int).tolist()


@pytest.mark.parametrize(("share", "count"), [(0.001, 1), (0.05, 2), (0.5, 20), (0.99, 39), (0.999, 39)])
def test_whole_episodes_are_held_out_always_the_same(share, count):
    whole = dataset()
    training, held_out = split(whole, DataConfig(validation=share))
    assert len(episodes_of(held_out)) == count
    assert sorted(episodes_of(training) + episodes_of(held_out)) == list(range(EPISODES))
    assert len(training) + len(held_out) == len(whole)
    assert held_out.episode_returns.tolist() == whole.episode_returns[episodes_of(held_out)].tolist()
    reward = dataset(rewards=np.zeros(len(whole)))
    assert episodes_of(split(reward, DataConfig(validation=share))[1]) == episodes_of(held_out)
    assert training.validation is None


def test_a_larger_share_holds_out_more_of_the_same_in_no_order():
    parts = [
        episodes_of(split(dataset(), DataConfig(validation=share))[1]) for share in (0.05, 0.2, 0.5, 0.9)
    ]
    for smaller, larger in itertools.pairwise(parts):
        assert set(smaller) < set(larger)
    assert parts[0] == [3, 11], "the same on every machine"


def test_a_share_of_none_takes_the_datasets_own_split_or_holds_out_where_nothing_can_be_evaluated():
    whole, own = dataset(), dataset(episodes=3)
    divided = dataclasses.replace(whole, validation=own)
    automatic = DataConfig()
    training, held_out = split(divided, automatic)
    assert training is divided
    assert held_out is own
    assert len(episodes_of(split(whole, automatic)[1])) == round(0.05 * EPISODES)
    assert len(episodes_of(split(divided, DataConfig(validation=0.1))[1])) == 4
    for nothing in (
        split(divided, DataConfig(validation=0)),
        split(dataclasses.replace(whole, env="Pendulum-v1"), automatic),
        split(dataset(episodes=1), automatic),
    ):
        assert nothing[1] is None


def test_of_both_parts_the_best_episodes_stay():
    whole = dataset()
    config = DataConfig(validation=0.5, top_episodes=0.25)
    all_of_both = split(whole, DataConfig(validation=0.5))
    for part, best in zip(all_of_both, split(whole, config), strict=True):
        numbers = np.array(episodes_of(part))
        order = np.argsort(-whole.episode_returns[numbers])
        assert episodes_of(best) == sorted(numbers[order[:5]])


def test_a_single_episode_cannot_be_divided():
    with pytest.raises(DataError) as error:
        split(dataset(episodes=1), DataConfig(validation=0.05))
    assert_says(error, "single episode", "data.validation=0.05", "data.validation=0,", "timeouts")


@pytest.mark.filterwarnings("ignore:.*rows are left out")
def test_an_episode_without_a_whole_transition_is_not_the_one_that_is_held_out():
    columns = recording() | {"terminals": np.zeros(6), "timeouts": [1, 1, 0, 0, 1, 1]}
    whole = Dataset.from_arrays(**columns)  # only the third of four episodes has transitions
    assert len(whole.complete) == 4
    with pytest.raises(DataError, match="single episode"):
        split(whole, DataConfig(validation=0.5))
    columns["timeouts"] = [1, 0, 1, 1, 0, 1]
    training, held_out = split(Dataset.from_arrays(**columns), DataConfig(validation=0.5))
    assert (len(training), len(held_out)) == (1, 1)
    assert len(training.complete) == 3


def test_what_is_held_out_is_scaled_as_what_is_trained_on():
    training, held_out = split(dataset(), DataConfig(validation=0.25))
    config = DataConfig(reward_normalization="return_range", observation_normalization=True)
    _, scaling = unnormalized_batch(training, config)
    batch, same = unnormalized_batch(held_out, config, training)
    np.testing.assert_array_equal(same.observation_mean, scaling.observation_mean)
    np.testing.assert_array_equal(same.observation_std, scaling.observation_std)
    returns = training.episode_returns
    expected = held_out.rewards * 1000 / (returns.max() - returns.min())
    np.testing.assert_allclose(batch.reward, expected, rtol=1e-5)
    wide = dataclasses.replace(held_out, actions=held_out.actions * 5)
    batch, _ = unnormalized_batch(wide, config, training)
    np.testing.assert_array_equal(batch.action, np.clip(wide.actions, -1, 1))


@pytest.mark.parametrize(
    ("count", "size", "shape"),
    [(1, 256, (1, 1)), (256, 256, (1, 256)), (257, 256, (2, 128)), (999, 100, (10, 99)), (10**5, 8, (40, 8))],
)
def test_batches_hold_all_of_few_and_some_of_many(count, size, shape):
    rows = batches(count, size)
    assert rows.shape == shape
    assert len(np.unique(rows)) == rows.size
    assert rows.min() >= 0
    assert rows.max() < count
    np.testing.assert_array_equal(rows, batches(count, size))
