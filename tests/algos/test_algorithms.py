"""What every algorithm must do, plain and with decomposed observations, for one seed and for several."""

import copy
import dataclasses
import functools
import inspect
from collections import ChainMap
from pathlib import Path
from types import CodeType, FunctionType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.ingredients import (
    ACTION_DIM,
    OBSERVATION_DIM,
    bandit_reward,
    make_batch,
    make_networks,
    make_observe,
    make_world,
    with_next_actions,
)

from cocoa.algos import REGISTRY, Algorithm, Batch
from cocoa.algos.bc import BC
from cocoa.config.typed import document
from cocoa.storage.serialization import load_tree, save_tree
from cocoa.training import feed
from cocoa.training.episodes import SampledPolicy
from cocoa.training.evaluation import Actor
from cocoa.training.feed import Resident
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.seeds import PerSeed, of_seed, place


def toy(cls):
    """An instance with the `toy_fields` of the class, and of its parents where it says nothing of them."""
    return cls(**ChainMap(*(dict(vars(base).get("toy_fields", {})) for base in cls.__mro__)))


@pytest.fixture(params=sorted(REGISTRY))
def algorithm(request):
    """Each algorithm with what it needs to learn in few updates."""
    return toy(REGISTRY[request.param])


def bandit(with_cocoa):
    """One-step episodes whose reward is higher the nearer the first action is to 0.5."""
    data = with_next_actions(make_batch(with_cocoa, size=2000))
    reward = bandit_reward(data.action)
    return data.replace(reward=reward, terminal=jnp.ones_like(reward))


def bandit_of(algorithm, with_cocoa):
    data = bandit(with_cocoa)
    if algorithm.next_actions:
        return data
    return Batch(**{field.name: getattr(data, field.name) for field in dataclasses.fields(Batch)})


@functools.cache
def make_training(algorithm, with_cocoa):
    """A training of two seeds, whose compiled program all tests share."""
    return Training(make_job(algorithm, with_cocoa))


@functools.cache
def make_actor(algorithm, with_cocoa):
    """The policies of that training, whose compiled program all tests share."""
    return Actor(algorithm, make_observe(with_cocoa), make_training(algorithm, with_cocoa).mesh)


def make_job(algorithm, with_cocoa):
    networks, data = make_networks(with_cocoa), bandit_of(algorithm, with_cocoa)
    return TrainingJob(algorithm, networks, data, (3, 7), 500, 64, make_world(with_cocoa))


def altered(training, **attributes):
    """The same program with other seeds or data of the same shapes."""
    other = copy.copy(training)
    other.__dict__.update(attributes)
    return other


def assert_equal_trees(a, b, **tolerance):
    compare = np.testing.assert_allclose if tolerance else np.testing.assert_array_equal
    jax.tree.map(lambda x, y: compare(x, y, **tolerance), a, b)


def assert_different_trees(a, b):
    assert not all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


def row(tree, index):
    """What a tree over seeds holds of one, by NumPy, which compiles nothing."""
    return jax.tree.map(lambda x: np.asarray(x)[index], tree)


def test_hyperparameters_are_documented_defaults(algorithm):
    assert algorithm.name in REGISTRY
    source = Path(inspect.getfile(type(algorithm))).read_text()
    documents = document(type(algorithm))
    for field in dataclasses.fields(algorithm):
        assert isinstance(field.default, bool | int | float | str | tuple)
        assert documents[field.name], f"{field.name} has no docstring"
    assert len(source.splitlines()) <= 220


def test_a_training_cut_in_two_equals_one_in_one_piece(algorithm, with_cocoa, tmp_path):
    training = make_training(algorithm, with_cocoa)
    whole, metrics = training.chunk(training.init(), 0, 20)
    assert all(np.isfinite(value).all() and value.shape == (2,) for value in metrics.values())
    half, _ = training.chunk(training.init(), 0, 7)
    save_tree(tmp_path / "state.safetensors", half.saved)
    saved = load_tree(tmp_path / "state.safetensors", training.job.template())
    restored = training.restore(saved, 7)
    assert_equal_trees(half, restored)
    rest, _ = training.chunk(restored, 7, 13)
    assert_equal_trees(whole, rest)
    assert_different_trees(training.init().saved, whole.saved)


@pytest.mark.parametrize("algorithm", ["iql", "mopo"], indirect=True)
def test_chunks_of_any_length_are_one_program_and_get_nothing_from_the_host(algorithm):
    training = make_training(algorithm, True)
    state, _ = training.chunk(training.init(), 0, 3)
    given = state.saved
    with jax.transfer_guard("disallow"), jax.no_tracing():
        state, _ = training.chunk(state, 3, 3)
        state, _ = training.chunk(state, 6, 2)  # MOPO's buffer is renewed before the sixth
        jax.block_until_ready(state)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))


def test_seeds_do_not_depend_on_each_other(algorithm, with_cocoa):
    training = make_training(algorithm, with_cocoa)
    keys = jnp.stack([jax.random.key(7), jax.random.key(8)])
    other = altered(training, keys=place(PerSeed(keys), training.mesh))
    both, _ = training.chunk(training.init(), 0, 5)
    swapped, _ = other.chunk(other.init(), 0, 5)
    assert_equal_trees(row(both, 1), row(swapped, 0))
    assert_different_trees(row(both, 0), row(both, 1))


@pytest.mark.parametrize("per_seed", [False, True])
def test_one_seed_gives_what_it_gives_among_others(per_seed):
    """Whether its observations are shared or its own."""
    algorithm = REGISTRY["iql"]()
    job = make_job(algorithm, True)
    alone = Training(dataclasses.replace(job, seeds=(7,)))
    expected, _ = alone.chunk(alone.init(), 0, 3)
    if per_seed:
        names = ("observation", "next_observation")
        own = {name: PerSeed.stack([getattr(job.data, name)] * 2) for name in names}
        job = dataclasses.replace(job, data=job.data.replace(**own))
    both = Training(job)
    actual, _ = both.chunk(both.init(), 0, 3)
    assert_equal_trees(row(actual, 1), row(expected, 0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["iql", "mopo"], indirect=True)
def test_streamed_data_give_what_resident_data_give(algorithm, monkeypatch):
    monkeypatch.setattr(feed, "_BLOCK_UPDATES", 4)
    training = make_training(algorithm, True)
    data = jax.tree.map(np.asarray, training.job.data)
    streamed = Training(dataclasses.replace(training.job, data=data), stream=True)
    expected, metrics = training.chunk(training.init(), 0, 10)
    _, whole = streamed.chunk(streamed.init(), 0, 10)
    assert_equal_trees(whole, metrics, rtol=1e-3, atol=1e-5)
    state = streamed.init()
    with jax.no_tracing():
        state, _ = streamed.chunk(state, 0, 3)
    restored = streamed.restore(jax.tree.map(jnp.copy, state.saved), 3)
    with jax.no_tracing():
        actual, _ = streamed.chunk(state, 3, 7)
    assert_equal_trees(actual, expected, rtol=1e-3, atol=1e-5)
    again, _ = streamed.chunk(restored, 3, 7)
    assert_equal_trees(again, actual)


def test_critics_have_targets(algorithm):
    learner = make_training(algorithm, False).init().learner.values
    named = [hasattr(owner, name) for owner, name in ((learner, "critics"), (learner, "target_critics"))]
    assert named == 2 * [hasattr(algorithm, "critics")]


CHOOSING = [name for name in sorted(REGISTRY) if hasattr(REGISTRY[name], "critic_layer_norm")]
NORMALIZED = [*((name, on) for name in CHOOSING for on in (False, True)), ("leq", None)]


@pytest.mark.parametrize(("name", "on"), NORMALIZED)
def test_layer_norm_is_where_the_fields_say(name, on):
    algorithm = REGISTRY[name](**({} if on is None else {"critic_layer_norm": on}))
    state = jax.eval_shape(
        lambda key: algorithm.init(key, make_networks(False), bandit_of(algorithm, False), 10),
        jax.random.key(0),
    )
    critics, actor = on is not False, getattr(algorithm, "actor_layer_norm", False)
    wanted = {"critics": critics, "value": critics, "actor": actor, "flow": False}
    for part in wanted.keys() & vars(state).keys():
        layers = jax.tree_util.tree_leaves_with_path(getattr(state, part).params)
        assert any("LayerNorm" in jax.tree_util.keystr(path) for path, _ in layers) == wanted[part], part


def test_targets_go_a_part_of_the_way_to_their_networks(algorithm, with_cocoa):
    training = make_training(algorithm, with_cocoa)
    state, _ = training.chunk(training.init(), 0, 1)
    before = jax.tree.map(np.array, state.learner.values)  # a copy, since the state is donated
    after = jax.device_get(training.chunk(state, 1, 1)[0].learner.values)  # TD3's in every second update
    names = [field.name for field in dataclasses.fields(after) if field.name.startswith("target_")]
    if not names:
        pytest.skip("it has no targets")
    for name in names:
        online = getattr(after, name.removeprefix("target_")).params
        mixed = jax.tree.map(lambda t, o: 0.95 * t + 0.05 * o, getattr(before, name), online)
        assert_equal_trees(getattr(after, name), mixed, rtol=1e-6, atol=1e-6)
        far = jax.tree.map(lambda t, o: float(np.abs(t - o).max()), getattr(before, name), online)
        assert max(jax.tree.leaves(far)) > 1e-3  # so that neither end would pass


def test_each_update_of_each_seed_draws_its_own_transitions():
    training = make_training(REGISTRY["iql"](), False)
    drawn = {tuple(training._rows(key, step).tolist()) for key in training.keys.values for step in range(3)}
    assert len(drawn) == 6


def test_what_follows_a_terminal_does_not_matter(algorithm, with_cocoa):
    training = make_training(algorithm, with_cocoa)
    elsewhere = make_batch(with_cocoa, size=2000, seed=9).observation
    data = bandit_of(algorithm, with_cocoa).replace(next_observation=elsewhere)
    other = altered(training, feed=Resident(data, training.mesh))
    _, metrics = training.chunk(training.init(), 0, 1)
    _, other_metrics = other.chunk(other.init(), 0, 1)
    name = "td_loss" if "td_loss" in metrics else "critic_loss"
    if name in metrics:
        np.testing.assert_allclose(metrics[name], other_metrics[name], rtol=1e-4)


def begun(policy, rows):
    """The policy in the first step of so many episodes, of which each has a key if actions are drawn."""
    keys = np.random.default_rng(0).integers(2**32, size=(rows, 2), dtype=np.uint32)
    return policy.begin(keys) if isinstance(policy, SampledPolicy) else policy


def test_policy_acts_within_bounds_alone_and_in_batches(algorithm, with_cocoa):
    training = make_training(algorithm, with_cocoa)
    state = training.init()
    policies = make_actor(algorithm, with_cocoa).policies(state.learner)
    states = 10 * jax.random.normal(jax.random.key(0), (2, 5, OBSERVATION_DIM))
    for policy, rows in zip(policies, states, strict=True):
        actions = begun(policy, 5)(rows)
        assert actions.shape == (5, ACTION_DIM)
        assert (jnp.abs(actions) <= 1).all()
        np.testing.assert_allclose(begun(policy, 1)(rows[:1])[0], actions[0], atol=1e-5)
    one = of_seed(state.learner, 0)
    alone = jax.eval_shape(algorithm.act, one, make_observe(with_cocoa)(states[0, 0]), jax.random.key(0))
    assert alone.shape == (ACTION_DIM,)
    act = jax.jit(algorithm.act)
    drawn, again = (act(one, make_observe(with_cocoa)(states[0]), jax.random.key(i)) for i in range(2))
    assert (jnp.abs(drawn) <= 1).all()
    assert (drawn != again).any() != algorithm.deterministic


def test_policy_finds_the_best_action_that_the_data_show(algorithm, with_cocoa):
    training = make_training(algorithm, with_cocoa)
    state, _ = training.chunk(training.init(), 0, 500)
    states = jax.random.normal(jax.random.key(0), (2, 100, OBSERVATION_DIM))
    policies = make_actor(algorithm, with_cocoa).policies(state.learner)
    first = np.stack([begun(policy, 100)(rows)[:, 0] for policy, rows in zip(policies, states, strict=True)])
    best = 0.5 if hasattr(state.learner.values, "critics") else 0.0  # cloning takes the mean
    assert abs(float(first.mean()) - best) < 0.25


ORDER = [
    *("__post_init__", "source", "objection", "init"),
    *("next_action", "next_value", "target", "critic_loss"),
    *("value_loss", "actor_loss", "flow_loss", "alpha_loss", "weight_loss", "update", "held_out", "act"),
]


def test_the_parts_of_all_algorithms_are_in_one_order(algorithm):
    """So that the difference of two files is that of the algorithms."""
    parts = [name for name in vars(type(algorithm)) if name in ORDER]
    assert parts == sorted(parts, key=ORDER.index)
    assert {name for name in vars(type(algorithm)) if name.endswith("_loss")} <= set(ORDER)


def names_in(code):
    """The attributes that a function and those inside of it read."""
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*map(names_in, inner))


def names_read_by(cls):
    """The attributes that the methods of a class read, those of its parents only where they are called."""
    read = set()
    for name in dir(cls):
        members = [
            vars(base)[name] for base in cls.__mro__ if name in vars(base) and not name.startswith("__")
        ]
        for member in members:
            function = getattr(member, "fget", member)
            names = names_in(function.__code__) if isinstance(function, FunctionType) else set()
            read |= names
            if "super" not in names:
                break
    return read


def test_every_field_of_an_algorithm_has_a_use(algorithm):
    """A field of a parent whose method is overridden would be listed, logged and tuned without an effect."""
    used = {field.name for field in dataclasses.fields(Algorithm)} | {
        "termination"
    }  # where a run is composed
    fields = {field.name for field in dataclasses.fields(algorithm)}
    assert fields - used - names_read_by(type(algorithm)) == set()


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *(("td3_bc", "alpha"), ("rebrac", "actor_penalty"), ("rebrac", "critic_penalty")),
        *(("mobrac", "actor_penalty"), ("mobrac", "penalty_weight"), ("mopo", "penalty_weight")),
        *(("mobile", "penalty_weight"), ("mobile", "samples"), ("cql", "weight"), ("combo", "weight")),
        *(("iql", "advantage_clip"), ("xql", "advantage_clip")),
    ],
)
def test_no_penalty_rewards_what_it_is_against(name, field):
    with pytest.raises(ValueError, match=f"{field}=-1 must be"):
        REGISTRY[name](**{field: -1})


def test_an_unfinished_algorithm_is_refused_before_anything_is_trained():
    class Unfinished(BC):
        act = Algorithm.act

    with pytest.raises(TypeError, match=r"abstract method '?act"):
        Unfinished()
