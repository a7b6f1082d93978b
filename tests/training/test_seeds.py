"""A mark on parts of a tree says which parts each seed has for itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cocoa.training.devices import seeds_mesh
from cocoa.training.seeds import PerSeed, by_seed, for_seeds, of_seed, over_seeds, place, unstack

OWN = np.arange(12, dtype=np.float32).reshape(3, 4)
SHARED = np.float32([1, 2])


@pytest.fixture
def tree():
    return {"own": PerSeed({"a": OWN}), "shared": [SHARED, None]}


def assert_seed(tree, seed):
    np.testing.assert_array_equal(tree["own"]["a"], OWN[seed])
    np.testing.assert_array_equal(tree["shared"][0], SHARED)
    assert tree["shared"][1] is None


def test_a_seed_gets_its_part_and_all_that_is_shared(tree):
    for seed in range(3):
        assert_seed(of_seed(tree, seed), seed)
        assert_seed(unstack(tree)[seed], seed)
        assert_seed(by_seed(place(tree, seeds_mesh(3, 1)))[seed], seed)
        assert_seed(of_seed(for_seeds(tree, slice(seed, 3)), 0), seed)


def test_trees_of_seeds_are_stacked_where_they_are():
    trees = [{"host": row, "device": jnp.asarray(row)} for row in OWN]
    stacked = PerSeed.stack(trees).values
    assert (type(stacked["host"]), isinstance(stacked["device"], jax.Array)) == (np.ndarray, True)
    np.testing.assert_array_equal(stacked["host"], OWN)
    np.testing.assert_array_equal(stacked["device"], OWN)
    assert PerSeed.shapes(trees[0], 3) == jax.eval_shape(lambda: PerSeed.stack(trees))


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_a_function_sees_the_tree_of_one_seed(tree, backend, monkeypatch):
    """Whether the seeds take turns, as on a CPU, or are vectorised, as elsewhere."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    shapes = []

    def function(tree, key):
        shapes.append((tree["own"]["a"].shape, tree["shared"][0].shape, key.shape))
        return {"sum": tree["own"]["a"].sum() * tree["shared"][0] + key}

    result = over_seeds(function, tree, PerSeed(jnp.arange(3)))
    expected = OWN.sum(axis=1)[:, None] * SHARED + np.arange(3)[:, None]
    np.testing.assert_allclose(result.values["sum"], expected)
    assert set(shapes) == {((4,), (2,), ())}


def test_a_copy_has_memory_of_its_own(tree):
    mesh = seeds_mesh(3, 1)
    placed = place(tree, mesh)
    copied = place(placed, mesh, copy=True)
    for leaf in jax.tree.leaves(placed):
        leaf.delete()
    assert_seed(of_seed(copied, 1), 1)
