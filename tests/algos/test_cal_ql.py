"""Cal-QL: the bounded penalty and the returns of the data, against derivations in NumPy float64."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from support import oracle
from support.ingredients import make_batch, make_networks, scatter

from cocoa import data
from cocoa.algos.base import ReturnBatch
from cocoa.algos.combo import COMBO
from cocoa.algos.cql import CQL
from cocoa.data import Dataset, normalized_batch
from cocoa.data.preprocessing import DataConfig

KEY = jax.random.key(5)
ALGORITHM = CQL(calibrated=True, samples=3, penalty_temperature=2.0)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "cocoa"])
def setting(request):
    """A state in general position, and a batch of returns around its values, every third not known."""
    batch = make_batch(request.param, 48)
    state = ALGORITHM.init(jax.random.key(0), make_networks(request.param), batch, 100)
    state = scatter(state, ("actor", "critics"), ("target_critics",))
    q = state.critics(batch.observation, state.actor(batch.observation).mode()).mean(axis=0)
    noise = jnp.asarray(np.random.default_rng(2).normal(size=48), jnp.float32)
    returns = jnp.where(jnp.arange(48) % 3 == 0, -jnp.inf, q + noise)
    return state, ReturnBatch(**vars(batch), return_to_go=returns)


def test_the_penalty_sees_no_value_of_the_policy_below_the_return(setting):
    state, batch = setting
    s, b = oracle.to_numpy(state), oracle.to_numpy(batch)
    actions, densities = oracle.proposals(s.actor.params, (b.observation, b.next_observation), KEY, 3)

    def derived(params):
        values = np.stack([oracle.critics(params, b.observation, action) for action in actions])
        below = values < b.return_to_go
        assert 0.1 < below[3:].mean() < 0.6
        assert below[:3].any()
        values[3:] = np.where(below[3:], b.return_to_go, values[3:])
        soft = 2 * scipy.special.logsumexp((values - densities[:, None]) / 2, axis=0)
        return (soft.mean(-1) - oracle.critics(params, b.observation, b.action).mean(-1)).mean()

    @jax.jit
    def gap(params):
        q = state.critics(batch.observation, batch.action, params=params)
        return ALGORITHM.gap(params, state, batch, q, KEY)

    np.testing.assert_allclose(gap(state.critics.params), derived(s.critics.params), rtol=1e-4)
    oracle.assert_slope(gap, state.critics.params, derived)


def test_nothing_bounds_where_no_return_is_known(setting):
    state, batch = setting
    q = state.critics(batch.observation, batch.action)
    unknown = batch.replace(return_to_go=jnp.full(48, -jnp.inf))
    plain = CQL(samples=3, penalty_temperature=2.0)
    found, expected = (
        jax.jit(one.gap)(state.critics.params, state, unknown, q, KEY) for one in (ALGORITHM, plain)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_returns_are_those_of_each_episode():
    """A terminal, a time limit, and the end of the recording."""
    rng = np.random.default_rng(0)
    lengths, ends = (4, 5, 3), ("terminal", "timeout", "nothing")
    rewards, count = rng.normal(size=12), 12
    last = np.cumsum(lengths) - 1
    dataset = Dataset.from_arrays(
        observations=np.arange(12.0)[:, None],
        next_observations=np.arange(12.0)[:, None] + 1,
        actions=rng.uniform(-1, 1, (count, 1)),
        rewards=rewards,
        terminals=np.arange(count) == last[0],
        timeouts=np.arange(count) == last[1],
    )
    batch, _ = normalized_batch(dataset, DataConfig(reward_scale=2.0, reward_shift=-1.0))
    found = data.with_returns(batch, dataset, 0.9)
    assert type(found) is ReturnBatch
    scaled, expected, start = 2 * rewards - 1, [], 0
    for length, end in zip(lengths, ends, strict=True):
        episode = scaled[start : start + length]
        beyond = {"terminal": 0, "timeout": episode.mean() / 0.1, "nothing": -np.inf}[end]
        for step in range(length):
            ahead = sum(0.9**i * reward for i, reward in enumerate(episode[step:]))
            expected.append(ahead + 0.9 ** (length - step) * beyond)
        start += length
    np.testing.assert_allclose(found.return_to_go, expected, rtol=1e-5)
    both = data.batch_for(SimpleNamespace(next_actions=True, returns=True, discount=0.9), batch, dataset)
    np.testing.assert_array_equal(both.return_to_go, found.return_to_go)
    np.testing.assert_array_equal(both.next_action_known, np.isin(np.arange(12), last, invert=True))
    np.testing.assert_array_equal(both.next_action[:3], dataset.actions[1:4].astype(np.float32))


def test_batches_hold_returns_where_the_algorithm_is_calibrated():
    assert ALGORITHM.returns
    assert not CQL().returns


def test_what_has_no_returns_is_refused():
    with pytest.raises(ValueError, match="calibrated=true is not possible"):
        COMBO(calibrated=True)
    with pytest.raises(ValueError, match="discount=1 must be below 1"):
        CQL(calibrated=True, discount=1)
