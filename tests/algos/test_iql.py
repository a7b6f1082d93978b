"""IQL's losses against derivations in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from support import oracle
from support.ingredients import make_batch, make_networks, scatter

from cocoa.algos import Batch
from cocoa.algos.iql import IQL
from cocoa.algos.networks import Networks


@pytest.fixture(params=[2, 6], ids="critics={}".format)
def setting(request, with_cocoa):
    """An algorithm with telling hyperparameters, and a state in general position: no bias is zero."""
    plain = {"discount": 0.9, "expectile": 0.8, "temperature": 2.0, "advantage_clip": 0.05}
    algorithm = IQL(**plain, critics=request.param, learning_rate=0.01)
    batch = make_batch(with_cocoa)
    state = algorithm.init(jax.random.key(0), make_networks(with_cocoa), batch, 100)
    return algorithm, scatter(state, ("actor", "critics", "value"), ("target_critics",)), batch


def losses(algorithm, state, batch):
    """L(V), L(π) and Σ L(Q_i) of the docstring, in this order."""
    state, batch = oracle.to_numpy(state), oracle.to_numpy(batch)
    v = oracle.value(state.value.params, batch.observation)
    target_q = oracle.critics(state.target_critics, batch.observation, batch.action).min(0)
    weight = np.where(target_q < v, 1 - algorithm.expectile, algorithm.expectile)
    value_loss = (weight * (target_q - v) ** 2).mean()
    advantage_weight = np.clip(np.exp(algorithm.temperature * (target_q - v)), None, algorithm.advantage_clip)
    mean = oracle.policy_mean(state.actor.params, batch.observation)
    std = np.exp(np.clip(state.actor.params["log_std"], -5, 2))
    log_prob = scipy.stats.norm.logpdf(batch.action, mean, std).sum(-1)
    actor_loss = -(advantage_weight * log_prob).mean()
    next_v = oracle.value(state.value.params, batch.next_observation)
    target = batch.reward + algorithm.discount * np.where(batch.terminal == 1, 0, next_v)
    q = oracle.critics(state.critics.params, batch.observation, batch.action)
    critic_loss = sum(((target - q_i) ** 2).mean() for q_i in q)
    return value_loss, actor_loss, critic_loss, (advantage_weight == algorithm.advantage_clip).mean()


def target_q(state, batch):
    return state.critics(batch.observation, batch.action, params=state.target_critics).min(0)


def test_each_loss_equals_its_derivation(setting):
    algorithm, state, batch = setting
    value_loss, actor_loss, critic_loss, clipped = losses(algorithm, state, batch)
    assert 0 < clipped < 1
    q = target_q(state, batch)
    np.testing.assert_allclose(
        algorithm.value_loss(state.value.params, state, batch, q)[0], value_loss, rtol=1e-4
    )
    np.testing.assert_allclose(
        algorithm.actor_loss(state.actor.params, state, batch, q)[0], actor_loss, rtol=1e-4
    )
    np.testing.assert_allclose(
        algorithm.critic_loss(state.critics.params, state, batch, jax.random.key(0))[0],
        critic_loss,
        rtol=1e-4,
    )


@pytest.mark.parametrize("network", ["value", "actor", "critics"])
def test_gradients_equal_finite_differences_of_the_derivation(setting, network):
    algorithm, state, batch = setting
    position = ("value", "actor", "critics").index(network)
    model = getattr(state, network)
    last = jax.random.key(0) if network == "critics" else target_q(state, batch)
    loss = getattr(algorithm, f"{network.removesuffix('s')}_loss")
    gradient = jax.grad(loss, has_aux=True)(model.params, state, batch, last)[0]
    state = oracle.to_numpy(state)
    params = getattr(state, network).params
    leaves, structure = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    direction = jax.tree.unflatten(structure, [rng.normal(size=leaf.shape) for leaf in leaves])

    def along(step):
        moved = jax.tree.map(lambda p, d: p + step * d, params, direction)
        moved_state = state.replace(**{network: getattr(state, network).replace(params=moved)})
        return losses(algorithm, moved_state, batch)[position]

    step = 1e-6
    slope = (along(step) - along(-step)) / (2 * step)
    product = sum(jax.tree.leaves(jax.tree.map(lambda g, d: np.sum(np.asarray(g) * d), gradient, direction)))
    np.testing.assert_allclose(product, slope, rtol=2e-3, atol=1e-4)


def test_update_goes_value_then_actor_then_critics_then_targets(setting):
    algorithm, state, batch = setting
    after, metrics = jax.jit(algorithm.update)(state, batch, jax.random.key(0))
    before_losses = losses(algorithm, state, batch)
    np.testing.assert_allclose(metrics["value_loss"], before_losses[0], rtol=1e-4)
    between = losses(algorithm, state.replace(value=after.value), batch)
    np.testing.assert_allclose(metrics["actor_loss"], between[1], rtol=1e-4)
    np.testing.assert_allclose(metrics["critic_loss"], between[2], rtol=1e-4)
    assert abs(between[1] - before_losses[1]) > 1e-3 * abs(between[1])
    rate = algorithm.target_rate
    jax.tree.map(
        lambda old, online, new: np.testing.assert_allclose(new, (1 - rate) * old + rate * online, rtol=1e-5),
        state.target_critics,
        after.critics.params,
        after.target_critics,
    )


def test_dropout_is_in_the_policys_updates_alone():
    algorithm, plain = IQL(actor_dropout=0.5), IQL()
    batch = make_batch(False)
    state = algorithm.init(jax.random.key(0), make_networks(False), batch, 100)
    q = target_q(state, batch)
    losses = [one.actor_loss(state.actor.params, state, batch, q)[0] for one in (algorithm, plain)]
    assert losses[0] == losses[1]
    actions = [one.act(state, batch.observation) for one in (algorithm, plain)]
    np.testing.assert_array_equal(*actions)
    update = jax.jit(algorithm.update)
    results = [update(state, batch, jax.random.key(seed)) for seed in (1, 2)]
    (first, first_metrics), (second, second_metrics) = results
    assert first_metrics["actor_loss"] != second_metrics["actor_loss"]
    assert first_metrics["critic_loss"] == second_metrics["critic_loss"]
    jax.tree.map(np.testing.assert_array_equal, first.value.params, second.value.params)


def test_actor_step_size_follows_half_a_cosine():
    algorithm, batch = IQL(learning_rate=0.01), make_batch(False)
    state = algorithm.init(jax.random.key(0), make_networks(False), batch, 10)
    update, steps = jax.jit(algorithm.update), []
    for _ in range(10):
        after, _ = update(state, batch, jax.random.key(0))
        moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), state.actor.params, after.actor.params)
        steps.append(max(float(leaf) for leaf in jax.tree.leaves(moved)))
        state = after
    assert steps[0] == pytest.approx(0.01, rel=0.01)
    assert steps[-1] < 0.05 * steps[0]


def test_values_of_a_chain_whose_answer_is_known():
    """States 0 -> 1 -> end; reward |a| style choices 0 or 1; expectile 1 takes the best action in the data.

    In state 1 actions pay 0 or 1 and end the episode; in state 0 they pay 0 or 0.5 and lead to state 1. The
    optimal values are V(1) = 1 and V(0) = 0.5 + γ.
    """
    state_of = np.repeat([0.0, 1.0], 64)
    action = np.tile([-0.8, 0.8], 64)
    reward = (action > 0) * np.where(state_of == 1, 1.0, 0.5)
    observation = np.stack([state_of, 1 - state_of], -1)
    batch = Batch(
        observation=jnp.asarray(observation),
        action=jnp.asarray(action)[:, None],
        reward=jnp.asarray(reward),
        terminal=jnp.asarray(state_of),
        next_observation=jnp.asarray(np.tile([[1.0, 0.0]], (128, 1))),
    )
    batch = jax.tree.map(lambda x: x.astype(jnp.float32), batch)
    algorithm = IQL(expectile=0.99, discount=0.9, learning_rate=3e-3, target_rate=0.05)
    state = algorithm.init(jax.random.key(0), Networks(1, (32, 32)), batch, 2000)
    update = jax.jit(
        lambda s: jax.lax.fori_loop(0, 2000, lambda i, s: algorithm.update(s, batch, None)[0], s)
    )
    state = update(state)
    ends = jnp.asarray([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(state.value(ends), [1.4, 1.0], atol=0.05)
    assert (algorithm.act(state, ends) > 0.5).all()
