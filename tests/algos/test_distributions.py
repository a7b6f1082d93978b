"""Distributions over actions against SciPy, in float64 where it counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from support import oracle

from cocoa.algos.networks import Gaussian, SquashedGaussian

KEY = jax.random.key(5)
ROWS, ACTION_DIM, DRAWS = 4, 3, 6


@pytest.fixture(params=["for each state", "for all states"])
def gaussian(request):
    rng = np.random.default_rng(0)
    rows = (ROWS,) if request.param == "for each state" else ()
    mean, log_std = rng.normal(0, 0.5, (ROWS, ACTION_DIM)), rng.uniform(-1.5, 0.5, (*rows, ACTION_DIM))
    return Gaussian(jnp.asarray(mean, jnp.float32), jnp.asarray(log_std, jnp.float32))


@pytest.fixture(params=["gaussian", "squashed"])
def distribution(request, gaussian):
    return gaussian if request.param == "gaussian" else SquashedGaussian(gaussian)


def parameters(gaussian):
    return np.asarray(gaussian.mean, np.float64), np.exp(np.asarray(gaussian.log_std, np.float64))


def test_density_of_a_gaussian(gaussian):
    mean, std = parameters(gaussian)
    actions = np.random.default_rng(1).uniform(-1, 1, (DRAWS, ROWS, ACTION_DIM))
    expected = scipy.stats.norm.logpdf(actions, mean, std).sum(-1)
    found = gaussian.log_prob(jnp.asarray(actions, jnp.float32))
    assert found.shape == (DRAWS, ROWS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_draws_of_a_gaussian_have_its_moments(gaussian):
    mean, std = parameters(gaussian)
    normal = (np.asarray(gaussian.sample(KEY, 4000), np.float64) - mean) / std
    assert normal.shape == (4000, ROWS, ACTION_DIM)
    assert scipy.stats.kstest(normal.reshape(-1)[::5], "norm").pvalue > 1e-3
    np.testing.assert_allclose(np.cov(normal.reshape(4000, -1).T), np.eye(ROWS * ACTION_DIM), atol=0.1)


def test_squashed_density_integrates_to_one_and_belongs_to_the_draws():
    mean, log_std = jnp.array([0.4]), jnp.array([-0.3])
    policy = SquashedGaussian(Gaussian(mean, log_std))
    total, _ = scipy.integrate.quad(lambda a: np.exp(oracle.log_density(np.array([a]), mean, log_std)), -1, 1)
    assert total == pytest.approx(1, abs=1e-4)
    draws, log_prob = policy.sample_and_log_prob(KEY, 5000)
    inside = np.abs(draws[:, 0]) < 0.99
    expected = oracle.log_density(np.asarray(draws, np.float64)[inside], mean, log_std)
    np.testing.assert_allclose(log_prob[inside], expected, atol=2e-3)
    np.testing.assert_allclose(policy.log_prob(draws[inside]), expected, atol=2e-3)
    average, _ = scipy.integrate.quad(
        lambda a: a * np.exp(oracle.log_density(np.array([a]), mean, log_std)), -1, 1
    )
    assert float(draws.mean()) == pytest.approx(average, abs=0.03)


def test_squashed_density_is_a_number_at_the_bounds():
    policy = SquashedGaussian(Gaussian(jnp.zeros(ACTION_DIM), jnp.zeros(ACTION_DIM)))
    for action in (-jnp.ones(ACTION_DIM), jnp.ones(ACTION_DIM)):
        value, slope = jax.value_and_grad(lambda p, a=action: p.log_prob(a))(policy)
        assert np.isfinite([value, *np.concatenate(jax.tree.leaves(slope))]).all()


def test_sampling_with_densities_draws_the_same_actions(gaussian):
    policy = SquashedGaussian(gaussian)
    for count in (None, DRAWS):
        drawn, log_prob = policy.sample_and_log_prob(KEY, count)
        np.testing.assert_array_equal(drawn, policy.sample(KEY, count))
        assert log_prob.shape == drawn.shape[:-1] == (() if count is None else (count,)) + (ROWS,)


def test_a_policy_acts_by_its_mode_or_by_a_draw(distribution):
    np.testing.assert_array_equal(distribution.act(), distribution.mode())
    drawn = distribution.sample(KEY)
    np.testing.assert_array_equal(distribution.act(KEY), np.clip(drawn, -1, 1))
    assert (drawn != distribution.sample(jax.random.key(6))).all()


def test_actions_are_clipped_where_the_distribution_has_no_bounds():
    wide = Gaussian(jnp.array([-3.0, 0.2, 3.0]), jnp.full(3, 5.0))
    assert wide.act().tolist() == pytest.approx([-1, 0.2, 1])
    assert (np.abs(wide.act(KEY)) <= 1).all()
    assert (np.abs(wide.sample(KEY)) > 1).any()
