"""Transitions that come from the host in blocks are those that a device with all data takes."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare
from support.ingredients import make_batch, make_networks

from cocoa.algos.base import Batch
from cocoa.algos.bc import BC
from cocoa.algos.iql import IQL
from cocoa.anchors import Seek
from cocoa.config.schema import Config
from cocoa.errors import ConfigError
from cocoa.training import feed
from cocoa.training.devices import seeds_mesh
from cocoa.training.feed import Resident, Streamed, check_batch, too_large
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.seeds import PerSeed, of_seed

ROWS, SIZE = 50, 4


def make_data(per_seed):
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(2, 2, ROWS, 3)).astype(np.float32)
    states, next_states = map(PerSeed, observations) if per_seed else observations[:, 0]
    return Batch(states, rng.normal(size=(ROWS, 2)), np.arange(ROWS), np.zeros(ROWS), next_states)


def draws(key, step):
    return jax.random.randint(jax.random.fold_in(key, step), (SIZE,), 0, ROWS)


def starts(key, number):
    return jax.random.randint(jax.random.fold_in(key, 100 + number), (2, 3), 0, ROWS)


@pytest.fixture(params=[False, True], ids=["shared", "per_seed"])
def feeds(request, monkeypatch):
    monkeypatch.setattr(feed, "_BLOCK_UPDATES", 5)
    keys, mesh = jnp.stack([jax.random.key(3), jax.random.key(4)]), seeds_mesh(2, 1)
    data = make_data(request.param)
    return Resident(data, mesh), Streamed(data, mesh, keys, draws, starts), keys


def taken(source, seed, rows, step):
    return of_seed(source, seed).take(rows, step)


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
        expected = taken(resident.starts(number, 0), 1, rows, number)
        jax.tree.map(
            np.testing.assert_array_equal, taken(streamed.starts(number, 0), 1, rows, number), expected
        )
        assert expected.action.shape == (2, 3, 2)


def test_a_block_is_as_large_as_memory_allows(monkeypatch):
    data = make_data(False)
    size = sum(leaf.nbytes // ROWS for leaf in jax.tree.leaves(data))
    monkeypatch.setattr(feed, "_BLOCK_BYTES", 7 * SIZE * size)
    for seeds in (1, 2):
        keys = jnp.stack([jax.random.key(seed) for seed in range(seeds)])
        assert Streamed(data, seeds_mesh(seeds, 1), keys, draws, starts).updates == 7


def test_an_error_in_the_thread_reaches_the_training(feeds, monkeypatch):
    _, streamed, _ = feeds
    monkeypatch.setattr(streamed, "_block", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        streamed.at(0)
    streamed.close()


TOO_LARGE = {1e9: [False] * 3, 20e3: [False, False, True], 10e3: [False, True, True], 7e3: [True] * 3}


@pytest.mark.parametrize("limit", TOO_LARGE)
def test_data_are_streamed_if_they_are_too_large(limit, monkeypatch):
    """Observations take 2400 bytes and the rest 1600; with COCOA, and models per seed, there are more."""
    device = SimpleNamespace(memory_stats=lambda: {"bytes_limit": limit})
    monkeypatch.setattr(feed.jax, "local_devices", lambda: [device])
    wholes = np.zeros((ROWS, 6), np.float32)
    data = Batch(wholes, np.zeros((ROWS, 6), np.float32), wholes[:, 0], wholes[:, 1], wholes)
    config = Config(algo=IQL(), seeds=(0, 1))
    separate = Seek(per_seed=True)
    found = [too_large(data, replace(config, cocoa=cocoa)) for cocoa in (None, Seek(), separate)]
    assert found == TOO_LARGE[limit]


def test_a_cpu_never_streams_by_itself():
    if jax.default_backend() == "cpu":
        assert not too_large(make_data(False), Config(algo=IQL()))


@pytest.mark.parametrize("host", [False, True])
@pytest.mark.parametrize(("cocoa", "row"), [(None, 48 + 4 * 64), (Seek(hidden=(32, 16)), 72 + 4 * 32)])
def test_a_batch_that_fits_nowhere_is_refused(cocoa, row, host, monkeypatch):
    numbers = np.zeros(ROWS, np.float32)
    states = np.zeros((ROWS, 3), np.float32)
    data = Batch(states, np.zeros((ROWS, 4), np.float32), numbers, numbers, states)
    memory = None if host else {"bytes_limit": 100 * row}
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: memory)])
    monkeypatch.setattr(feed, "available_memory", lambda: 100 * row)
    config = Config(algo=IQL(hidden=(16, 64)), cocoa=cocoa, batch_size=100)
    check_batch(data, config)
    with pytest.raises(ConfigError, match=r"batch_size=101 needs at least 0.0 GB for an update"):
        check_batch(data, replace(config, batch_size=101))


def test_each_update_of_each_seed_draws_transitions_of_its_own():
    job = TrainingJob(BC(hidden=(8,)), make_networks(False), make_batch(False, ROWS), (3, 7), 300, 16)
    training = Training(job)
    keys, steps = training.keys.values, jnp.arange(300)
    rows = np.asarray(jax.vmap(jax.vmap(training._rows, (None, 0)), (0, None))(keys, steps)).reshape(600, 16)
    assert len(np.unique(rows, axis=0)) == 600
    assert chisquare(np.bincount(rows.ravel(), minlength=ROWS)).pvalue > 0.01
    # Within and across batches: half of a batch says nothing of the other, nor of the next one.
    for one, other in ((rows[:, :8], rows[:, 8:]), (rows[:-1], rows[1:])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05
