"""EDAC's term of diversity against finite differences, and the gradients that it moves."""

import dataclasses

import jax
import numpy as np
import pytest
from support import oracle
from support.ingredients import make_batch, make_networks, scatter

from cocoa.algos.edac import EDAC
from cocoa.algos.sac import SAC

KEY = jax.random.key(5)


@pytest.fixture(params=[(3, False), (6, True)], ids=["written out, plain", "batched, cocoa"])
def setting(request):
    critics, with_cocoa = request.param
    algorithm = EDAC(critics=critics, diversity_weight=2.0, discount=0.9)
    batch = make_batch(with_cocoa, size=32)
    state = algorithm.init(jax.random.key(0), make_networks(with_cocoa), batch, 100)
    state = scatter(state, ("actor", "critics"), ("target_critics",))
    return algorithm, state, batch


def similarity(params, batch):
    """Mean of <g_i, g_j> over pairs i ≠ j, with slopes from difference quotients in float64."""
    step, size = 1e-6, batch.action.shape[-1]
    slopes = []
    for axis in range(size):
        shift = step * np.eye(size)[axis]
        ends = [oracle.critics(params, batch.observation, batch.action + s * shift) for s in (1, -1)]
        slopes.append((ends[0] - ends[1]) / (2 * step))
    slopes = np.stack(slopes, -1)
    directions = slopes / np.linalg.norm(slopes, axis=-1, keepdims=True)
    count = len(directions)
    pairs = [
        (directions[i] * directions[j]).sum(-1).mean() for i in range(count) for j in range(count) if i != j
    ]
    return np.mean(pairs)


def test_similarity_of_the_critics_equals_its_derivation(setting):
    algorithm, state, batch = setting
    expected = similarity(oracle.to_numpy(state.critics.params), oracle.to_numpy(batch))
    actual = algorithm.similarity(state.critics.params, state, batch)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_adds_the_similarity_of_all_pairs_to_that_of_sac(setting):
    algorithm, state, batch = setting
    fields = {field.name: getattr(algorithm, field.name) for field in dataclasses.fields(SAC)}
    td_loss, _ = SAC(**fields).critic_loss(state.critics.params, state, batch, KEY)
    loss, metrics = algorithm.critic_loss(state.critics.params, state, batch, KEY)
    expected = similarity(oracle.to_numpy(state.critics.params), oracle.to_numpy(batch))
    # η / (N - 1) times the sum over N (N - 1) pairs.
    np.testing.assert_allclose(loss - td_loss, 2.0 * algorithm.critics * expected, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(metrics["td_loss"], td_loss, rtol=1e-6)
    oracle.assert_slope(
        lambda params: algorithm.similarity(params, state, batch),
        state.critics.params,
        lambda params: similarity(params, oracle.to_numpy(batch)),
    )


def test_without_diversity_it_is_sac_with_many_critics(setting):
    algorithm, state, batch = setting
    plain = dataclasses.replace(algorithm, diversity_weight=0.0)
    fields = {field.name: getattr(plain, field.name) for field in dataclasses.fields(SAC)}
    expected = jax.jit(SAC(**fields).update)(state, batch, KEY)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(plain.update)(state, batch, KEY), expected)


def test_training_turns_the_gradients_apart():
    """Without rewards nothing else moves the critics."""
    batch = make_batch(False, size=32)
    after = {}
    for weight in (0.0, 10.0):
        algorithm = EDAC(critics=5, diversity_weight=weight, critic_learning_rate=1e-3)
        state = algorithm.init(jax.random.key(0), make_networks(False), batch, 100)
        update = jax.jit(algorithm.update)
        for step in range(50):
            state, _ = update(state, batch, jax.random.key(step))
        after[weight] = float(algorithm.similarity(state.critics.params, state, batch))
    assert after[10.0] < after[0.0] - 0.1


def test_one_critic_has_none_to_differ_from():
    with pytest.raises(ValueError, match="critics=1 must be at least 2"):
        EDAC(critics=1)


def test_a_critic_that_ignores_the_action_leaves_all_gradients_finite():
    """Its units are off: its slope is zero, and has no direction."""
    algorithm, batch = EDAC(critics=3), make_batch(False, size=32)
    state = algorithm.init(jax.random.key(0), make_networks(False), batch, 100)
    params = jax.tree.map(lambda x: x, state.critics.params)
    params["Value_0"]["MLP_0"]["Dense_0"]["bias"] -= 100.0
    loss, gradient = jax.value_and_grad(algorithm.similarity)(params, state, batch)
    assert np.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
