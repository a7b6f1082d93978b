"""Fitted Q evaluation against values that are known, and its loss against a derivation of its own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle
from support.ingredients import ACTION_DIM, make_batch, make_networks, scatter, with_next_actions

from cocoa.algos import Batch
from cocoa.data import Dataset
from cocoa.selection.estimate import bounds, first_rows, fitted_values
from cocoa.selection.fqe import FittedQ
from cocoa.selection.settings import Selection

STATES, ACTIONS, DISCOUNT, LIMIT = 6, 2, 0.9, 5
TOLERANCE = 0.03
"""Of the range of all values: an optimizer with a constant step size does not come to rest."""


@pytest.fixture(scope="module")
def problem():
    """A random decision problem of six states, of which the last one ends an episode.

    Transition probabilities (S, A, S) and rewards (S, A).
    """
    rng = np.random.default_rng(1)
    return rng.dirichlet(np.ones(STATES), (STATES - 1, ACTIONS)), rng.uniform(-1, 3, (STATES - 1, ACTIONS))


def recorded(problem, episodes=1500):
    """Episodes of random actions that a time limit cuts after five steps, states and actions one-hot."""
    chances, rewards = problem
    rng = np.random.default_rng(2)
    rows = {name: [] for name in ("state", "action", "reward", "next", "terminal", "timeout")}
    for _ in range(episodes):
        state = rng.integers(STATES - 1)
        for step in range(LIMIT):
            action = rng.integers(ACTIONS)
            following = rng.choice(STATES, p=chances[state, action])
            terminal = following == STATES - 1
            timeout = step == LIMIT - 1 and not terminal
            values = (state, action, rewards[state, action], following, terminal, timeout)
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
            if terminal:
                break
            state = following
    rows = {name: np.array(values) for name, values in rows.items()}
    return Dataset.from_arrays(
        observations=np.eye(STATES)[rows["state"]],
        actions=one_hot_actions(rows["action"]),
        rewards=rows["reward"],
        terminals=rows["terminal"],
        timeouts=rows["timeout"],
        next_observations=np.eye(STATES)[rows["next"]],
    )


def one_hot_actions(actions):
    return 2.0 * np.eye(ACTIONS, dtype=np.float32)[actions] - 1


def exact(data, policy):
    """The values (S, A) of a deterministic policy (S,) if the recorded frequencies are the probabilities.

    They solve a linear system in float64. Fitted Q evaluation sees nothing else of the problem.
    """
    counts, rewards = np.zeros((STATES - 1, ACTIONS, STATES)), np.zeros((STATES - 1, ACTIONS))
    states, actions, following = (
        x.argmax(axis=1) for x in (data.observations, data.actions, data.next_observations)
    )
    np.add.at(counts, (states, actions, following), 1)
    np.add.at(rewards, (states, actions), data.rewards.astype(np.float64))
    chances, rewards = counts / counts.sum(-1, keepdims=True), rewards / counts.sum(-1)
    kept, own = chances[..., : STATES - 1], (np.arange(STATES - 1), policy)
    values = np.linalg.solve(np.eye(STATES - 1) - DISCOUNT * kept[own], rewards[own])
    return rewards + DISCOUNT * kept @ values


@pytest.mark.filterwarnings("ignore:.*terminals are step 5")
def test_it_finds_the_values_of_a_decision_problem(problem):
    """Of two policies at once; the time limits in the data end nothing."""
    data = recorded(problem)
    batch = Batch(
        data.observations,
        data.actions,
        data.rewards,
        data.terminals.astype(np.float32),
        data.next_observations,
    )
    policies = np.array([[0, 1, 0, 1, 0, 0], [1, 1, 1, 0, 1, 0]])
    next_actions = np.stack(
        [one_hot_actions(policy[data.next_observations.argmax(1)]) for policy in policies]
    )
    settings = Selection(updates=3000, discount=DISCOUNT, hidden=(32,), learning_rate=3e-3)
    values = fitted_values(data, batch, next_actions, settings)
    states, actions = np.divmod(np.arange((STATES - 1) * ACTIONS), ACTIONS)
    inputs = np.stack([one_hot_actions(actions)] * 2)
    found = values(np.eye(STATES, dtype=np.float32)[states], inputs).reshape(2, -1, ACTIONS)
    expected = np.stack([exact(data, policy[:-1]) for policy in policies])
    assert np.ptp(expected) > 5
    assert np.abs(expected[0] - expected[1]).max() > 1
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.ptp(expected))


def state_and_batch(with_cocoa):
    batch = with_next_actions(make_batch(with_cocoa))
    algorithm = FittedQ(discount=0.8, low=-0.5, high=0.6)
    state = algorithm.init(jax.random.key(0), make_networks(with_cocoa), batch, 10)
    return algorithm, scatter(state, ("critic",), ("target_critic",)), batch


def test_the_loss_is_what_its_docstring_says(with_cocoa):
    algorithm, state, batch = state_and_batch(with_cocoa)
    numbers = oracle.to_numpy(vars(batch) | {"observation": 0, "next_observation": 0})
    pairs = [
        jax.tree.map(lambda x: np.asarray(x, np.float64), x)
        for x in (batch.observation, batch.next_observation)
    ]
    next_q = oracle.value(oracle.to_numpy(state.target_critic), pairs[1], numbers["next_action"])
    target = np.clip(numbers["reward"] + 0.8 * (1 - numbers["terminal"]) * next_q, -0.5, 0.6)
    assert 0.1 < np.isin(target, [-0.5, 0.6]).mean() < 0.9

    def derived(params):
        q = oracle.value(params, pairs[0], numbers["action"])
        return ((target - q) ** 2).mean()

    loss, metrics = algorithm.critic_loss(state.critic.params, state, batch)
    np.testing.assert_allclose(loss, derived(oracle.to_numpy(state.critic.params)), rtol=1e-5)
    np.testing.assert_allclose(metrics["critic_loss"], loss)
    oracle.assert_slope(
        lambda params: algorithm.critic_loss(params, state, batch)[0], state.critic.params, derived
    )


def test_an_update_moves_nothing_but_the_critic_and_its_target():
    algorithm, state, batch = state_and_batch(False)
    moved, _ = algorithm.update(state, batch, jax.random.key(0))
    rate = algorithm.target_rate
    for old, new, online in zip(
        *map(jax.tree.leaves, (state.target_critic, moved.target_critic, moved.critic.params)), strict=True
    ):
        np.testing.assert_allclose(new, (1 - rate) * old + rate * online, rtol=1e-5, atol=1e-7)
    gradient = jax.grad(
        lambda action: algorithm.critic_loss(state.critic.params, state, batch.replace(next_action=action))[0]
    )(batch.next_action)
    assert (gradient == 0).all()
    assert gradient.shape == (64, ACTION_DIM)


def test_values_stay_within_what_rewards_allow():
    for rewards, low, high in (([-1, 2], -10, 20), ([1, 2], 1, 20), ([-2, -1], -20, -1)):
        np.testing.assert_allclose(bounds(np.array(rewards, np.float32), 0.9), (low, high), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*terminals are step 5")
def test_first_rows_are_those_of_episodes(problem):
    data = recorded(problem, episodes=30)
    rows = first_rows(data)
    assert len(rows) == len(np.unique(data.episodes)) == 30
    assert (data.episodes[rows] == np.unique(data.episodes)).all()
    assert all(data.episodes[row - 1] != data.episodes[row] for row in rows[1:])


@pytest.mark.parametrize(
    ("field", "value"), [("updates", 0), ("discount", 1.0), ("target_rate", 0.0), ("episodes", "some")]
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(Selection(), **{field: value})


def test_it_learns_no_policy():
    algorithm, state, batch = state_and_batch(False)
    with pytest.raises(TypeError, match="learns no policy"):
        algorithm.act(state, batch.observation)
    assert jnp.isfinite(algorithm.action_value(state, batch.observation, batch.action)).all()
