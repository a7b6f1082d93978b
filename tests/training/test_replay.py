"""A buffer that grows beside a dataset: which transitions are drawn, and what they hold."""

import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare
from support.ingredients import (
    ACTION_DIM,
    OBSERVATION_DIM,
    make_batch,
    make_networks,
    make_observe,
    make_world,
    with_next_actions,
)
from support.paths import ROOT

from cocoa.algos import REGISTRY
from cocoa.algos.base import Batch, ReturnBatch
from cocoa.algos.cql import CQL
from cocoa.data.behaviour import NextActionReturnBatch, extended
from cocoa.training.behaviour import Sampler, stochastic
from cocoa.training.devices import seeds_mesh
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.replay import Collected, Filled, Replay
from cocoa.training.seeds import PerSeed, Together, of_seed
from cocoa.training.turns import Turns

SIZE, STEPS, INSTANCES, SEEDS = 10, 12, 2, (3, 7)
CAPACITY, DISCOUNT = STEPS * INSTANCES, 0.9
TURNS = Turns(every=4, updates=8, warmup=4, overlap=True, before=100)


def walk(seed=0):
    """Steps of two seeds, NumPy arrays (seeds, T n, ...)."""
    rng = np.random.default_rng(seed)

    def numbers(*shape):
        return rng.normal(size=(len(SEEDS), CAPACITY, *shape)).astype(np.float32)

    states, next_states = numbers(OBSERVATION_DIM), numbers(OBSERVATION_DIM)
    terminal, cut = rng.random((2, len(SEEDS), CAPACITY)) < 0.2
    return Collected(Batch(states, numbers(ACTION_DIM), numbers(), terminal, next_states), terminal | cut)


def make_replay(data, observe, **options):
    example = jax.eval_shape(lambda data: jax.tree.map(lambda x: x[:1], of_seed(data, 0)), data)
    mesh = seeds_mesh(len(SEEDS), 1)
    return Replay(example, CAPACITY, len(SEEDS), observe, mesh, TURNS, INSTANCES, data, **options)


def add(replay, steps):
    for start in range(0, CAPACITY, TURNS.every):
        replay.add(PerSeed(jax.tree.map(lambda x, start=start: x[:, start : start + TURNS.every], steps)))


def make_filled(filled, balanced):
    data = make_batch(False, SIZE)
    return Filled(data, Together(()), 0, jnp.int32(filled), None, INSTANCES, balanced)


def draws(filled, balanced, shape=(20_000,)):
    def draw(key, count):
        return jax.random.randint(key, shape, 0, count)

    return np.asarray(make_filled(filled, balanced).rows(draw, jax.random.key(1), SIZE))


def test_how_many_are_there_is_a_function_of_the_update():
    """Four steps come before the updates, and each block of four before its eight."""
    made = 0
    for step in range(4, CAPACITY, 4):
        assert TURNS.done(step) == 100 + made
        for update in range(TURNS.done(step), TURNS.done(step + 4)):
            assert TURNS.collected(update) == step + 4
            made += 1
    assert made == 8 * (CAPACITY // 4 - 1)
    assert TURNS.collected(99) == TURNS.collected(0) == 0


@pytest.mark.parametrize("filled", [0, 15])
def test_all_transitions_have_the_same_chance(filled):
    counts = np.bincount(draws(filled, balanced=False), minlength=SIZE + CAPACITY)
    assert not counts[SIZE + filled :].any()
    assert chisquare(counts[: SIZE + filled]).pvalue > 0.01


def test_a_balanced_batch_is_half_and_half():
    rows = draws(15, balanced=True)
    old, new = rows[::2], rows[1::2]
    assert chisquare(np.bincount(old, minlength=SIZE)).pvalue > 0.01
    assert chisquare(np.bincount(new, minlength=SIZE + 15)[SIZE:]).pvalue > 0.01
    assert old.max() < SIZE <= new.min()
    assert abs(np.corrcoef(old, new)[0, 1]) < 0.05
    assert draws(15, balanced=True, shape=(3, 5)).shape == (3, 5)


def test_a_balanced_batch_is_all_of_the_dataset_while_nothing_is_collected():
    assert draws(0, balanced=True).max() < SIZE


@pytest.mark.parametrize("own", [False, True], ids=["shared", "per_seed"])
def test_what_is_collected_stands_behind_the_dataset_as_the_networks_see_it(own):
    observe, data, steps = make_observe(True), make_batch(True, SIZE), walk()
    observes = [observe, replace(observe, std=2 * observe.std)] if own else [observe] * 2
    if own:
        stacked = {
            name: PerSeed.stack([getattr(data, name)] * 2) for name in ("observation", "next_observation")
        }
        data = data.replace(**stacked)
    replay = make_replay(data, PerSeed.stack(observes) if own else observe)
    add(replay, steps)
    rows = np.array([[4, SIZE, SIZE + 5], [SIZE + CAPACITY - 1, 0, 9]])
    for seed in range(2):
        taken, known = of_seed(replay.at(999), seed).take(rows, 0), of_seed(data, seed)
        batch = jax.tree.map(lambda x, seed=seed: x[seed], steps.batch)
        for name in ("observation", "next_observation"):
            expected = observes[seed](jnp.asarray(getattr(batch, name)))
            whole = jax.tree.map(lambda a, b: np.concatenate([a, b]), getattr(known, name), expected)
            jax.tree.map(
                lambda x, y: np.testing.assert_allclose(x, y[rows], rtol=1e-6), getattr(taken, name), whole
            )
        for name in ("action", "reward", "terminal"):
            whole = np.concatenate([getattr(known, name), getattr(batch, name)])
            np.testing.assert_array_equal(getattr(taken, name), whole[rows])


def test_a_next_action_is_known_with_the_next_step_of_the_same_episode():
    data, steps = with_next_actions(make_batch(False, SIZE)), walk()
    replay = make_replay(data, make_observe(False))
    add(replay, steps)
    for update, filled in ((100, 8), (116, 16), (999, CAPACITY)):
        for seed in range(2):
            taken = jax.device_get(of_seed(replay.at(update), seed).take(SIZE + np.arange(filled), 0))
            for row in range(filled):
                follows = not steps.ends[seed, row] and row + INSTANCES < filled
                assert taken.next_action_known[row] == follows
                expected = steps.batch.action[seed, row + INSTANCES] if follows else np.zeros(ACTION_DIM)
                np.testing.assert_array_equal(taken.next_action[row], expected)
    known = of_seed(replay.at(0), 0).take(np.arange(SIZE), 0)
    jax.tree.map(np.testing.assert_array_equal, known, data)


def discounted(steps, seed, filled):
    """Returns to go of the first rows, by going back from the end of each episode."""
    reward, terminal = (np.float64(x[seed]) for x in (steps.batch.reward, steps.batch.terminal))
    ends, expected = steps.ends[seed, :filled], np.full(filled, -np.inf)
    for instance in range(INSTANCES):
        rows, start = np.arange(instance, filled, INSTANCES), 0
        for place in np.flatnonzero(ends[rows]):
            episode = rows[start : place + 1]
            ahead = 0.0 if terminal[rows[place]] else reward[episode].mean() / (1 - DISCOUNT)
            for row in episode[::-1]:
                ahead = reward[row] + DISCOUNT * ahead
                expected[row] = ahead
            start = place + 1
    return expected


def with_returns(data):
    return extended(data, return_to_go=jnp.arange(SIZE, dtype=jnp.float32))


@pytest.mark.parametrize("more", [False, True], ids=["returns", "returns_and_next_actions"])
def test_a_return_is_known_with_the_end_of_its_episode(more):
    data, steps = with_returns(make_batch(False, SIZE)), walk()
    data = with_next_actions(data) if more else data
    assert type(data) is (NextActionReturnBatch if more else ReturnBatch)
    replay, unknown = make_replay(data, make_observe(False), discount=DISCOUNT), 0
    add(replay, steps)
    for update, filled in ((100, 8), (116, 16), (999, CAPACITY)):
        for seed in range(2):
            taken = of_seed(replay.at(update), seed).take(SIZE + np.arange(filled), 0)
            assert type(taken) is type(data)
            expected = discounted(steps, seed, filled)
            unknown += int(np.isinf(expected).sum())
            np.testing.assert_allclose(taken.return_to_go, expected, rtol=1e-4)
    assert unknown > 3
    known = of_seed(replay.at(0), 0).take(np.arange(SIZE), 0)
    jax.tree.map(np.testing.assert_array_equal, known, data)


ALGORITHMS = {name: cls(**{**cls.toy_fields, "hidden": (8,)}) for name, cls in REGISTRY.items()}
ALGORITHMS["cal_ql"] = CQL(**CQL.toy_fields, hidden=(8,), calibrated=True)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_learns_from_it_and_explores(name):
    """By shapes alone, as compiling all of them takes a minute."""
    algorithm = ALGORITHMS[name]
    data = make_batch(False, SIZE)
    data = with_next_actions(data) if algorithm.next_actions else data
    data = with_returns(data) if algorithm.returns else data
    world = make_world(False) if algorithm.members else None
    job = TrainingJob(algorithm, make_networks(False), data, SEEDS, 10, 8, world)
    observe, mesh = make_observe(False), seeds_mesh(len(SEEDS), 1)
    discount = algorithm.discount if algorithm.returns else None
    training = Training(job, mesh, feed=make_replay(data, observe, balanced=True, discount=discount))
    template, numbers = job.template(), [jnp.int32(0)] * 3
    feed, keys = training.feed.at(0), training.keys
    result = jax.eval_shape(
        training._chunk, template.learner, training._empty_buffer(), feed, training.world, keys, *numbers
    )
    assert jax.tree.structure(result.values[0]) == jax.tree.structure(template.learner.values)
    if algorithm.source.every:
        jax.eval_shape(
            training._refresh,
            training._empty_buffer(),
            template.snapshots,
            feed,
            training.world,
            keys,
            numbers[0],
        )
    sampler = Sampler(stochastic(algorithm), template.learner, observe, SEEDS, mesh)
    assert sampler._program is not None


PROGRAM = """
import sys
import jax
sys.path.append("tests")
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
from support.ingredients import ACTION_DIM, OBSERVATION_DIM, make_batch, make_networks, make_observe
from cocoa.algos.base import Batch
from cocoa.algos.bc import BC
from cocoa.algos.cql import CQL
from cocoa.data.behaviour import extended
from cocoa.training.behaviour import Sampler, stochastic
from cocoa.training.devices import seeds_mesh
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.replay import Collected, Replay
from cocoa.training.seeds import PerSeed
from cocoa.training.turns import Turns

observe, seeds, instances = make_observe(True), (3, 7, 1, 8), 2
plain = make_batch(True, 20)
data = {
    BC(hidden=(8,)): plain,
    CQL(hidden=(8,), samples=2, calibrated=True): extended(plain, return_to_go=jnp.zeros(20)),
}
rng = np.random.default_rng(0)
states = rng.normal(size=(4, 24, OBSERVATION_DIM)).astype(np.float32)
numbers = rng.normal(size=(4, 24)).astype(np.float32)
steps = Collected(Batch(states, 0 * states[..., :ACTION_DIM], numbers, 0 * numbers, -states), numbers > 0)

def results(algorithm, devices):
    mesh = seeds_mesh(4, devices)
    job = TrainingJob(algorithm, make_networks(True), data[algorithm], seeds, 100, 16)
    options = {"data": job.data, "balanced": True, "discount": 0.9 if algorithm.returns else None}
    replay = Replay(job.example, 48, 4, observe, mesh, Turns(24, 4, 0, True), instances, **options)
    training = Training(job, mesh, feed=replay)
    replay.add(PerSeed(steps))
    filled = replay.at(0)
    shards = [leaf.addressable_shards for leaf in jax.tree.leaves((filled.collected, filled.returns))]
    assert all(len({shard.device for shard in own}) == devices for own in shards)
    state, metrics = training.chunk(training.init(), 0, 4)
    sampler = Sampler(stochastic(algorithm), job.template().learner, observe, seeds, mesh)
    act = sampler.behaviour(sampler.policies(state.learner), 3)
    actions = [act(row, states[row, :2], 5)[0] for row in range(4)]
    return [np.asarray(leaf) for leaf in jax.tree.leaves((state, metrics, actions, filled.returns))]

for algorithm in data:
    for one, four in zip(results(algorithm, 1), results(algorithm, 4), strict=True):
        np.testing.assert_array_equal(one, four)
    returns = one[:, :24]
    assert not algorithm.returns or (0.1 < np.isfinite(returns).mean() < 1 and len(np.unique(returns)) > 20)
"""


def test_seeds_spread_over_devices_learn_the_same():
    """Their buffers and, where an algorithm asks for them, the returns of these lie apart."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, cwd=ROOT)
