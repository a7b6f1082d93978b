"""MOPO, MOBILE and COMBO against derivations in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from flax import struct
from support import oracle
from support.ingredients import (
    ACTION_DIM,
    OBSERVATION_DIM,
    Always,
    Shift,
    make_batch,
    make_networks,
    make_observe,
    scatter,
)

from cocoa.algos.base import Batch, World
from cocoa.algos.combo import COMBO
from cocoa.algos.mobile import MOBILE, ImaginedBatch, ImaginedRollouts
from cocoa.algos.mopo import MOPO
from cocoa.algos.rollouts import Buffer, MixedBatch, Rollouts
from cocoa.algos.sac import SAC
from cocoa.anchors.decomposition import Observe

SIZE, REAL, SAMPLES, MEMBERS = 48, 18, 3, 4
IMAGINED = SIZE - REAL
KEY = jax.random.key(5)
MODELS, TARGETS = ("actor", "critics"), ("target_critics",)


def mixed(with_cocoa):
    return MixedBatch(**vars(make_batch(with_cocoa, SIZE)), real=jnp.arange(SIZE) < REAL)


def setting(algorithm, with_cocoa):
    """A state in general position and a batch with next states, both also in NumPy."""
    states = np.random.default_rng(1).normal(size=(SAMPLES, MEMBERS, IMAGINED, OBSERVATION_DIM))
    imagined = make_observe(with_cocoa)(jnp.asarray(states, jnp.float32))
    batch = ImaginedBatch(**vars(mixed(with_cocoa)), imagined=imagined)
    state = algorithm.init(jax.random.key(0), make_networks(with_cocoa), batch, 100)
    state = scatter(state, MODELS, TARGETS)
    action = state.actor(batch.next_observation).mode()
    values = state.critics(batch.next_observation, action, params=state.target_critics)
    state = state.replace(target_critics=oracle.level(state.target_critics, values))
    return state, batch, oracle.to_numpy(state), oracle.to_numpy(batch)


def next_values(s, observation, key, alpha=0.0):
    """min_j Q̄_j - α log π (N,) of actions drawn from the policy, whose noise has the given shape."""
    rows = len(jax.tree.leaves(observation)[0])
    mean, log_std = oracle.squashed_distribution(s.actor.params, observation)
    noise = np.asarray(jax.random.normal(key, (rows, ACTION_DIM)), np.float64)
    u = mean + np.exp(log_std) * noise
    values = oracle.critics(s.target_critics, observation, np.tanh(u))
    value = oracle.lowest(values)
    return value - alpha * oracle.log_density_of_unsquashed(u, mean, log_std) if alpha else value


def derived_inconsistency(s, imagined, key):
    """Std_i E min_j Q̄_j by sums over samples and members; the noise is drawn for all rows at once."""
    noise_rows = jax.tree.map(lambda x: x.reshape(-1, x.shape[-1]), imagined)
    values = next_values(s, noise_rows, key).reshape(SAMPLES, MEMBERS, IMAGINED)
    expected = sum(values[k] for k in range(SAMPLES)) / SAMPLES
    center = sum(expected[i] for i in range(MEMBERS)) / MEMBERS
    return np.sqrt(sum((expected[i] - center) ** 2 for i in range(MEMBERS)) / (MEMBERS - 1))


def derived_target(s, b, weight, alpha, clamp):
    target_key, penalty_key = jax.random.split(KEY)
    value = next_values(s, b.next_observation, target_key, alpha)
    target = b.reward + 0.9 * np.where(b.terminal == 1, 0, value)
    target[REAL:] -= weight * derived_inconsistency(s, b.imagined, penalty_key)
    return np.where(target < 0, 0, target) if clamp else target


def test_mobiles_inconsistency_equals_its_derivation(with_cocoa):
    algorithm = MOBILE(samples=SAMPLES)
    state, batch, s, b = setting(algorithm, with_cocoa)
    found = algorithm.inconsistency(state, batch.imagined, KEY)
    expected = derived_inconsistency(s, b.imagined, KEY)
    assert expected.min() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_mobile_objects_to_negative_rewards_if_it_clamps():
    def objection(clamp, *rewards):
        batch = Batch(*[np.zeros(len(rewards))] * 5).replace(reward=np.array(rewards))
        return MOBILE(clamp_target=clamp).objection(batch)

    assert "algo.clamp_target=false" in objection(True, -3.0, 1.0)
    assert not objection(True, -1.0, 3.0)
    assert not objection(False, -3.0, 1.0)


@pytest.mark.parametrize("clamp", [False, True])
@pytest.mark.parametrize("deterministic_backup", [False, True])
def test_mobiles_target_and_loss_equal_their_derivations(deterministic_backup, clamp, with_cocoa):
    algorithm = MOBILE(
        discount=0.9,
        penalty_weight=2.5,
        samples=SAMPLES,
        clamp_target=clamp,
        deterministic_backup=deterministic_backup,
        initial_alpha=0.3,
    )
    state, batch, s, b = setting(algorithm, with_cocoa)
    target = derived_target(s, b, 2.5, 0.0 if deterministic_backup else 0.3, clamp)
    assert (target == 0).any() == clamp
    assert (target > 0).any()
    np.testing.assert_allclose(algorithm.target(state, batch, KEY), target, rtol=2e-3, atol=2e-3)

    def derived(params):
        return sum(((target - q) ** 2).mean() for q in oracle.critics(params, b.observation, b.action))

    loss, _ = algorithm.critic_loss(state.critics.params, state, batch, KEY)
    np.testing.assert_allclose(loss, derived(s.critics.params), rtol=2e-3)
    oracle.assert_slope(
        lambda p: algorithm.critic_loss(p, state, batch, KEY)[0], state.critics.params, derived
    )


def test_real_transitions_carry_no_penalty(with_cocoa):
    weak, strong = (
        MOBILE(penalty_weight=weight, samples=SAMPLES, clamp_target=False) for weight in (0.0, 4.0)
    )
    state, batch, _, _ = setting(weak, with_cocoa)
    difference = np.asarray(weak.target(state, batch, KEY) - strong.target(state, batch, KEY))
    assert (difference[:REAL] == 0).all()
    assert (difference[REAL:] > 0).all()


@pytest.mark.parametrize("algorithm", [MOBILE(samples=SAMPLES, deterministic_backup=False), COMBO(samples=3)])
def test_the_critic_loss_moves_nothing_but_the_critics(algorithm, with_cocoa):
    state, batch, _, _ = setting(algorithm, with_cocoa)

    def loss(target_critics, log_alpha, imagined, next_observation, reward):
        moved = state.replace(
            target_critics=target_critics, log_alpha=state.log_alpha.replace(params=log_alpha)
        )
        other = batch.replace(imagined=imagined, next_observation=next_observation, reward=reward)
        return algorithm.critic_loss(state.critics.params, moved, other, KEY)[0]

    inputs = state.target_critics, state.log_alpha.params, batch.imagined, batch.next_observation
    for gradient in jax.tree.leaves(jax.grad(loss, argnums=(0, 1, 2))(*inputs, batch.reward)):
        assert (gradient == 0).all()
    if isinstance(algorithm, MOBILE):
        actor = jax.grad(
            lambda p: algorithm.critic_loss(
                state.critics.params, state.replace(actor=state.actor.replace(params=p)), batch, KEY
            )[0]
        )(state.actor.params)
        assert all((gradient == 0).all() for gradient in jax.tree.leaves(actor))


def test_combo_pushes_down_on_the_whole_batch_and_up_on_the_data(with_cocoa):
    temperature = 2.0
    algorithm = COMBO(discount=0.9, samples=3, weight=2.0, penalty_temperature=temperature)
    state, batch, s, b = setting(algorithm, with_cocoa)
    target_key, gap_key = jax.random.split(KEY)
    actions, densities = oracle.proposals(
        s.actor.params, (b.observation, b.next_observation), gap_key, algorithm.samples
    )
    value = next_values(s, b.next_observation, target_key)
    target = b.reward + 0.9 * np.where(b.terminal == 1, 0, value)

    def brackets(params):
        values = np.stack([oracle.critics(params, b.observation, action) for action in actions])
        soft = temperature * scipy.special.logsumexp((values - densities[:, None]) / temperature, axis=0)
        q = oracle.critics(params, b.observation, b.action)
        return soft.mean(-1) - q[:, :REAL].mean(-1)

    def derived(params):
        q = oracle.critics(params, b.observation, b.action)
        return sum(((target - q_i) ** 2).mean() for q_i in q) + 2.0 * brackets(params).sum()

    q = state.critics(batch.observation, batch.action)
    gap = algorithm.gap(state.critics.params, state, batch, q, gap_key)
    np.testing.assert_allclose(gap, brackets(s.critics.params).mean(), rtol=1e-4)
    loss, metrics = algorithm.critic_loss(state.critics.params, state, batch, KEY)
    np.testing.assert_allclose(loss, derived(s.critics.params), rtol=1e-4)
    np.testing.assert_allclose(metrics["gap"], brackets(s.critics.params).mean(), rtol=1e-4)
    oracle.assert_slope(
        lambda p: algorithm.critic_loss(p, state, batch, KEY)[0], state.critics.params, derived
    )


def test_combo_needs_data_in_its_batches():
    with pytest.raises(ValueError, match="real_ratio"):
        COMBO(real_ratio=0.0)


@struct.dataclass
class Linear:
    """Members i expect (i + 1) s + 10 (i + 1) Σ a and the reward -7, with deviations `noise` x (i + 1)."""

    noise: float

    def distribution(self, state, action):
        last = 10 * action.sum(axis=-1, keepdims=True)
        means = [(i + 1) * jnp.concatenate([state + last, -7 + 0 * last], -1) for i in range(MEMBERS)]
        stds = [jnp.full_like(means[0], self.noise * (i + 1)) for i in range(MEMBERS)]
        return jnp.stack(means), jnp.stack(stds)


def drawn(with_cocoa, noise, real_ratio=0.375, size=SIZE, samples=SAMPLES):
    observe = Observe(
        jnp.array([1.0, -2.0, 0.5]), jnp.array([2.0, 0.5, 4.0]), Shift() if with_cocoa else None
    )
    world = World(Linear(noise), observe, Always(), jnp.float32(1), jnp.float32(0))
    data = make_batch(with_cocoa)
    source = MOBILE(
        samples=samples, real_ratio=real_ratio, rollout_starts=8, rollout_length=2, rollout_rounds=2
    ).source
    rows = make_batch(with_cocoa, 2 * 16, seed=7)
    rows = jax.tree.map(lambda x: x.reshape(2, 16, *x.shape[1:]), rows)
    buffer = Buffer(rows, jnp.array([5, 16]), {})
    rows_key, draw_key = jax.random.split(KEY)
    chosen = source.rows(rows_key, size, len(data.reward))
    batch = source.draw(buffer, jax.tree.map(lambda x: x[chosen], data), world, draw_key, size)
    state = np.asarray(world.state(batch.observation), np.float64)
    members = np.arange(1, MEMBERS + 1)[:, None, None]
    expected = members * (state + 10 * np.asarray(batch.action).sum(-1, keepdims=True))
    return batch, world.state(batch.imagined), expected, observe


def test_imagined_states_follow_on_the_transitions_that_are_not_real(with_cocoa):
    batch, states, expected, observe = drawn(with_cocoa, noise=0.0)
    assert isinstance(batch, ImaginedBatch)
    assert int(batch.real.sum()) == REAL
    assert states.shape == (SAMPLES, MEMBERS, IMAGINED, OBSERVATION_DIM)
    np.testing.assert_allclose(states, np.stack([expected[:, REAL:]] * SAMPLES), rtol=1e-4, atol=1e-3)
    wanted = observe(jnp.asarray(states))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), batch.imagined, wanted)
    only_imagined, states, *_ = drawn(with_cocoa, noise=0.0, real_ratio=0.0)
    assert states.shape[2] == SIZE == len(only_imagined.reward)


def test_imagined_states_are_independent_draws():
    _, states, expected, _ = drawn(False, noise=0.3, size=400, samples=30)
    real = expected.shape[1] - states.shape[2]
    noise = (np.asarray(states, np.float64) - expected[:, real:]) / (
        0.3 * np.arange(1, MEMBERS + 1)[:, None, None]
    )
    assert scipy.stats.kstest(noise.reshape(-1)[::7], "norm").pvalue > 1e-3
    for axis in range(4):
        first, second = np.take(noise, 0, axis).reshape(-1), np.take(noise, 1, axis).reshape(-1)
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


OPTIONS = {
    **{"rollout_every": 7, "rollout_rounds": 2, "rollout_length": 3, "rollout_starts": 5},
    **{"real_ratio": 0.3, "penalty_weight": 1.25},
}


def test_mopos_rollouts_are_penalised_and_mobiles_are_not():
    shared = {"every": 7, "rounds": 2, "length": 3, "start_count": 5, "real_ratio": 0.3}
    mopo = MOPO(**OPTIONS, penalty="pairwise").source
    assert mopo == Rollouts(**shared, penalty="pairwise", weight=1.25)
    assert type(mopo) is Rollouts
    assert MOBILE(**OPTIONS, samples=6).source == ImaginedRollouts(**shared, samples=6)


def test_mopo_refuses_a_penalty_that_there_is_not():
    with pytest.raises(ValueError, match="penalty=variance must be one of aleatoric, pairwise, deviation"):
        MOPO(penalty="variance")


def test_mopo_learns_as_sac_does(with_cocoa):
    plain = {"discount": 0.9, "initial_alpha": 0.3, "actor_learning_rate": 0.01, "cosine_schedule": True}
    mopo, sac = MOPO(**plain, **OPTIONS), SAC(**plain)
    batch = mixed(with_cocoa)
    state = sac.init(jax.random.key(0), make_networks(with_cocoa), batch, 100)
    jax.tree.map(
        np.testing.assert_array_equal,
        mopo.init(jax.random.key(0), make_networks(with_cocoa), batch, 100),
        state,
    )
    state = scatter(state, MODELS, TARGETS)
    found, expected = (jax.jit(algorithm.update)(state, batch, KEY) for algorithm in (mopo, sac))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)
