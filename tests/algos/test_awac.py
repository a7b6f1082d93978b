"""AWAC's losses against derivations in NumPy float64."""

import jax
import numpy as np
import pytest
import scipy.stats
from support import oracle
from support.ingredients import make_batch, make_networks, scatter

from cocoa.algos.awac import AWAC

KEY = jax.random.key(5)


@pytest.fixture
def setting(with_cocoa):
    algorithm = AWAC(discount=0.9, temperature=0.5, advantage_clip=1.2)
    batch = make_batch(with_cocoa)
    state = algorithm.init(jax.random.key(0), make_networks(with_cocoa), batch, 100)
    state = scatter(state, ("actor", "critics"), ("target_critics",))
    values = state.critics(batch.next_observation, batch.action, params=state.target_critics)
    state = state.replace(target_critics=oracle.level(state.target_critics, values))
    values = state.critics(batch.observation, batch.action)
    state = state.replace(critics=state.critics.replace(params=oracle.level(state.critics.params, values)))
    return algorithm, state, batch, oracle.to_numpy(state), oracle.to_numpy(batch)


def policy(params, observation):
    return oracle.policy_mean(params, observation), np.exp(np.clip(params["log_std"], -5, 2))


def drawn(s, observation, shape):
    mean, std = policy(s.actor.params, observation)
    return np.clip(mean + std * np.asarray(jax.random.normal(KEY, shape), np.float64), -1, 1)


def test_critics_regress_to_the_value_of_the_policys_next_action(setting):
    algorithm, state, batch, s, b = setting
    next_action = drawn(s, b.next_observation, batch.action.shape)
    next_q = oracle.lowest(oracle.critics(s.target_critics, b.next_observation, next_action))
    target = b.reward + 0.9 * np.where(b.terminal == 1, 0, next_q)
    q = oracle.critics(s.critics.params, b.observation, b.action)
    loss, _ = algorithm.critic_loss(state.critics.params, state, batch, KEY)
    np.testing.assert_allclose(loss, sum(np.mean((target - q_i) ** 2) for q_i in q), rtol=1e-4)


def test_the_policy_is_pulled_to_the_datas_actions_by_their_advantage(setting):
    algorithm, state, batch, s, b = setting
    value = oracle.lowest(
        oracle.critics(s.critics.params, b.observation, drawn(s, b.observation, batch.action.shape))
    )
    advantage = oracle.lowest(oracle.critics(s.critics.params, b.observation, b.action)) - value
    weight = np.minimum(np.exp(advantage / 0.5), 1.2)
    assert 0 < (weight == 1.2).mean() < 1

    def loss_with(params):  # the weights are constants: no gradient passes them
        mean, std = policy(params, b.observation)
        return -np.mean(weight * scipy.stats.norm.logpdf(b.action, mean, std).sum(-1))

    def loss(params):
        return algorithm.actor_loss(params, state, batch, KEY)[0]

    np.testing.assert_allclose(loss(state.actor.params), loss_with(s.actor.params), rtol=1e-4)
    oracle.assert_slope(loss, state.actor.params, loss_with)


def test_the_critics_are_updated_before_the_policy(setting):
    algorithm, state, batch, _, _ = setting
    after, metrics = jax.jit(algorithm.update)(state, batch, KEY)
    _, actor_key = jax.random.split(KEY)
    between = state.replace(critics=after.critics)
    losses = [algorithm.actor_loss(state.actor.params, one, batch, actor_key)[0] for one in (between, state)]
    np.testing.assert_allclose(metrics["actor_loss"], losses[0], rtol=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-4
