"""What model rollouts leave in the buffer, and how batches are drawn from it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import struct
from support.ingredients import ACTION_DIM, OBSERVATION_DIM, Shift

from cocoa.algos import REGISTRY, Batch, rollouts
from cocoa.algos.base import World
from cocoa.algos.rollouts import Buffer, MixedBatch, ModelBased, Rollouts
from cocoa.anchors.decomposition import Observe

ROWS, LENGTH, STARTS = 10, 3, 32
MEAN, STD = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 4.0])
KEY = jax.random.key(3)


@struct.dataclass
class Counter:
    """States (name, steps done, a number that actions and members move): two members, without noise.

    Members differ by `apart` x (1 + name) in the last. In their second step rollouts of odd names turn to NaN
    in the members `lost`.
    """

    apart: float = 0.0
    lost: tuple[int, ...] = struct.field(pytree_node=False, default=())

    def distribution(self, state, action):
        name, steps, number = state.T
        reward, moved = name + 10 * steps + 0.1 * action[:, 0], number + action.sum(axis=-1)
        gone = (jnp.round(name) % 2 == 1) & (steps > 0.5)
        shifts = (-0.5 * self.apart * (1 + name), 0.5 * self.apart * (1 + name))
        members = [jnp.stack([name, steps + 1, moved + shift, reward], axis=-1) for shift in shifts]
        for index in self.lost:
            members[index] = jnp.where(gone[:, None], jnp.nan, members[index])
        return jnp.stack(members), jnp.zeros((2, len(state), OBSERVATION_DIM + 1))


@struct.dataclass
class Lifetime:
    """The rollout of a name ends when name % 4 + 1 steps are done."""

    def __call__(self, state, action, next_state):
        return next_state[..., 1] > jnp.round(state[..., 0]) % 4 + 0.5


def lifetimes(names):
    return names % 4 + 1


def make_world(with_cocoa, model=None, scale=1.0, shift=0.0):
    observe = Observe(jnp.asarray(MEAN), jnp.asarray(STD), Shift() if with_cocoa else None)
    return World(model or Counter(), observe, Lifetime(), jnp.float32(scale), jnp.float32(shift))


def make_data(world):
    rng = np.random.default_rng(0)
    states = np.stack([np.arange(ROWS), np.zeros(ROWS), rng.normal(size=ROWS)], axis=-1)
    action = rng.uniform(-1, 1, (ROWS, ACTION_DIM))
    rows = Batch(world.observe(states), action, 1000 + np.arange(ROWS), np.zeros(ROWS), world.observe(states))
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), rows)


def act(observation, key):
    """The first dimension tells of the observation, the second of the key."""
    first = jnp.tanh(sum(leaf.sum(axis=-1) for leaf in jax.tree.leaves(observation)))
    return jnp.stack([first, jax.random.uniform(key, first.shape)], axis=-1)


def make_source(**options):
    plain = {"every": 10, "rounds": 3, "length": LENGTH, "start_count": STARTS, "real_ratio": 0.25}
    return Rollouts(**(plain | options))


def starts(source, data, key):
    rows = source.starts(key, len(data.reward))
    return jax.tree.map(lambda x: x[rows], data)


def draw(source, buffer, data, world, size):
    rows_key, draw_key = jax.random.split(KEY)
    rows = source.rows(rows_key, size, len(data.reward))
    return source.draw(buffer, jax.tree.map(lambda x: x[rows], data), world, draw_key, size)


def imagined(world, key=KEY, data=None, **options):
    """The rows that are there, as a dictionary of NumPy arrays with states in units, and the metrics."""
    source = make_source(**options)
    run = jax.jit(partial(source.imagine, act))
    data = make_data(world) if data is None else data
    starts_key, refresh_key = jax.random.split(key)
    rows, count, metrics = run(starts(source, data, starts_key).observation, world, refresh_key)
    assert len(rows.reward) == source.capacity
    rows = jax.tree.map(lambda x: np.asarray(x)[: int(count)], rows)
    state, after = (np.asarray(world.state(x)) for x in (rows.observation, rows.next_observation))
    found = {"rows": rows, "state": state, "next": after, "name": state[:, 0].round().astype(int)}
    return {**found, "step": state[:, 1].round().astype(int)}, metrics


@pytest.fixture(scope="module", params=[(4, False), (4, True), (8192, True)], ids=str)
def found(request):
    """Rollouts in blocks of so many rows, plain or with decomposed observations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollouts, "_ROWS_AT_ONCE", request.param[0])
        rows, metrics = imagined(make_world(request.param[1]))
    return rows | {"metrics": metrics}


def leaves(observation):
    return np.concatenate(jax.tree.leaves(observation), axis=-1)


def test_rollouts_last_until_they_end_and_no_longer(found):
    starts = found["name"][found["step"] == 0]
    assert len(starts) == STARTS
    expected = [
        (name, step, step + 1 == lifetimes(name))
        for name in starts
        for step in range(min(lifetimes(name), LENGTH))
    ]
    triples = zip(found["name"], found["step"], found["rows"].terminal, strict=True)
    assert sorted(triples) == sorted(expected)
    assert float(found["metrics"]["rollout_steps"]) == pytest.approx(len(expected) / STARTS)


def test_rows_are_kept_whole(found):
    state, rows = found["state"].astype(np.float64), found["rows"]
    moved = np.stack([state[:, 0], state[:, 1] + 1, state[:, 2] + rows.action.sum(-1)], axis=-1)
    np.testing.assert_allclose(found["next"], moved, atol=1e-4)
    np.testing.assert_allclose(
        rows.reward, state[:, 0] + 10 * state[:, 1] + 0.1 * rows.action[:, 0], rtol=1e-4
    )


def test_each_step_starts_where_the_one_before_ended(found):
    rows, step = found["rows"], found["step"]
    arrived = leaves(rows.next_observation)[(rows.terminal == 0) & (step + 1 < LENGTH)]
    departed = leaves(rows.observation)[step > 0]
    assert len(np.unique(arrived, axis=0)) == len(arrived) > STARTS
    np.testing.assert_array_equal(np.unique(arrived, axis=0), np.unique(departed, axis=0))


def test_rollouts_start_in_states_of_the_data(with_cocoa):
    world = make_world(with_cocoa)
    data = make_data(world)
    data = data.replace(next_observation=jax.tree.map(lambda x: x + 50, data.next_observation))
    found, _ = imagined(world, data=data, start_count=128)
    starts = leaves(found["rows"].observation)[found["step"] == 0]
    np.testing.assert_array_equal(np.unique(starts, axis=0), np.unique(leaves(data.observation), axis=0))


def test_the_policy_gets_observations_and_fresh_keys(found):
    noise = found["rows"].action[:, 1]
    assert len(np.unique(noise)) == len(noise)
    first = np.tanh(leaves(found["rows"].observation).sum(-1))
    np.testing.assert_allclose(found["rows"].action[:, 0], first, atol=1e-4)


def test_other_keys_give_other_rollouts():
    world = make_world(False)
    first, again, other = (imagined(world, key)[0]["rows"] for key in (KEY, KEY, jax.random.key(4)))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not set(first.action[:, 1]) & set(other.action[:, 1])
    assert len(first.reward) != len(other.reward) or (first.reward != other.reward).any()


@struct.dataclass
class Drawing:
    """Two members that are far apart, with deviations of their own for each output."""

    def distribution(self, state, action):
        ones = jnp.ones((len(state), OBSERVATION_DIM + 1))
        return jnp.stack([0 * ones, 100 * ones]), jnp.stack([ones, 2 * ones]) * jnp.arange(1.0, 5.0)


def test_each_step_is_a_draw_from_one_random_member():
    world = make_world(False, Drawing())
    found, _ = imagined(world, start_count=2000, length=1)
    drawn = np.column_stack([found["next"], found["rows"].reward])
    second = drawn[:, 0] > 50
    assert (second == (drawn > 50).T).all()
    assert second.mean() == pytest.approx(0.5, abs=0.05)
    normal = np.where(second[:, None], (drawn - 100) / 2, drawn) / np.arange(1, 5)
    for group in (normal[second], normal[~second]):
        np.testing.assert_allclose(np.cov(group.T), np.eye(OBSERVATION_DIM + 1), atol=0.15)
        np.testing.assert_allclose(group.mean(axis=0), 0, atol=0.15)


def test_the_penalty_is_taken_from_rewards_on_the_scale_of_the_data(with_cocoa):
    world = make_world(with_cocoa, Counter(apart=0.6), scale=3.0, shift=-1.0)
    found, metrics = imagined(world, penalty="pairwise", weight=2.0)
    state, rows = found["state"].astype(np.float64), found["rows"]
    reward = 3 * (state[:, 0] + 10 * state[:, 1] + 0.1 * rows.action[:, 0]) - 1
    penalty = 0.3 * (1 + state[:, 0])
    np.testing.assert_allclose(rows.reward, reward - 2 * penalty, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(metrics["rollout_penalty"], penalty.mean(), rtol=1e-3)
    np.testing.assert_allclose(metrics["rollout_reward"], rows.reward.mean(), rtol=1e-3)
    without, _ = imagined(world, penalty="none", weight=2.0)
    reward = without["state"] @ [3.0, 30.0, 0] + 0.3 * without["rows"].action[:, 0] - 1
    np.testing.assert_allclose(without["rows"].reward, reward, rtol=1e-4, atol=1e-3)


def test_nothing_is_kept_from_where_the_model_is_lost(with_cocoa):
    found, metrics = imagined(make_world(with_cocoa, Counter(lost=(0, 1))), penalty="pairwise", weight=1.0)
    starts = found["name"][found["step"] == 0]
    steps = np.where(starts % 2 == 1, 1, np.minimum(lifetimes(starts), LENGTH))
    assert len(found["name"]) == steps.sum()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((found["rows"], metrics)))


def test_rewards_stay_numbers_where_one_member_is_lost(with_cocoa):
    world = make_world(with_cocoa, Counter(lost=(1,)))
    found, metrics = imagined(world, penalty="pairwise", weight=1.0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((found["rows"], metrics)))


def test_a_renewal_overwrites_the_oldest_round_only(with_cocoa):
    world = make_world(with_cocoa)
    data, source = make_data(world), make_source()
    refresh = jax.jit(lambda *args: source.refresh(args[0], args[1], act, *args[2:]))
    buffer = source.init(data)
    assert buffer.counts.tolist() == [0, 0, 0]
    for number in range(5):
        key = jax.random.fold_in(KEY, number)
        begun = starts(source, data, jax.random.fold_in(key, 0))
        after = refresh(buffer, number, begun, world, key)
        slot = number % 3
        others = np.arange(3) != slot
        jax.tree.map(lambda old, new, k=others: np.testing.assert_array_equal(old[k], new[k]), buffer, after)
        rows, count, metrics = jax.jit(partial(source.imagine, act))(begun.observation, world, key)
        assert 0 < int(after.counts[slot]) == int(count) < source.capacity
        jax.tree.map(lambda new, row, s=slot: np.testing.assert_array_equal(new[s], row), after.rows, rows)
        assert source.metrics(after, number) == metrics
        buffer = after


def labelled(counts, data):
    """A buffer whose rewards are 1000 x round + place, NaN behind each round's count."""
    buffer = make_source().init(data)
    rounds, places = np.indices(buffer.rows.reward.shape)
    labels = np.where(places < np.array(counts)[:, None], 1000.0 * rounds + places, np.nan)
    rows = buffer.rows.replace(
        reward=jnp.asarray(labels),
        action=jnp.asarray(np.repeat(labels[..., None], ACTION_DIM, -1)),
        observation=jax.tree.map(lambda x: x + labels[..., None], buffer.rows.observation),
    )
    return Buffer(rows, jnp.asarray(counts), buffer.metrics)


@pytest.mark.parametrize("counts", [(5, 0, 2), (0, 3, 9), (4, 1, 0), (0, 0, 1), (96, 96, 96)])
def test_imagined_rows_are_drawn_uniformly_over_all_rounds(counts):
    world = make_world(False)
    data = make_data(world)
    source = make_source(real_ratio=0.0)
    batch = draw(source, labelled(counts, data), data, world, 20_000)
    labels = [1000 * number + place for number, count in enumerate(counts) for place in range(count)]
    values, seen = np.unique(batch.reward, return_counts=True)
    assert values.tolist() == labels
    assert scipy.stats.chisquare(seen).pvalue > 1e-3 or len(labels) == 1


def test_batches_hold_data_first_and_then_what_was_imagined(with_cocoa):
    world = make_world(with_cocoa)
    data = make_data(world)
    batch = draw(make_source(real_ratio=0.23), labelled((5, 3, 2), data), data, world, 4000)
    assert isinstance(batch, MixedBatch)
    real = np.arange(4000) < 920
    np.testing.assert_array_equal(batch.real, real)
    origin = np.asarray(batch.reward[real] - 1000, int)
    values, seen = np.unique(origin, return_counts=True)
    assert values.tolist() == list(range(ROWS))
    assert scipy.stats.chisquare(seen).pvalue > 1e-3
    for name in ("observation", "action", "next_observation"):
        wanted = jax.tree.map(lambda x: np.asarray(x)[origin], getattr(data, name))
        found = jax.tree.map(lambda x: np.asarray(x)[real], getattr(batch, name))
        jax.tree.map(np.testing.assert_array_equal, found, wanted)
    labels = np.asarray(batch.reward)[~real]
    np.testing.assert_array_equal(batch.action[~real], np.repeat(labels[:, None], ACTION_DIM, -1))
    observation = leaves(jax.tree.map(lambda x: x[~real], batch.observation))
    np.testing.assert_array_equal(observation, np.repeat(labels[:, None], observation.shape[-1], -1))


@pytest.mark.parametrize(
    "algorithm", [name for name, cls in sorted(REGISTRY.items()) if issubclass(cls, ModelBased)]
)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, 0) for name in ("rollout_length", "rollout_starts", "rollout_every", "rollout_rounds")),
        *(("real_ratio", value) for value in (-0.01, 1.0)),
        ("termination", "sometimes"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(algorithm, field, value):
    with pytest.raises(ValueError, match=f"{field}={value} must be"):
        REGISTRY[algorithm](**{field: value})
    REGISTRY[algorithm](**{field: {"termination": "learned", "real_ratio": 0.5}.get(field, 1)})
