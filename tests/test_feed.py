"""Transitions that come from the host in blocks are those that a device with all data takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.base import Batch
from cocoa.training import feed
from cocoa.training.devices import seeds_mesh
from cocoa.training.feed import Resident, Streamed, feed_of_one, too_large

ROWS, SIZE = 50, 4


def make_data(per_seed):
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(2, 2, ROWS, 3)).astype(np.float32)
    own = observations if per_seed else observations[:, 0]
    return Batch(own[0], rng.normal(size=(ROWS, 2)), np.arange(ROWS), np.zeros(ROWS), own[1])


def draws(key, step):
    return jax.random.randint(jax.random.fold_in(key, step), (SIZE,), 0, ROWS)


def starts(key, number):
    return jax.random.randint(jax.random.fold_in(key, 100 + number), (2, 3), 0, ROWS)


@pytest.fixture(params=[False, True], ids=["shared", "per_seed"])
def feeds(request, monkeypatch):
    monkeypatch.setattr(feed, "_BLOCK_UPDATES", 5)
    keys, mesh = jnp.stack([jax.random.key(3), jax.random.key(4)]), seeds_mesh(2, 1)
    data = make_data(request.param)
    streamed = Streamed(data, request.param, mesh, keys, draws, starts)
    return Resident(data, request.param, mesh), streamed, keys


def taken(given, seed, rows, step):
    own, common = given
    return feed_of_one(jax.tree.map(lambda x: x[seed], own), common).take(rows, step)


@pytest.mark.parametrize("order", [range(23), [7, 3, 21, 22, 4]], ids=["forward", "anyhow"])
def test_blocks_hold_what_updates_draw(feeds, order):
    resident, streamed, keys = feeds
    for step in order:
        for seed in range(2):
            rows = draws(keys[seed], step)
            expected = taken(resident.at(step), seed, rows, step)
            jax.tree.map(np.testing.assert_array_equal, taken(streamed.at(step), seed, rows, step), expected)
            np.testing.assert_array_equal(expected.reward, rows)
        assert streamed.left(step) == 5 - step % 5


def test_a_renewal_gets_its_starts(feeds):
    resident, streamed, keys = feeds
    for number in (0, 6):
        rows = starts(keys[1], number)
        expected = taken(resident.starts(number), 1, rows, number)
        jax.tree.map(np.testing.assert_array_equal, taken(streamed.starts(number), 1, rows, number), expected)
        assert expected.action.shape == (2, 3, 2)


def test_a_block_is_as_large_as_memory_allows(monkeypatch):
    monkeypatch.setattr(feed, "_BLOCK_BYTES", 7 * 2 * SIZE * (3 + 3) * 4 * 2)
    data = make_data(False)
    data = data.replace(action=data.action[:, :0], reward=data.reward[:, None][:, :0])
    data = data.replace(terminal=np.zeros((ROWS, 6), np.float32))
    keys = jnp.stack([jax.random.key(3), jax.random.key(4)])
    assert Streamed(data, False, seeds_mesh(2, 1), keys, draws, starts).updates == 7


def test_data_are_never_too_large_for_the_memory_they_are_in():
    assert not too_large(make_data(False), seeds_mesh(1, 1))
