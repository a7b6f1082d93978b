"""FQL's losses against derivations in NumPy float64, and what its parts do not touch."""

import dataclasses

import jax
import numpy as np
import pytest
from support import oracle
from support.ingredients import ACTION_DIM, make_batch, make_networks, scatter

from cocoa.algos.fql import FQL

KEY = jax.random.key(5)
MODELS = ("actor", "flow", "critics")


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "cocoa"])
def setting(request):
    """A state in general position; the policy leaves [-1, 1] at times, and either critic can be lowest."""
    algorithm = FQL(discount=0.9, alpha=0.7, flow_steps=4, learning_rate=0.01)
    batch = make_batch(request.param)
    networks = dataclasses.replace(make_networks(request.param), activation="gelu")
    state = algorithm.init(jax.random.key(0), networks, batch, 100)
    state = scatter(state, MODELS, ("target_critics",))
    for name in ("critics", "target_critics"):
        params = state.critics.params if name == "critics" else state.target_critics
        level = oracle.level(params, state.critics(batch.next_observation, batch.action, params=params))
        moved = state.critics.replace(params=level) if name == "critics" else level
        state = state.replace(**{name: moved})
    return algorithm, state, batch, oracle.to_numpy(state), oracle.to_numpy(batch)


def normal(key, batch):
    return np.asarray(jax.random.normal(key, batch.action.shape), np.float64)


def unbounded_action(params, observation, noise):
    return oracle.vector(params, observation, noise, activation=oracle.gelu)


def values(params, observation, action):
    return oracle.critics(params, observation, np.clip(action, -1, 1), oracle.gelu)


@pytest.mark.parametrize(("aggregation", "of"), [("mean", lambda q: q.mean(0)), ("min", oracle.lowest)])
def test_critics_regress_to_the_value_of_the_policys_next_action(setting, aggregation, of):
    algorithm, state, batch, s, b = setting
    action = unbounded_action(s.actor.params, b.next_observation, normal(KEY, batch))
    assert 0.1 < (np.abs(action) > 1).mean() < 0.9
    next_q = of(values(s.target_critics, b.next_observation, action))
    target = b.reward + 0.9 * np.where(b.terminal == 1, 0, next_q)
    q = values(s.critics.params, b.observation, b.action)
    algorithm = dataclasses.replace(algorithm, aggregation=aggregation)
    loss, _ = algorithm.critic_loss(state.critics.params, state, batch, KEY)
    np.testing.assert_allclose(loss, sum(np.mean((target - q_i) ** 2) for q_i in q), rtol=1e-3)
    said = algorithm.action_value(state, batch.observation, batch.action)
    np.testing.assert_allclose(said, of(q), rtol=1e-3, atol=1e-3)


def test_the_flow_matches_straight_ways_to_the_datas_actions(setting):
    algorithm, state, batch, s, b = setting
    noise_key, time_key = jax.random.split(KEY)
    noise = normal(noise_key, batch)
    time = np.asarray(jax.random.uniform(time_key, batch.reward.shape), np.float64)[:, None]
    x = (1 - time) * noise + time * b.action

    def derived(params):
        velocity = oracle.vector(params, b.observation, x, time, activation=oracle.gelu)
        return np.mean((velocity - (b.action - noise)) ** 2)

    def loss(params):
        return algorithm.flow_loss(params, state, batch, KEY)[0]

    np.testing.assert_allclose(loss(state.flow.params), derived(s.flow.params), rtol=1e-3)
    oracle.assert_slope(jax.jit(loss), state.flow.params, derived)


@pytest.mark.parametrize("normalize_q", [False, True])
def test_the_policy_stays_near_the_flow_and_follows_the_critics(setting, normalize_q):
    algorithm, state, batch, s, b = setting
    algorithm = dataclasses.replace(algorithm, normalize_q=normalize_q)
    noise = normal(KEY, batch)
    goal = noise
    for i in range(4):
        time = np.full((len(noise), 1), i / 4)
        goal = goal + oracle.vector(s.flow.params, b.observation, goal, time, activation=oracle.gelu) / 4
    assert 0.05 < (np.abs(goal) > 1).mean() < 0.95
    goal = np.clip(goal, -1, 1)

    def mean_value(params):
        return values(s.critics.params, b.observation, unbounded_action(params, b.observation, noise)).mean(0)

    size = np.abs(mean_value(s.actor.params)).mean()  # a constant: no gradient passes it
    weight = 1 / size if normalize_q else 1
    assert abs(size - 1) > 0.1  # so that the weight tells something

    def derived(params):
        distance = np.mean((unbounded_action(params, b.observation, noise) - goal) ** 2)
        return 0.7 * distance - weight * mean_value(params).mean()

    def loss(params):
        return algorithm.actor_loss(params, state, batch, KEY)[0]

    np.testing.assert_allclose(loss(state.actor.params), derived(s.actor.params), rtol=1e-3)
    oracle.assert_slope(jax.jit(loss), state.actor.params, derived)


@pytest.mark.parametrize("setting", [False], ids=["plain"], indirect=True)
def test_each_part_of_an_update_has_the_parameters_of_before_it(setting):
    algorithm, state, batch, _, _ = setting
    update = jax.jit(algorithm.update)
    after, metrics = update(state, batch, KEY)

    @jax.jit
    def losses(state):
        keys = jax.random.split(KEY, 3)
        models = state.critics, state.flow, state.actor
        losses = algorithm.critic_loss, algorithm.flow_loss, algorithm.actor_loss
        parts = zip(losses, models, keys, strict=True)
        return [loss(model.params, state, batch, key)[0] for loss, model, key in parts]

    names = "critic_loss", "flow_loss", "actor_loss"
    np.testing.assert_allclose([metrics[name] for name in names], losses(state), rtol=1e-4)
    moved = [abs(x - y) > 1e-3 for x, y in zip(losses(after), losses(state), strict=True)]
    assert all(moved)
    # Nothing of the policy's loss reaches the flow.
    other, _ = update(state.replace(critics=state.critics.replace(params=state.target_critics)), batch, KEY)
    jax.tree.map(np.testing.assert_array_equal, other.flow.params, after.flow.params)
    rate = algorithm.target_rate
    jax.tree.map(
        lambda old, online, new: np.testing.assert_allclose(new, (1 - rate) * old + rate * online, atol=1e-6),
        state.target_critics,
        after.critics.params,
        after.target_critics,
    )


def test_actions_are_drawn_by_a_key_and_bounded(setting):
    algorithm, state, batch, s, b = setting
    action = algorithm.act(state, batch.observation, KEY)
    expected = np.clip(unbounded_action(s.actor.params, b.observation, normal(KEY, batch)), -1, 1)
    np.testing.assert_allclose(action, expected, rtol=1e-3, atol=1e-4)
    row = jax.tree.map(lambda x: x[0], batch.observation)
    assert algorithm.act(state, row, KEY).shape == (ACTION_DIM,)
    with pytest.raises(ValueError, match="needs the key"):
        algorithm.act(state, batch.observation)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("aggregation", "max", "must be one of mean, min"), ("activation", "elu", "must be one of relu, gelu")],
)
def test_choices_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        FQL(**{field: value})
