"""IFQL's losses against derivations in NumPy float64, and the choice of the best draw."""

import dataclasses

import jax
import numpy as np
import pytest
from support import oracle
from support.ingredients import ACTION_DIM, make_batch, make_networks, scatter

from cocoa.algos.ifql import IFQL

KEY = jax.random.key(5)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "cocoa"])
def setting(request):
    algorithm, batch = IFQL(discount=0.9, samples=5, flow_steps=4), make_batch(request.param)
    networks = dataclasses.replace(make_networks(request.param), activation="gelu")
    state = algorithm.init(jax.random.key(0), networks, batch, 100)
    state = scatter(state, ("actor", "critics", "value"), ("target_critics",))
    for name in ("critics", "target_critics"):
        params = state.critics.params if name == "critics" else state.target_critics
        level = oracle.level(params, state.critics(batch.observation, batch.action, params=params))
        moved = state.critics.replace(params=level) if name == "critics" else level
        state = state.replace(**{name: moved})
    return algorithm, state, batch, oracle.to_numpy(state), oracle.to_numpy(batch)


def test_value_and_critics_are_those_of_iql(setting):
    algorithm, state, batch, s, b = setting
    target_q = oracle.lowest(oracle.critics(s.target_critics, b.observation, b.action, oracle.gelu))
    v = oracle.value(s.value.params, b.observation, activation=oracle.gelu)
    assert 0.1 < (target_q < v).mean() < 0.9
    value_loss = np.mean(np.where(target_q < v, 0.1, 0.9) * (target_q - v) ** 2)
    found = state.critics(batch.observation, batch.action, params=state.target_critics).min(axis=0)
    loss, _ = algorithm.value_loss(state.value.params, state, batch, found)
    np.testing.assert_allclose(loss, value_loss, rtol=1e-3)
    next_v = oracle.value(s.value.params, b.next_observation, activation=oracle.gelu)
    target = b.reward + 0.9 * np.where(b.terminal == 1, 0, next_v)
    q = oracle.critics(s.critics.params, b.observation, b.action, oracle.gelu)
    loss, _ = algorithm.critic_loss(state.critics.params, state, batch, jax.random.key(0))
    np.testing.assert_allclose(loss, sum(np.mean((target - q_i) ** 2) for q_i in q), rtol=1e-3)


def test_the_policy_matches_straight_ways_to_the_datas_actions(setting):
    algorithm, state, batch, s, b = setting
    noise_key, time_key = jax.random.split(KEY)
    noise = np.asarray(jax.random.normal(noise_key, batch.action.shape), np.float64)
    time = np.asarray(jax.random.uniform(time_key, batch.reward.shape), np.float64)[:, None]
    x = (1 - time) * noise + time * b.action

    def derived(params):
        velocity = oracle.vector(params, b.observation, x, time, activation=oracle.gelu)
        return np.mean((velocity - (b.action - noise)) ** 2)

    def loss(params):
        return algorithm.actor_loss(params, state, batch, batch.reward, KEY)[0]

    np.testing.assert_allclose(loss(state.actor.params), derived(s.actor.params), rtol=1e-3)
    oracle.assert_slope(jax.jit(loss), state.actor.params, derived)


def test_the_policy_takes_the_draw_of_the_highest_lowest_value(setting):
    algorithm, state, batch, s, b = setting
    draws = np.asarray(jax.random.normal(KEY, (5, *batch.action.shape)), np.float64)
    actions, values = [], []
    for x in draws:
        for i in range(4):
            time = np.full((len(x), 1), i / 4)
            x = x + oracle.vector(s.actor.params, b.observation, x, time, activation=oracle.gelu) / 4
        actions.append(np.clip(x, -1, 1))
        q = oracle.critics(s.critics.params, b.observation, actions[-1], oracle.gelu)
        values.append(q.min(axis=0))
    best = np.argmax(values, axis=0)
    assert len(set(best)) > 2
    expected = np.stack(actions)[best, np.arange(len(best))]
    act = jax.jit(algorithm.act)
    np.testing.assert_allclose(act(state, batch.observation, KEY), expected, rtol=1e-3, atol=1e-3)
    row = jax.tree.map(lambda x: x[0], batch.observation)
    assert act(state, row, KEY).shape == (ACTION_DIM,)
    with pytest.raises(ValueError, match="needs the key"):
        algorithm.act(state, batch.observation)
