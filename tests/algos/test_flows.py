"""Flows: their networks, Euler's method, and what flow matching learns, against known answers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from support import oracle
from support.ingredients import ACTION_DIM, OBSERVATION_DIM, make_batch, make_networks

from cocoa.algos.base import ACTIVATIONS
from cocoa.algos.networks import Adam, Model, Networks, euler, flow_matching

KEY = jax.random.key(4)


@pytest.fixture
def networks(with_cocoa):
    return dataclasses.replace(make_networks(with_cocoa), activation="gelu")


def test_the_activation_is_in_every_head_and_equals_its_formula(networks, with_cocoa):
    batch = make_batch(with_cocoa, size=8)
    observation, action = batch.observation, batch.action
    o, a = oracle.to_numpy(observation), oracle.to_numpy(action)
    critics = Model.create(networks.critics(2, layer_norm=True), Adam(1), KEY, observation, action)
    expected = oracle.critics(oracle.to_numpy(critics.params), o, a, oracle.gelu)
    np.testing.assert_allclose(critics(observation, action), expected, rtol=1e-3, atol=1e-4)
    policies = networks.deterministic_policy, networks.gaussian_policy, networks.squashed_gaussian_policy
    for make in policies:
        relu = dataclasses.replace(networks, activation="relu")
        rectified = getattr(relu, make.__name__)()
        params = rectified.init(KEY, observation)["params"]
        outputs = [module.apply({"params": params}, observation) for module in (make(), rectified)]
        first, second = (jax.tree.leaves(output)[0] for output in outputs)
        assert float(jnp.abs(first - second).max()) > 1e-3
    x = np.linspace(-6, 6, 101)
    np.testing.assert_allclose(ACTIVATIONS["gelu"](jnp.asarray(x)), x * scipy.stats.norm.cdf(x), atol=5e-4)


def test_the_networks_of_a_flow_equal_their_derivation(networks, with_cocoa):
    batch = make_batch(with_cocoa, size=8)
    observation, x = batch.observation, 2 * batch.action
    o, x64, time = oracle.to_numpy(observation), oracle.to_numpy(x), np.linspace(0, 1, 8)
    flow = Model.create(networks.velocity_field(), Adam(1), KEY, observation, x, jnp.zeros(8))
    policy = Model.create(networks.noise_policy(), Adam(1), KEY, observation, x)
    of_flow = oracle.vector(oracle.to_numpy(flow.params), o, x64, time[:, None], activation=oracle.gelu)
    of_policy = oracle.vector(oracle.to_numpy(policy.params), o, x64, activation=oracle.gelu)
    np.testing.assert_allclose(flow(observation, x, jnp.float32(time)), of_flow, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(policy(observation, x), of_policy, rtol=1e-3, atol=1e-4)
    assert np.abs(of_flow).max() > 1.5  # no output is bounded
    if not with_cocoa:  # as in the authors' code: one MLP on [s, x, t], and one on [s, z]
        widths = [len(model.params["MLP_0"]["Dense_0"]["kernel"]) for model in (flow, policy)]
        assert widths == [OBSERVATION_DIM + ACTION_DIM + 1, OBSERVATION_DIM + ACTION_DIM]


def test_draws_have_an_axis_of_their_own(networks, with_cocoa):
    observation = make_batch(with_cocoa, size=8).observation
    flow = networks.velocity_field()
    x = flow.noise(KEY, observation, 3)
    assert x.shape == (3, 8, ACTION_DIM)
    assert flow.noise(KEY, observation).shape == (8, ACTION_DIM)
    variables = flow.init(KEY, observation, x[0], jnp.zeros(8))
    together = flow.apply(variables, observation, x, jnp.float32(0.3))
    apart = [flow.apply(variables, observation, row, jnp.full(8, 0.3)) for row in x]
    np.testing.assert_allclose(together, jnp.stack(apart), rtol=1e-5, atol=1e-5)


def test_eulers_method_equals_its_formula_and_goes_to_the_solution():
    """dx/dt = t - x has the solution x = t - 1 + (x_0 + 1) exp(-t); the error halves with the step."""
    start = np.array([[-1.5, 0.5], [2.0, 0.0]])
    solution = (start + 1) * np.exp(-1)
    errors = []
    for steps in (10, 20):
        x = start
        for i in range(steps):
            x = x + (i / steps - x) / steps
        found = euler(lambda x, time: time - x, jnp.float32(start), steps)
        np.testing.assert_allclose(found, x, rtol=1e-5)
        errors.append(np.abs(x - solution).max())
    assert errors[0] < 0.1
    assert 1.8 < errors[0] / errors[1] < 2.2


def test_flow_matching_equals_its_derivation():
    action = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (16, 3)), jnp.float32)
    noise_key, time_key = jax.random.split(KEY)
    noise = np.asarray(jax.random.normal(noise_key, (16, 3)), np.float64)
    time = np.asarray(jax.random.uniform(time_key, (16,)), np.float64)[:, None]
    x = (1 - time) * noise + time * np.asarray(action, np.float64)
    expected = np.mean((x**2 + time - (np.asarray(action) - noise)) ** 2, axis=1)
    found = flow_matching(lambda x, time: x**2 + time[..., None], action, KEY)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def two_modes(key, count):
    """Actions near 0.7 in 70 % of cases and near -0.7 in the others; in states below zero, the other way."""
    state_key, mode_key, noise_key = jax.random.split(key, 3)
    state = jnp.where(jax.random.bernoulli(state_key, 0.5, (count, 1)), 1.0, -1.0)
    mode = jnp.where(jax.random.bernoulli(mode_key, 0.7, (count, 1)), 0.7, -0.7)
    return state, state * mode + 0.05 * jax.random.normal(noise_key, (count, 1))


def test_a_flow_learns_two_modes_which_a_gaussian_does_not():
    networks = Networks(1, (32, 32), activation="gelu")
    state, action = two_modes(KEY, 256)
    flow = Model.create(networks.velocity_field(), Adam(5e-3, 1000), KEY, state, action, action[:, 0])

    def loss(params, flow, state, action, key):
        errors = flow_matching(lambda x, time: flow(state, x, time, params=params), action, key)
        return errors.mean(), {}

    def step(flow, key):
        data_key, key = jax.random.split(key)
        return flow.minimize(loss, flow, *two_modes(data_key, 256), key)[0], None

    flow, _ = jax.jit(lambda flow: jax.lax.scan(step, flow, jax.random.split(KEY, 1000)))(flow)
    states = jnp.repeat(jnp.array([[1.0], [-1.0]]), 2000, axis=0)
    noise = flow.module.noise(jax.random.key(9), states)
    drawn = np.asarray(euler(lambda x, time: flow(states, x, time), noise, 10) * states)
    np.testing.assert_allclose((drawn.reshape(2, 2000) > 0).mean(axis=1), 0.7, atol=0.05)
    assert (np.abs(np.abs(drawn) - 0.7) > 0.25).mean() < 0.1
    fitted = scipy.stats.norm(0.28, (0.49 - 0.28**2 + 0.05**2) ** 0.5)  # has their mean and deviation
    between = [fitted.cdf(end) for end in (-0.95, -0.45, 0.45, 0.95)]
    assert 1 - (between[1] - between[0] + between[3] - between[2]) > 0.5
