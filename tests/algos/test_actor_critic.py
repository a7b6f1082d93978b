"""Losses of TD3+BC, SAC and CQL against derivations in NumPy float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from support import oracle
from support.ingredients import ACTION_DIM, make_batch, make_networks, scatter, with_next_actions

from cocoa.algos import cql
from cocoa.algos.awac import AWAC
from cocoa.algos.bc import BC
from cocoa.algos.combo import COMBO
from cocoa.algos.cql import CQL
from cocoa.algos.mobile import MOBILE
from cocoa.algos.mopo import MOPO
from cocoa.algos.rebrac import ReBRAC
from cocoa.algos.sac import SAC
from cocoa.algos.td3_bc import TD3, TD3BC
from cocoa.dynamics.xla.blocks import count_blocks, mean_over_blocks

KEY = jax.random.key(5)


def setting(algorithm, with_cocoa, models, targets=()):
    batch = make_batch(with_cocoa)
    state = algorithm.init(jax.random.key(0), make_networks(with_cocoa), batch, 100)
    state = scatter(state, models, targets)
    values = state.critics(batch.observation, batch.action)
    state = state.replace(critics=state.critics.replace(params=oracle.level(state.critics.params, values)))
    values = state.critics(batch.next_observation, batch.action, params=state.target_critics)
    state = state.replace(target_critics=oracle.level(state.target_critics, values))
    return state, batch, oracle.to_numpy(state), oracle.to_numpy(batch)


def test_bc(with_cocoa):
    algorithm, batch = BC(), make_batch(with_cocoa)
    state = algorithm.init(jax.random.key(0), make_networks(with_cocoa), batch, 100)
    expected = oracle.deterministic_action(oracle.to_numpy(state).params, oracle.to_numpy(batch).observation)
    loss, _ = algorithm.actor_loss(state.params, state, batch)
    np.testing.assert_allclose(loss, np.mean((expected - batch.action) ** 2), rtol=1e-4)


@pytest.mark.parametrize("critics", [2, 6])
def test_td3_bc_losses(critics, with_cocoa):
    algorithm = TD3BC(discount=0.9, critics=critics, alpha=2.0, policy_noise=0.4, noise_clip=0.3)
    models, targets = ("actor", "critics"), ("target_actor", "target_critics")
    state, batch, s, b = setting(algorithm, with_cocoa, models, targets)
    noise = np.clip(0.4 * np.asarray(jax.random.normal(KEY, batch.action.shape)), -0.3, 0.3)
    next_action = np.clip(oracle.deterministic_action(s.target_actor, b.next_observation) + noise, -1, 1)
    next_q = oracle.lowest(oracle.critics(s.target_critics, b.next_observation, next_action))
    target = b.reward + 0.9 * np.where(b.terminal == 1, 0, next_q)
    q = oracle.critics(s.critics.params, b.observation, b.action)
    loss, _ = algorithm.critic_loss(state.critics.params, state, batch, KEY)
    np.testing.assert_allclose(loss, sum(np.mean((target - q_i) ** 2) for q_i in q), rtol=1e-4)
    oracle.assert_slope(
        lambda params: algorithm.critic_loss(params, state, batch, KEY)[0],
        state.critics.params,
        lambda params: td_loss(params, target, b),
    )
    action = oracle.deterministic_action(s.actor.params, b.observation)
    q_policy = oracle.critics(s.critics.params, b.observation, action)[0]
    weight = 2.0 / np.abs(q_policy).mean()
    expected = -weight * q_policy.mean() + np.mean((action - b.action) ** 2)
    np.testing.assert_allclose(algorithm.actor_loss(state.actor.params, state, batch)[0], expected, rtol=1e-3)
    oracle.assert_slope(
        lambda params: algorithm.actor_loss(params, state, batch)[0],
        state.actor.params,
        # λ is a constant here: no gradient passes it.
        lambda params: actor_loss_with(params, weight, s, b),
    )


def td_loss(params, target, b):
    return sum(np.mean((target - q) ** 2) for q in oracle.critics(params, b.observation, b.action))


def actor_loss_with(params, weight, s, b):
    action = oracle.deterministic_action(params, b.observation)
    q = oracle.critics(s.critics.params, b.observation, action)[0]
    return -weight * q.mean() + np.mean((action - b.action) ** 2)


def test_td3_bc_moves_policy_and_targets_in_every_second_update(with_cocoa):
    algorithm = TD3BC(actor_learning_rate=0.01, critic_learning_rate=0.01, target_rate=0.1)
    state, batch, _, _ = setting(algorithm, with_cocoa, ("actor", "critics"), ("target_actor",))
    update = jax.jit(algorithm.update)
    first, _ = update(state, batch, KEY)
    jax.tree.map(np.testing.assert_array_equal, first.actor.params, state.actor.params)
    jax.tree.map(np.testing.assert_array_equal, first.target_critics, state.target_critics)
    second, _ = update(first, batch, KEY)
    assert_mixed(second.target_actor, first.target_actor, second.actor.params, 0.1)
    assert_mixed(second.target_critics, first.target_critics, second.critics.params, 0.1)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), second.actor.params, first.actor.params)
    assert max(jax.tree.leaves(moved)) == pytest.approx(0.01, rel=0.01)


def assert_mixed(after, before, online, rate):
    """Compare targets with (1 - rate) before + rate online; these two must differ."""
    expected = jax.tree.map(lambda t, o: (1 - rate) * t + rate * o, before, online)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after, expected)
    assert (
        max(float(jnp.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (before, online)), strict=True))
        > 0.01
    )


@pytest.mark.parametrize(
    "algorithm",
    [
        SAC(critic_learning_rate=0.01, target_rate=0.1),
        AWAC(learning_rate=0.01, target_rate=0.1),
        TD3BC(critic_learning_rate=0.01, target_rate=0.1, policy_delay=1),
        ReBRAC(critic_learning_rate=0.01, target_rate=0.1, policy_delay=1),
    ],
    ids=lambda algorithm: algorithm.name,
)
def test_the_policy_follows_the_updated_critics_and_so_do_the_targets(algorithm):
    targets = ("target_critics",) + (("target_actor",) if isinstance(algorithm, TD3) else ())
    batch = make_batch(False)
    batch = with_next_actions(batch) if algorithm.next_actions else batch
    state = algorithm.init(jax.random.key(0), make_networks(False), batch, 100)
    state = scatter(state, ("actor", "critics"), targets)
    after, metrics = jax.jit(algorithm.update)(state, batch, KEY)
    keys = () if isinstance(algorithm, TD3) else (jax.random.split(KEY)[1],)
    old, new = (
        algorithm.actor_loss(state.actor.params, state.replace(critics=critics), batch, *keys)[0]
        for critics in (state.critics, after.critics)
    )
    assert abs(new - old) > 1e-3 * abs(new)
    np.testing.assert_allclose(metrics["actor_loss"], new, rtol=1e-4)
    assert_mixed(after.target_critics, state.target_critics, after.critics.params, 0.1)


@pytest.mark.parametrize(("critics", "deterministic_backup"), [(2, False), (2, True), (6, False)])
def test_sac_losses(critics, deterministic_backup, with_cocoa):
    plain = {"discount": 0.9, "initial_alpha": 0.3}
    algorithm = SAC(**plain, critics=critics, deterministic_backup=deterministic_backup)
    state, batch, s, b = setting(algorithm, with_cocoa, ("actor", "critics"), ("target_critics",))
    noise = np.asarray(jax.random.normal(KEY, batch.action.shape), np.float64)

    def sample(observation, params=s.actor.params):
        mean, log_std = oracle.squashed_distribution(params, observation)
        u = mean + np.exp(log_std) * noise
        log_prob = scipy.stats.norm.logpdf(u, mean, np.exp(log_std)) + 2 * (np.logaddexp(u, -u) - np.log(2))
        return np.tanh(u), log_prob.sum(-1)

    next_action, next_log_prob = sample(b.next_observation)
    soft = 0 if deterministic_backup else 0.3 * next_log_prob
    next_q = oracle.lowest(oracle.critics(s.target_critics, b.next_observation, next_action)) - soft
    target = b.reward + 0.9 * np.where(b.terminal == 1, 0, next_q)
    q = oracle.critics(s.critics.params, b.observation, b.action)
    loss, _ = algorithm.critic_loss(state.critics.params, state, batch, KEY)
    np.testing.assert_allclose(loss, sum(np.mean((target - q_i) ** 2) for q_i in q), rtol=1e-3)
    oracle.assert_slope(
        lambda params: algorithm.critic_loss(params, state, batch, KEY)[0],
        state.critics.params,
        lambda params: td_loss(params, target, b),
    )

    def policy_loss(params):
        action, log_prob = sample(b.observation, params)
        return np.mean(
            0.3 * log_prob - oracle.lowest(oracle.critics(s.critics.params, b.observation, action))
        )

    log_prob = sample(b.observation)[1]
    loss, metrics = algorithm.actor_loss(state.actor.params, state, batch, KEY)
    np.testing.assert_allclose(loss, policy_loss(s.actor.params), rtol=1e-3)
    np.testing.assert_allclose(metrics["entropy"], -log_prob.mean(), rtol=1e-3)
    oracle.assert_slope(
        lambda params: algorithm.actor_loss(params, state, batch, KEY)[0], state.actor.params, policy_loss
    )
    loss, _ = algorithm.alpha_loss(state.log_alpha.params, state, metrics["entropy"], ACTION_DIM)
    np.testing.assert_allclose(loss, -np.log(0.3) * np.mean(log_prob - ACTION_DIM), rtol=1e-3)


def test_temperature_finds_the_target_entropy():
    """With flat values only the temperature holds the entropy up: it settles at the target."""
    algorithm = SAC(actor_learning_rate=0.01, cosine_schedule=False, target_entropy_per_dimension=-0.5)
    batch = make_batch(False)
    batch = dataclasses.replace(batch, reward=5 * batch.action[:, 0], terminal=jnp.ones_like(batch.terminal))
    state = algorithm.init(jax.random.key(0), make_networks(False), batch, 100)

    def step(index, carry):
        state, _ = carry
        state, metrics = algorithm.update(state, batch, jax.random.fold_in(KEY, index))
        return state, metrics["entropy"]

    _, entropy = jax.jit(lambda s: jax.lax.fori_loop(0, 3000, step, (s, jnp.float32(0))))(state)
    assert float(entropy) == pytest.approx(-0.5 * ACTION_DIM, abs=0.35)


@pytest.mark.parametrize(("critics", "temperature"), [(2, 1.0), (2, 2.0), (6, 2.0)])
def test_cql_loss(critics, temperature, with_cocoa):
    plain = {"discount": 0.9, "samples": 3, "weight": 2.0}
    algorithm = CQL(**plain, critics=critics, penalty_temperature=temperature)
    state, batch, s, b = setting(algorithm, with_cocoa, ("actor", "critics"), ("target_critics",))
    target_key, gap_key = jax.random.split(KEY)
    actions, densities = oracle.proposals(
        s.actor.params, (b.observation, b.next_observation), gap_key, algorithm.samples
    )
    found = algorithm.proposals(state, batch, gap_key)
    np.testing.assert_allclose(found[0], actions, atol=1e-5)
    np.testing.assert_allclose(found[1], densities, rtol=1e-4, atol=1e-3)
    target = np.asarray(algorithm.target(state, batch, target_key), np.float64)

    def gaps(params):
        values = np.stack([oracle.critics(params, b.observation, a) for a in actions])
        soft = temperature * scipy.special.logsumexp((values - densities[:, None]) / temperature, axis=0)
        return soft.mean(axis=-1) - oracle.critics(params, b.observation, b.action).mean(axis=-1)

    def derived(params):
        return td_loss(params, target, b) + 2.0 * gaps(params).sum()

    loss, metrics = algorithm.critic_loss(state.critics.params, state, batch, KEY)
    np.testing.assert_allclose(loss, derived(s.critics.params), rtol=1e-4)
    np.testing.assert_allclose(metrics["gap"], gaps(s.critics.params).mean(), rtol=1e-4)
    oracle.assert_slope(
        lambda params: algorithm.critic_loss(params, state, batch, KEY)[0], state.critics.params, derived
    )


def test_cql_estimates_the_integral_over_actions():
    """With one-dimensional actions, against brute force: log ∫ exp Q(s, a) da + log 3n."""
    algorithm, networks = CQL(samples=3000), make_networks(False)
    networks = dataclasses.replace(networks, action_dim=1)
    batch = dataclasses.replace(make_batch(False, size=4), action=jnp.zeros((4, 1)))
    state = algorithm.init(jax.random.key(0), networks, batch, 100)
    grid = jnp.linspace(-1, 1, 2001)[:, None, None] * jnp.ones((1, 4, 1))
    values = algorithm.values(state, batch.observation, grid, state.critics.params)
    integral = scipy.special.logsumexp(np.asarray(values, np.float64), axis=1) + np.log(2 / 2001)
    gap = algorithm.gap(state.critics.params, state, batch, jnp.zeros((2, 4)), KEY)
    np.testing.assert_allclose(gap - np.log(9000), integral.mean(), atol=0.1)


def test_cqls_learned_weight():
    """With β = exp(0.7): it scales the penalty, and its loss is -β (w gap - τ)."""
    plain, learned = CQL(samples=3, weight=2.0), CQL(samples=3, weight=2.0, lagrange=True, lagrange_gap=5.0)
    state, batch, _, _ = setting(plain, False, ("actor", "critics"), ("target_critics",))
    state = state.replace(log_weight=state.log_weight.replace(params={"value": jnp.float32(0.7)}))
    loss, metrics = plain.critic_loss(state.critics.params, state, batch, KEY)
    expected = metrics["td_loss"] + np.exp(0.7) * (loss - metrics["td_loss"])
    np.testing.assert_allclose(
        learned.critic_loss(state.critics.params, state, batch, KEY)[0], expected, rtol=1e-4
    )
    for gap, grows in ((3.0, True), (2.0, False)):
        weight_loss = jax.value_and_grad(lambda p, g=gap: learned.weight_loss(p, state, g)[0])
        value, slope = weight_loss(state.log_weight.params)
        assert float(value) == pytest.approx(-np.exp(0.7) * (2 * gap - 5), rel=1e-4)
        assert float(slope["value"]) == pytest.approx(float(value), rel=1e-4)
        assert (float(slope["value"]) < 0) == grows
    after, metrics = jax.jit(learned.update)(state, batch, KEY)
    moved = float(after.log_weight.params["value"]) - 0.7
    assert (moved > 0) == (2 * float(metrics["gap"]) > 5)
    assert abs(moved) == pytest.approx(learned.critic_learning_rate, rel=0.01)


def test_cqls_best_of_n_backup(with_cocoa):
    """Each target critic takes its own best action, then the lower of the two counts."""
    algorithm = CQL(discount=0.9, samples=6, max_q_backup=True)
    state, batch, s, b = setting(algorithm, with_cocoa, ("actor", "critics"), ("target_critics",))
    actions = state.actor(batch.next_observation).sample(KEY, 6)
    values = np.stack([oracle.critics(s.target_critics, b.next_observation, a) for a in np.asarray(actions)])
    next_q = oracle.lowest(values.max(axis=0))
    assert (next_q != values.min(axis=1).max(axis=0)).any()
    target = b.reward + 0.9 * np.where(b.terminal == 1, 0, next_q)
    np.testing.assert_allclose(algorithm.target(state, batch, KEY), target, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("algorithm", "decays"),
    [(SAC(), False), (MOPO(), True), (MOBILE(), True), (COMBO(), True), (CQL(), False)],
)
def test_only_the_policys_step_size_may_fall(algorithm, decays):
    state = algorithm.init(jax.random.key(0), make_networks(False), make_batch(False), 100)
    assert state.actor.optimizer.decay_updates == (100 if decays else None)
    assert state.critics.optimizer.decay_updates is state.log_alpha.optimizer.decay_updates is None


def test_cql_is_the_same_in_blocks(monkeypatch, with_cocoa):
    algorithm = CQL(samples=3, weight=2.0)
    state, batch, _, _ = setting(algorithm, with_cocoa, ("actor", "critics"), ("target_critics",))
    blocks = []
    monkeypatch.setattr(
        cql, "mean_over_blocks", lambda *args: blocks.append(args[-1]) or mean_over_blocks(*args)
    )
    loss = jax.value_and_grad(algorithm.critic_loss, has_aux=True)
    whole = loss(state.critics.params, state, batch, KEY)
    monkeypatch.setattr(cql, "_ROWS_AT_ONCE", 9 * 16)
    parts = loss(state.critics.params, state, batch, KEY)
    assert blocks == [1, 4]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), parts, whole)


def test_rows_are_divided_into_equal_blocks():
    assert [count_blocks(rows, 8) for rows in (5, 8, 16, 18, 20)] == [1, 1, 2, 3, 4]
    assert count_blocks(1009, 16) == 1
