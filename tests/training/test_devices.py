"""Seeds spread over devices give what they give on one; what they share lies once on each device."""

import subprocess
import sys

import jax
import pytest
from support.paths import ROOT

from cocoa.errors import ConfigError
from cocoa.training.devices import even, seeds_mesh

PROGRAM = """
import sys
import jax
sys.path.append("tests")
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
from support.ingredients import make_batch, make_networks, make_observe, make_world
from cocoa.algos.{module} import {algorithm}
from cocoa.training.devices import seeds_mesh
from cocoa.training.evaluation import Actor
from cocoa.training.held_out import HeldOut
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.seeds import PerSeed, is_per_seed

def arrays(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]

def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, arrays(a), arrays(b))

def assert_split(tree):
    for leaf in jax.tree.leaves(tree):
        shards = leaf.addressable_shards
        assert [shard.data.shape for shard in shards] == [(1, *leaf.shape[1:])] * 4, leaf.sharding
        assert len({{shard.device for shard in shards}}) == 4

# With models per seed also decomposed observations, which need them.
algorithm, per_seed = {algorithm}({fields}), {per_seed}
data = make_batch(per_seed, size=500)
stack = lambda tree: PerSeed.stack([jax.tree.map(lambda x: f * x, tree) for f in (1, 0.9, 0.8, 0.7)])
if per_seed:
    data = data.replace(observation=stack(data.observation), next_observation=stack(data.next_observation))

networks, world = make_networks(per_seed), None if per_seed else make_world(per_seed)
job = TrainingJob(algorithm, networks, data, (3, 7, 1, 8), 100, 32, world)
one, four = (Training(job, seeds_mesh(4, devices)) for devices in (1, 4))
assert (one.mesh.size, four.mesh.size) == (1, 4)
parts = jax.tree.leaves((four.feed.at(0), four.world, four.keys), is_leaf=is_per_seed)
own = [part for part in parts if is_per_seed(part)]
assert len(own) == (3 if per_seed else 1)
assert_split(own)
shared = [part for part in parts if not is_per_seed(part)]
assert len(shared) >= 3
for leaf in shared:
    copies = [shard.data for shard in leaf.addressable_shards]
    assert len({{copy.device for copy in copies}}) == len(copies) == 4
    assert all(copy.shape == leaf.shape for copy in copies)

first, _ = one.chunk(one.init(), 0, 10)
kept = jax.tree.map(jnp.copy, first.saved)
alone, expected = one.chunk(first, 10, 10)

state = four.init()
assert_split(state)
moved, _ = four.chunk(state, 0, 10)
assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.learner)), "the state is donated"
assert_split(moved)
assert_equal(moved, four.restore(kept, 10))
spread, metrics = four.chunk(moved, 10, 10)
assert_split(spread)
assert_equal(spread, alone)
assert_equal(metrics, expected)
assert four._chunk._cache_size() == 1, "compiled once"

batches = jax.tree.map(lambda x: x[..., :60, :].reshape(*x.shape[:-2], 3, 20, x.shape[-1]), data.replace(
    reward=data.reward[:, None], terminal=data.terminal[:, None]))
batches = batches.replace(reward=batches.reward[..., 0], terminal=batches.terminal[..., 0])
held_out = [HeldOut(t, batches).metrics(s.learner) for t, s in ((one, alone), (four, spread))]
assert_equal(*held_out)
assert_split(PerSeed(held_out[1]))

resumed, metrics = four.chunk(four.restore(kept, 10), 10, 10)
assert_equal((resumed, metrics), (alone, expected))
assert four._chunk._cache_size() == 1, "compiled once"

observe = make_observe(per_seed).replace(std=jnp.array([0.7, 0.3, 1.3]), mean=jnp.array([0.1, 0.2, 0.3]))
states = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
actions = [
    [
        np.asarray(policy(rows))
        for policy, rows in zip(
            Actor(algorithm, stack(observe) if per_seed else observe, t.mesh).policies(s.learner),
            states,
            strict=True,
        )
    ]
    for t, s in ((one, alone), (four, spread))
]
assert_equal(*actions)
print("equal")
"""
IMAGINING = "hidden=(16,), rollout_starts=20, rollout_length=2, rollout_every=15, rollout_rounds=2"


@pytest.mark.parametrize(
    ("module", "algorithm", "fields", "per_seed"),
    [("mopo", "MOPO", IMAGINING, False), ("iql", "IQL", "hidden=(16,)", True)],
)
def test_four_devices_give_what_one_gives(module, algorithm, fields, per_seed):
    program = PROGRAM.format(module=module, algorithm=algorithm, fields=fields, per_seed=per_seed)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "equal\n", done.stderr


def test_each_device_gets_the_same_number_of_seeds():
    assert [even(seeds, 4) for seeds in (1, 2, 3, 4, 5, 6, 8)] == [1, 2, 3, 4, 1, 3, 4]
    assert seeds_mesh(3).size == even(3, jax.local_device_count())


def test_devices_that_are_not_there_are_told():
    with pytest.raises(ConfigError, match="devices=99 is not possible: JAX has"):
        seeds_mesh(99, 99)
