"""LEQ's rollouts, λ-returns, slopes and losses against derivations in NumPy float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from support import oracle
from support.ingredients import ACTION_DIM, OBSERVATION_DIM, make_batch, make_networks, make_observe, scatter

from cocoa.algos.base import World
from cocoa.algos.leq import LEQ
from cocoa.algos.networks import Adam
from cocoa.algos.networks.optimization import frozen
from cocoa.algos.rollouts import Buffer
from cocoa.algos.trajectories import ImaginingBatch, lambda_returns
from cocoa.anchors.decomposition import Decomposition
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.seeds import of_seed

KEY = jax.random.key(5)
ROLLOUTS, HORIZON, DISCOUNT, DECAY = 32, 4, 0.9, 0.8
ALGORITHM = LEQ(
    discount=DISCOUNT,
    return_decay=DECAY,
    return_length=HORIZON,
    critics=2,
    expectile=0.2,
    real_ratio=0.6,
    rollout_starts=16,
    rollout_length=2,
    rollout_rounds=2,
)
MIX = np.random.default_rng(3).normal(size=(OBSERVATION_DIM + ACTION_DIM, OBSERVATION_DIM))


@struct.dataclass
class Smooth:
    """A model without noise; what it says is also in `moved`, for NumPy."""

    def sample(self, state, action, key):
        return moved(jnp, state, action)


def moved(xp, state, action):
    after = xp.tanh(xp.concatenate([state, action], axis=-1) @ xp.asarray(MIX, state.dtype))
    return after, xp.sin(after.sum(axis=-1)) + (action**2).sum(axis=-1)


@struct.dataclass
class High:
    """Steps that arrive high are the last."""

    def __call__(self, state, action, next_state):
        return next_state[..., 0] > 0.8


def symlog(x):
    return np.sign(x) * np.log1p(np.abs(x))


def squeezed(params):
    """The parameters of networks as the oracle knows them, where their encoder has been unpacked."""
    if not isinstance(params, dict):
        return params
    params = {name: squeezed(value) for name, value in params.items()}
    return params | params.pop("SqueezedEncoder_0", {})


def policy(params, observation):
    return oracle.deterministic_action(squeezed(params), jax.tree.map(symlog, observation))


def critics(params, observation, action):
    return oracle.critics(squeezed(params), jax.tree.map(symlog, observation), symlog(action))


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "cocoa"])
def setting(request):
    """A state in general position, a batch and its rollouts; the state and the batch also in NumPy."""
    data, observe = make_batch(request.param, ROLLOUTS), make_observe(request.param)
    world = World(Smooth(), observe, High(), jnp.float32(2), jnp.float32(-0.5))
    state = ALGORITHM.init(jax.random.key(0), make_networks(request.param), data, 100)
    state = scatter(state, ("actor", "critics"), ("target_critics",))
    values = state.critics(data.observation, state.actor(data.observation))
    state = state.replace(critics=state.critics.replace(params=oracle.level(state.critics.params, values)))
    batch = ImaginingBatch(
        **vars(data), starts=make_batch(request.param, ROLLOUTS, 4).observation, world=world
    )
    paths = jax.jit(ALGORITHM.imagine)(state, batch, KEY)
    s, b = oracle.to_numpy(state), oracle.to_numpy(batch.replace(world=None))
    return state, batch, paths, s, b


def leaves(observation):
    return np.concatenate([np.asarray(x) for x in jax.tree.leaves(observation)], axis=-1)


def states_of(observation):
    return observation if isinstance(observation, np.ndarray) else observation.anchor + observation.delta


def observed(state, like, anchors):
    """The observation of a state; anchors do not move with it where they are given."""
    if isinstance(like, np.ndarray):
        return state
    anchor = 0.5 * state + 0.1 if anchors is None else anchors
    return Decomposition(anchor, state - anchor)


def path_of(s, start, steps, nudge=0.0, anchors=None):
    """States, actions, values, rewards (..., B) and which steps are the last, of rollouts in NumPy.

    The first action is moved by `nudge`.
    """
    state, path = states_of(start), []
    for t in range(steps + 1):
        observation = observed(state, start, None if anchors is None else anchors[t])
        action = policy(s.actor.params, observation) + (nudge if t == 0 else 0)
        value = critics(s.critics.params, observation, action).min(0)
        after, reward = moved(np, state, action)
        path.append((observation, action, value, 2 * reward - 0.5, after[:, 0] > 0.8))
        state = after
    return path


def direct_returns(values, rewards, last, decay=DECAY, there=True):
    """The mean of n-step returns from the first step, weighted by λⁿ, each of them summed up.

    values (H + 1, B); rewards, `last` and `there`, which steps there are, (H, B).
    """
    there, total = np.broadcast_to(there, rewards.shape), 0.0
    for n in range(len(values)):
        alive, moving = np.ones((2, *values[0].shape), bool)
        collected, ahead = np.zeros(values[0].shape), values[0]
        for t in range(n):
            moving = moving & alive & there[t]
            collected = collected + np.where(moving, DISCOUNT**t * rewards[t], 0)
            ahead = np.where(moving, DISCOUNT ** (t + 1) * values[t + 1], ahead)
            alive = alive & ~(moving & last[t])
        total = total + decay**n * (collected + np.where(alive, ahead, 0))
    return total / sum(decay**n for n in range(len(values)))


@pytest.mark.parametrize("decay", [0.0, 0.7, 1.0])
def test_lambda_returns_are_means_of_all_n_step_returns(decay):
    rng = np.random.default_rng(0)
    values, rewards = rng.normal(size=(HORIZON + 1, 400)), rng.normal(size=(HORIZON, 400))
    last, there = rng.random((HORIZON, 400)) < 0.2, rng.random((HORIZON, 400)) < 0.8
    found = lambda_returns(*map(jnp.asarray, (values, rewards, last * 1.0, there)), DISCOUNT, decay)
    for t in range(HORIZON + 1):
        expected = direct_returns(values[t:], rewards[t:], last[t:], decay, there[t:])
        np.testing.assert_allclose(found[t], expected, rtol=1e-4, atol=1e-5)
    if decay == 0:
        np.testing.assert_allclose(found, values, rtol=1e-5)


def columns(path):
    """The values (H + 1, B) of a path, and its rewards and last steps (H, B)."""
    _, _, values, rewards, last = (np.stack(x) if i > 1 else x for i, x in enumerate(zip(*path, strict=True)))
    return values, rewards[:-1], last[:-1]


def test_rollouts_and_their_returns_equal_their_derivations(setting):
    _, _, paths, s, b = setting
    path = path_of(s, b.starts, HORIZON)
    values, rewards, last = columns(path)
    alive = np.append(np.ones((1, ROLLOUTS), bool), np.cumprod(~last, axis=0).astype(bool), axis=0)
    assert 0 < alive[-1].sum() < ROLLOUTS
    np.testing.assert_array_equal(paths.going, alive)
    for t in range(HORIZON + 1):
        rows = alive[t]
        for found, expected in ((paths.observation, path[t][0]), (paths.action, path[t][1])):
            np.testing.assert_allclose(leaves(found)[t][rows], leaves(expected)[rows], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(paths.value[t][rows], values[t][rows], rtol=5e-3, atol=5e-3)
        expected = direct_returns(values[t:], rewards[t:], last[t:])
        np.testing.assert_allclose(paths.returns[t][rows], expected[rows], rtol=5e-3, atol=5e-3)


def test_slopes_are_those_of_returns_as_one_action_moves(setting):
    """Rewards, models, critics and later actions pass the change on; anchors do not move."""
    _, _, paths, s, b = setting
    path = path_of(s, b.starts, HORIZON)
    direction = np.random.default_rng(2).normal(size=(HORIZON + 1, ROLLOUTS, ACTION_DIM))
    alive = np.asarray(paths.going)
    assert (np.asarray(paths.slope)[~alive] == 0).all()
    for t in range(HORIZON + 1):
        start = path[t][0]
        anchors = None if isinstance(start, np.ndarray) else [step[0].anchor for step in path[t:]]
        ends = [
            direct_returns(*columns(path_of(s, start, HORIZON - t, h * direction[t], anchors)))
            for h in (1e-6, -1e-6)
        ]
        expected = (ends[0] - ends[1]) / 2e-6
        found = (np.asarray(paths.slope)[t] * direction[t]).sum(-1)
        rows = alive[t] & (np.abs(expected) < 1e3)  # not where an end is crossed
        assert np.abs(expected[rows]).max() > 0.1
        np.testing.assert_allclose(found[rows], expected[rows], rtol=2e-2, atol=1e-2)


@struct.dataclass
class Breaking:
    """`Smooth`, but for high states, which lead out of the range of numbers."""

    def sample(self, state, action, key):
        after, reward = moved(jnp, state, action)
        return after * jnp.where(state[:, :1] > 0.8, jnp.inf, 1.0), reward


@pytest.mark.parametrize("setting", [False], ids=["plain"], indirect=True)
def test_a_model_that_leaves_the_range_of_numbers_stops_its_own_rollouts_alone(setting):
    state, batch, *_ = setting

    def paths(model):
        world = batch.world.replace(model=model, terminated=Forever())
        return jax.jit(ALGORITHM.imagine)(state, batch.replace(world=world), KEY)

    found, others = paths(Breaking()), paths(Smooth())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    broken = ~np.asarray(found.going[-1])
    assert 0 < broken.sum() < ROLLOUTS
    last = np.asarray(found.going).sum(axis=0)[broken] - 1
    returns, values = (np.asarray(x)[last, broken] for x in (found.returns, found.value))
    np.testing.assert_array_equal(returns, values)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x[:, ~broken], y[:, ~broken], rtol=1e-4, atol=1e-5),
        found,
        others,
    )


def around(paths):
    """Rollouts whose returns are above and below the values."""
    noise = np.random.default_rng(6).normal(size=paths.value.shape)
    return paths.replace(returns=paths.value + jnp.asarray(noise, jnp.float32))


def test_critic_loss_equals_its_derivation(setting):
    state, batch, paths, s, b = setting
    paths = around(paths)
    p = oracle.to_numpy(paths)
    next_action = policy(s.actor.params, b.next_observation)
    following = critics(s.critics.params, b.next_observation, next_action)
    target = b.reward + DISCOUNT * np.where(b.terminal == 1, 0, oracle.lowest(following))
    flat = jax.tree.map(lambda x: x[:HORIZON].reshape(HORIZON * ROLLOUTS, -1), (p.observation, p.action))
    returns = p.returns[:HORIZON]
    weight = DISCOUNT ** np.arange(HORIZON)[:, None] * p.going[:HORIZON]

    def derived(params):
        total = 0.0
        both = [critics(one, b.observation, b.action) for one in (params, s.target_critics)]
        rolled = [critics(one, *flat) for one in (params, s.target_critics)]
        for i in range(2):
            total += 0.6 * (0.5 * (target - both[0][i]) ** 2 + (both[1][i] - both[0][i]) ** 2).mean()
            q, old = (one[i].reshape(HORIZON, ROLLOUTS) for one in rolled)
            share = np.where(returns < q, 0.8, 0.2)
            total += 0.4 * (weight * (share * (returns - q) ** 2 + (old - q) ** 2)).mean()
        return total

    @jax.jit
    def loss(params):
        return ALGORITHM.critic_loss(params, state, batch, paths, KEY)[0]

    np.testing.assert_allclose(loss(state.critics.params), derived(s.critics.params), rtol=1e-3)
    oracle.assert_slope(loss, state.critics.params, derived)


def test_the_critic_loss_moves_nothing_but_the_critics(setting):
    state, batch, paths, *_ = setting
    inputs = state.target_critics, state.actor.params, state.critics.params, batch.next_observation

    @jax.jit
    def loss(target_critics, actor, critics, next_observation):
        moved = state.replace(
            target_critics=target_critics,
            actor=state.actor.replace(params=actor),
            critics=state.critics.replace(params=critics),
        )
        other = batch.replace(next_observation=next_observation)
        return ALGORITHM.critic_loss(state.critics.params, moved, other, paths, KEY)[0]

    for gradient in jax.tree.leaves(jax.grad(loss, (0, 1, 2, 3))(*inputs)):
        assert (gradient == 0).all()


def test_actor_loss_equals_its_derivation(setting):
    """Its gradient is the sum of the weighted returns' along the policy (deterministic policy gradient)."""
    state, _, paths, s, _ = setting
    paths = around(paths)
    p = oracle.to_numpy(paths)
    rows = jax.tree.map(lambda x: x.reshape((HORIZON + 1) * ROLLOUTS, -1), p.observation)
    weight = np.where(p.returns < p.value, 0.8, 0.2)
    weight[-1] = 0.5
    assert 0.2 < (weight[:-1] == 0.2).mean() < 0.8

    def derived(params):
        action = policy(params, rows).reshape(HORIZON + 1, ROLLOUTS, ACTION_DIM)
        return -(weight[..., None] * p.slope * action).sum() / ROLLOUTS

    loss, _ = ALGORITHM.actor_loss(state.actor.params, state, paths)
    np.testing.assert_allclose(loss, derived(s.actor.params), rtol=1e-3)
    oracle.assert_slope(
        lambda params: ALGORITHM.actor_loss(params, state, paths)[0], state.actor.params, derived
    )


@pytest.mark.parametrize("setting", [False], ids=["plain"], indirect=True)
def test_critics_and_policy_learn_from_the_rollouts_of_before_the_update(setting):
    state, batch, *_ = setting
    state = state.replace(critics=state.critics.replace(optimizer=Adam(0.1)))
    after, metrics = jax.jit(ALGORITHM.update)(state, batch, KEY)

    @jax.jit
    def losses(critics):
        old = state.replace(critics=critics)
        paths = ALGORITHM.imagine(old, batch, jax.random.split(KEY)[0])
        loss = ALGORITHM.critic_loss(critics.params, old, batch, paths, KEY)[0]
        return loss, ALGORITHM.actor_loss(state.actor.params, old, paths)[0]

    before, later = losses(state.critics), losses(after.critics)
    np.testing.assert_allclose((metrics["critic_loss"], metrics["actor_loss"]), before, rtol=1e-4)
    assert abs(later[1] - before[1]) > 0.01 * abs(before[1])


def test_rollouts_start_where_those_of_the_buffer_have_been(setting):
    _, batch, *_ = setting
    source, data = ALGORITHM.source, make_batch(not isinstance(batch.observation, jax.Array), ROLLOUTS)
    kept = source.init(data).rows
    assert jax.tree.structure(kept) == jax.tree.structure(data.observation)
    labels = 100 * np.arange(2)[:, None] + np.arange(source.capacity)
    rows = jax.tree.map(lambda x: jnp.broadcast_to(labels[..., None], x.shape), kept)
    taken = source.rows(KEY, ROLLOUTS, 1000)
    assert len(taken) == ROLLOUTS
    assert len(np.unique(taken)) > ROLLOUTS / 2
    drawn = source.draw(Buffer(rows, jnp.array([3, 5]), {}), data, batch.world, KEY, 200)
    assert set(np.unique(leaves(drawn.starts)).tolist()) == {0, 1, 2, 100, 101, 102, 103, 104}
    assert drawn.reward is data.reward


@pytest.mark.parametrize("setting", [False], ids=["plain"], indirect=True)
def test_rollouts_start_in_held_out_states_where_losses_are_of_these(setting):
    state, batch, *_ = setting
    held_out = jax.jit(lambda batch: ALGORITHM.held_out(frozen(state), batch, KEY))
    found = held_out(batch)
    assert found == held_out(batch.replace(starts=batch.starts + 1))
    other = held_out(batch.replace(observation=batch.observation + 1))
    assert abs(found["lambda_return"] - other["lambda_return"]) > 0.01


@pytest.mark.parametrize(("length", "decay"), [(10, 1e-3), (4, 1e-8), (200, 0.5)])
def test_weights_that_vanish_in_float32_are_refused(length, decay):
    with pytest.raises(ValueError, match="so small that the last of return_length="):
        LEQ(return_length=length, return_decay=decay)
    LEQ(return_length=1, return_decay=decay)


def test_slopes_are_not_zero_at_the_smallest_decay_that_is_taken(setting):
    algorithm = dataclasses.replace(ALGORITHM, return_decay=1e-6)
    state, batch, *_ = setting
    paths = algorithm.imagine(state, batch, KEY)
    assert (np.abs(paths.slope)[paths.going].sum(axis=-1) > 1e-4).all()


def test_the_policys_noise_is_before_its_tanh(setting):
    state, batch, _, s, b = setting
    algorithm = dataclasses.replace(ALGORITHM, exploration=0.5)
    draws = jax.vmap(lambda key: algorithm.act(state, batch.observation, key))(jax.random.split(KEY, 2000))
    expected = np.arctanh(policy(s.actor.params, b.observation))
    near = np.abs(expected) < 2  # farther out float32 has no room for the noise
    assert near.mean() > 0.3
    before = np.arctanh(np.asarray(draws, np.float64)[:, near])
    np.testing.assert_allclose(before.mean(0), expected[near], atol=0.06)
    np.testing.assert_allclose(before.std(0), 0.5, atol=0.04)


def test_the_step_size_of_the_policy_alone_decays():
    algorithm = LEQ(actor_learning_rate=1e-3, critic_learning_rate=2e-3)
    state = algorithm.init(KEY, make_networks(False), make_batch(False, 2), 100)
    assert (state.actor.optimizer, state.critics.optimizer) == (Adam(1e-3, 100), Adam(2e-3))


@struct.dataclass
class Noisy:
    """Nothing moves; rewards are normal."""

    def distribution(self, state, action):
        mean = jnp.concatenate([state, jnp.zeros((len(state), 1))], axis=-1)
        return mean[None], jnp.zeros_like(mean[None])

    def sample(self, state, action, key):
        return state, jax.random.normal(key, state.shape[:1])


@struct.dataclass
class Forever:
    """No step is the last."""

    def __call__(self, state, action, next_state):
        return jnp.zeros(len(state), bool)


def test_values_become_the_lower_expectile_of_returns():
    """Of r + γ Q with normal rewards: (r_τ) / (1 - γ), where r_τ = -0.861 is the expectile of N(0, 1)."""
    algorithm = LEQ(
        discount=0.5, return_length=1, expectile=0.1, real_ratio=0.0, critic_learning_rate=3e-3,
        target_rate=0.5, rollout_starts=64, rollout_length=1, rollout_rounds=1, cosine_schedule=False,
    )  # fmt: skip
    world = World(Noisy(), make_observe(False), Forever(), jnp.float32(1), jnp.float32(0))
    data = make_batch(False, 256)
    training = Training(TrainingJob(algorithm, make_networks(False), data, (3,), 600, 128, world))
    state, _ = training.chunk(training.init(), 0, 600)
    learner = of_seed(state.learner, 0)
    value = learner.critics(data.observation, learner.actor(data.observation))
    assert float(value.mean()) == pytest.approx(-0.861 / (1 - 0.5), abs=0.2)
