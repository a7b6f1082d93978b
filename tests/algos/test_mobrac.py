"""MoBRAC: next actions of imagined transitions, and the target that they enter, in NumPy float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from support import oracle
from support.ingredients import (
    OBSERVATION_DIM,
    make_batch,
    make_networks,
    make_observe,
    scatter,
    with_next_actions,
)

from cocoa.algos.base import NextActionBatch, World
from cocoa.algos.mobrac import FollowedRollouts, MoBRAC
from cocoa.algos.rebrac import ReBRAC

KEY = jax.random.key(5)
SIZE, REAL = 64, 16
FIELDS = {
    "discount": 0.9,
    "policy_noise": 0.4,
    "noise_clip": 0.3,
    "actor_penalty": 0.7,
    "critic_penalty": 0.5,
}
ALGORITHM = MoBRAC(
    **FIELDS,
    real_ratio=0.25,
    rollout_length=3,
    rollout_starts=32,
    rollout_every=7,
    rollout_rounds=2,
    penalty_weight=0.3,
)


@struct.dataclass
class Halving:
    """Two members that halve the state, with the deviations 0.1 and 0.2; the reward is the first action."""

    def distribution(self, state, action):
        mean = jnp.concatenate([0.5 * state, action[..., :1]], axis=-1)
        return jnp.stack([mean, mean]), jnp.stack([jnp.full(mean.shape, 0.1), jnp.full(mean.shape, 0.2)])


@struct.dataclass
class WherePositive:
    """A step that arrives at a positive first number is the last."""

    def __call__(self, state, action, next_state):
        return next_state[..., 0] > 0


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "cocoa"])
def setting(request):
    """A policy, a state in general position, and a batch whose rollouts the policy made; rows of the data."""
    networks, data = make_networks(request.param), with_next_actions(make_batch(request.param, 200))
    world = World(Halving(), make_observe(request.param), WherePositive(), jnp.float32(1), jnp.float32(0))
    state = scatter(ALGORITHM.init(jax.random.key(0), networks, data, 100), ("actor",))
    source = ALGORITHM.source
    begun, taken = source.starts(KEY, 200), source.rows(KEY, SIZE, 200)
    assert len(taken) == REAL

    @jax.jit
    def draw(state):
        starts, real = jax.tree.map(lambda x: x[begun], data), jax.tree.map(lambda x: x[taken], data)
        act = partial(ALGORITHM.act, state)
        buffer = source.refresh(source.init(data), jnp.int32(0), act, starts, world, KEY)
        return source.draw(buffer, real, world, KEY, SIZE)

    batch = draw(state)
    new = scatter(state, ("actor", "critics"), ("target_actor", "target_critics"))
    action = new.actor(batch.next_observation, params=new.target_actor)
    then = new.critics(batch.next_observation, action, params=new.target_critics)
    return state, new.replace(target_critics=oracle.level(new.target_critics, then)), batch, taken, data


def test_imagined_transitions_hold_what_their_policy_did_next(setting):
    old, _, batch, taken, data = setting
    assert type(batch) is NextActionBatch
    s, b = oracle.to_numpy(old), oracle.to_numpy(batch)
    jax.tree.map(
        lambda whole, part: np.testing.assert_array_equal(np.asarray(part)[:REAL], np.asarray(whole)[taken]),
        data,
        batch,
    )
    action = oracle.deterministic_action(s.actor.params, b.observation)[REAL:]
    following = oracle.deterministic_action(s.actor.params, b.next_observation)[REAL:]
    np.testing.assert_allclose(b.action[REAL:], action, atol=1e-4)  # without noise
    np.testing.assert_allclose(b.next_action[REAL:], following, atol=1e-4)
    assert (b.next_action_known[REAL:] == 1).all()
    assert np.abs(following - action).max() > 0.1
    penalty = 0.3 * 0.2 * np.sqrt(OBSERVATION_DIM + 1)
    noise = b.reward[REAL:] - action[:, 0] + penalty
    assert abs(noise.mean()) < 0.1
    assert 0.05 < noise.std() < 0.25


def test_the_target_of_a_mixed_batch_equals_its_derivation(setting):
    _, state, batch, *_ = setting
    s, b = oracle.to_numpy(state), oracle.to_numpy(batch)
    noise = np.clip(0.4 * np.asarray(jax.random.normal(KEY, b.action.shape), np.float64), -0.3, 0.3)
    next_action = np.clip(oracle.deterministic_action(s.target_actor, b.next_observation) + noise, -1, 1)
    value = oracle.lowest(oracle.critics(s.target_critics, b.next_observation, next_action))
    distance = ((next_action - b.next_action) ** 2).sum(-1)
    value -= 0.5 * np.where((np.arange(SIZE) >= REAL) | (b.next_action_known == 1), distance, 0)
    assert 0 < b.terminal[REAL:].sum() < SIZE - REAL
    target = b.reward + 0.9 * np.where(b.terminal == 1, 0, value)
    np.testing.assert_allclose(ALGORITHM.target(state, batch, KEY), target, rtol=1e-3, atol=1e-4)


def test_its_rollouts_are_penalised_and_its_policy_has_layer_norm(setting):
    state = setting[1]
    shared = {"every": 7, "rounds": 2, "length": 3, "start_count": 32, "real_ratio": 0.25}
    assert ALGORITHM.source == FollowedRollouts(**shared, penalty="aleatoric", weight=0.3)
    for params in (state.actor.params, *state.critics.params.values()):
        assert any("LayerNorm" in name for name in params["MLP_0"])


def test_its_losses_are_rebracs():
    names = ("critic_loss", "actor_loss", "target", "next_value", "update", "act")
    assert all(getattr(MoBRAC, name) is getattr(ReBRAC, name) for name in names)
