"""XQL's Gumbel regression: its value, its slope, and the soft maximum that it finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle
from support.ingredients import make_batch, make_networks, scatter

from cocoa.algos.xql import XQL


def test_value_loss_equals_its_derivation(with_cocoa):
    algorithm = XQL(value_temperature=0.5, exponent_clip=0.8)
    batch = make_batch(with_cocoa)
    state = algorithm.init(jax.random.key(0), make_networks(with_cocoa), batch, 100)
    state = scatter(state, ("value",))
    s, b = oracle.to_numpy(state), oracle.to_numpy(batch)
    target_q = oracle.value(s.value.params, b.observation) + np.random.default_rng(0).normal(size=64)

    def derived(params):
        z = (target_q - oracle.value(params, b.observation)) / 0.5
        assert 0 < (z > 0.8).mean() < 1
        z = np.minimum(z, 0.8)
        return np.mean(np.exp(z) - z - 1)

    def loss(params):
        return algorithm.value_loss(params, state, batch, jnp.float32(target_q))[0]

    np.testing.assert_allclose(loss(state.value.params), derived(s.value.params), rtol=1e-4)
    oracle.assert_slope(loss, state.value.params, derived)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 10.0])
def test_the_best_value_is_the_soft_maximum_over_the_datas_actions(temperature):
    """b log E exp(Q / b), between the mean and the maximum."""
    values = jnp.asarray(np.random.default_rng(0).normal(size=1000), jnp.float32)
    algorithm = XQL(value_temperature=temperature, exponent_clip=30.0)
    slope = jax.jit(jax.grad(lambda v: algorithm.deviation(values - v).mean()))
    low, high = float(values.mean()), float(values.max())
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    expected = temperature * np.log(np.mean(np.exp(np.asarray(values, np.float64) / temperature)))
    assert low == pytest.approx(expected, abs=2e-3)
