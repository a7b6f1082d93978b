"""ReBRAC's losses against derivations in NumPy float64; next actions and the best episodes of a dataset."""

import jax
import numpy as np
import pytest
from support import oracle
from support.ingredients import make_batch, make_networks, scatter, with_next_actions

from cocoa import data
from cocoa.algos.rebrac import ReBRAC
from cocoa.data import Dataset, best_episodes, normalized_batch
from cocoa.data.preprocessing import DataConfig
from cocoa.errors import DataError

KEY = jax.random.key(5)
ALGORITHM = ReBRAC(
    discount=0.9,
    policy_noise=0.4,
    noise_clip=0.3,
    actor_penalty=0.7,
    critic_penalty=0.5,
    actor_learning_rate=0.01,
)


@pytest.fixture
def setting(with_cocoa):
    batch = with_next_actions(make_batch(with_cocoa))
    state = ALGORITHM.init(jax.random.key(0), make_networks(with_cocoa), batch, 100)
    state = scatter(state, ("actor", "critics"), ("target_actor", "target_critics"))
    now = state.critics(batch.observation, state.actor(batch.observation))
    action = state.actor(batch.next_observation, params=state.target_actor)
    then = state.critics(batch.next_observation, action, params=state.target_critics)
    critics = state.critics.replace(params=oracle.level(state.critics.params, now))
    return state.replace(critics=critics, target_critics=oracle.level(state.target_critics, then)), batch


def derived_target(state, batch):
    s, b = oracle.to_numpy(state), oracle.to_numpy(batch)
    noise = np.clip(0.4 * np.asarray(jax.random.normal(KEY, b.action.shape), np.float64), -0.3, 0.3)
    next_action = np.clip(oracle.deterministic_action(s.target_actor, b.next_observation) + noise, -1, 1)
    values = oracle.critics(s.target_critics, b.next_observation, next_action)
    assert 0.2 < np.mean(values[0] < values[1]) < 0.8
    value = values.min(0)
    distance = ((next_action - b.next_action) ** 2).sum(-1)
    value -= np.where(b.next_action_known == 1, 0.5 * distance, 0)
    return b.reward + 0.9 * np.where(b.terminal == 1, 0, value)


def policy_terms(params, state, batch):
    s, b = oracle.to_numpy(state), oracle.to_numpy(batch)
    action = oracle.deterministic_action(params, b.observation)
    q = oracle.critics(s.critics.params, b.observation, action)
    assert 0.2 < np.mean(q[0] < q[1]) < 0.8
    return ((action - b.action) ** 2).sum(-1).mean(), q.min(0)


def test_critic_loss_equals_its_derivation(setting):
    state, batch = setting
    b = oracle.to_numpy(batch)
    target = derived_target(state, batch)

    def derived(params):
        return sum(((target - q) ** 2).mean() for q in oracle.critics(params, b.observation, b.action))

    loss, _ = ALGORITHM.critic_loss(state.critics.params, state, batch, KEY)
    np.testing.assert_allclose(loss, derived(oracle.to_numpy(state.critics.params)), rtol=1e-4)
    oracle.assert_slope(
        lambda p: ALGORITHM.critic_loss(p, state, batch, KEY)[0], state.critics.params, derived
    )


def test_actor_loss_equals_its_derivation_with_a_constant_weight(setting):
    state, batch = setting
    cloning, q = policy_terms(oracle.to_numpy(state.actor.params), state, batch)
    weight = 1 / np.abs(q).mean()
    loss, metrics = ALGORITHM.actor_loss(state.actor.params, state, batch)
    np.testing.assert_allclose(loss, 0.7 * cloning - weight * q.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["cloning_loss"], cloning, rtol=1e-4)

    def derived(params):
        cloning, q = policy_terms(params, state, batch)
        return 0.7 * cloning - weight * q.mean()

    oracle.assert_slope(lambda p: ALGORITHM.actor_loss(p, state, batch)[0], state.actor.params, derived)


def test_next_actions_that_are_not_known_do_not_matter(setting):
    state, batch = setting
    values = ALGORITHM.next_value(state, batch, KEY)
    moved = ALGORITHM.next_value(state, batch.replace(next_action=batch.next_action + 0.5), KEY)
    np.testing.assert_array_equal(np.asarray(values == moved), np.asarray(batch.next_action_known == 0))


def test_layer_norm_is_in_the_critics_alone(setting):
    state, _ = setting
    for params in (state.critics.params, state.target_critics):
        for critic in params.values():
            layers, norms = (
                [name.removeprefix(kind) for name in critic["MLP_0"] if name.startswith(kind)]
                for kind in ("Dense_", "LayerNorm_")
            )
            assert sorted(layers) == sorted(norms)
            assert layers
    for params in (state.actor.params, state.target_actor):
        assert not any("LayerNorm" in name for name in params["MLP_0"])


TERMINALS, TIMEOUTS = np.arange(8) == 1, np.arange(8) == 4


def steps(stored, constant=False):
    """Eight steps: a terminal in row 1, a timeout in row 4 and a tail; action and reward tell of the row."""
    observations = np.arange(9.0)[:, None] * (not constant)
    return Dataset.from_arrays(
        observations=observations[:-1],
        actions=0.1 * np.arange(1, 9)[:, None],
        rewards=np.arange(8.0),
        terminals=TERMINALS,
        timeouts=TIMEOUTS,
        next_observations=observations[1:] if stored else None,
    )


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    ("stored", "rows", "known"),
    [(True, range(8), (0, 2, 3, 5, 6)), (False, (0, 1, 2, 3, 5, 6), (0, 2, 5))],
)
def test_next_actions_are_known_within_an_episode(stored, rows, known, constant):
    dataset = steps(stored, constant)
    batch, _ = normalized_batch(dataset, DataConfig())
    found = data.with_next_actions(batch, dataset)
    assert found.reward.tolist() == list(rows)
    assert found.next_action_known.tolist() == [float(row in known) for row in rows]
    expected = [0.1 * (row + 2) if row in known else 0 for row in rows]
    np.testing.assert_allclose(found.next_action[:, 0], expected, rtol=1e-6)
    assert found.next_action.dtype == found.next_action_known.dtype == np.float32
    for name, value in vars(batch).items():
        assert getattr(found, name) is value


def test_next_actions_are_on_the_scale_of_the_networks():
    dataset = steps(True)
    batch, _ = normalized_batch(dataset, DataConfig())
    found = data.with_next_actions(batch.replace(action=-2 * batch.action), dataset)
    np.testing.assert_allclose(found.next_action[0], -0.4, rtol=1e-6)


RETURNS = (5.0, 1.0, 9.0, 3.0, 7.0)


def five_episodes(returns=RETURNS, stored=True):
    """Three steps each, of which the first pays; the last episode is cut by the end of the recording."""
    rewards = np.column_stack([returns, np.zeros((len(returns), 2))]).reshape(-1)
    count = len(rewards)
    last = np.arange(count) % 3 == 2
    terminals = last & (np.arange(count) // 3 == 0)
    return Dataset.from_arrays(
        observations=np.arange(count)[:, None],
        actions=np.linspace(-1, 1, count)[:, None],
        rewards=rewards,
        terminals=terminals,
        timeouts=last & ~terminals & (np.arange(count) < count - 1),
        next_observations=np.arange(1, count + 1)[:, None] if stored else None,
    )


def test_all_episodes_are_the_dataset_itself():
    dataset = five_episodes()
    assert best_episodes(dataset, 1.0) is dataset


@pytest.mark.parametrize(
    ("share", "kept"),
    [(0.01, [2]), (0.2, [2]), (0.39, [2]), (0.4, [2, 4]), (0.6, [0, 2, 4]), (0.99, [0, 2, 3, 4])],
)
@pytest.mark.parametrize("stored", [True, False])
def test_the_episodes_with_the_highest_returns_are_kept_whole(share, kept, stored):
    dataset = five_episodes(stored=stored)
    best = best_episodes(dataset, share)
    rows = np.flatnonzero(np.isin(dataset.episodes, kept))
    fields = ("observations", "actions", "rewards", "terminals", "next_observations", "next_observed")
    for name in fields:
        np.testing.assert_array_equal(getattr(best, name), getattr(dataset, name)[rows])
    numbers = {old: new for new, old in enumerate(kept)}
    assert best.episodes.tolist() == [numbers[number] for number in dataset.episodes[rows]]
    assert best.episodes.dtype == dataset.episodes.dtype
    assert best.episode_returns.tolist() == [RETURNS[number] for number in kept]
    assert best.complete.tolist() == [number != 4 for number in kept]
    assert (best.name, best.env) == (dataset.name, dataset.env)
    assert best.sha256 == dataset.of_episodes(np.array(kept)).sha256
    assert len({part.sha256 for part in (best, dataset, dataset.of_episodes(np.array([0])))}) == 3


def test_of_equal_returns_the_earlier_are_kept():
    best = best_episodes(five_episodes(returns=(1, 2, 2, 2, 1)), 0.4)
    assert np.unique(best.observations // 3).tolist() == [1, 2]


def test_a_share_is_not_short_of_an_episode_by_rounding():
    best = best_episodes(five_episodes(returns=range(100)), 0.57)
    assert len(best.complete) == 57


@pytest.mark.filterwarnings("ignore:.*rows are left out")
def test_a_best_episode_without_a_whole_transition_is_refused_alone_and_counted_among_others():
    columns = {"observations": np.arange(5)[:, None], "actions": np.zeros((5, 1)), "rewards": [9, 1, 1, 2, 2]}
    dataset = Dataset.from_arrays(**columns, terminals=np.zeros(5), timeouts=[1, 0, 1, 0, 1])
    with pytest.raises(DataError, match="none of the 1 best episodes has a whole transition"):
        best_episodes(dataset, 0.34)
    best = best_episodes(dataset, 0.67)
    assert best.observations.tolist() == [[3]]
    assert best.episodes.tolist() == [1]
    assert best.episode_returns.tolist() == [9, 4]
