"""Small ingredients that many tests share."""

import dataclasses
import os

# Most of the tests' time is XLA's compilation, which reads this as JAX is imported.
# With XLA_FLAGS= pytest the tests run what users run.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from pendulum import COCOA, ENV, MODELS, ROOT

import cocoa
from cocoa.algos import Batch
from cocoa.algos.base import NextActionBatch, World
from cocoa.algos.networks import Networks
from cocoa.anchors.decomposition import Observe
from cocoa.anchors.encoder import Transduction
from cocoa.config.schema import Config
from cocoa.data.spaces import make_environment
from cocoa.runs import launch

OBSERVATION_DIM, ACTION_DIM = 3, 2

# As in a run: on a GPU, JAX's own precision is far from that of the oracles.
jax.config.update("jax_default_matmul_precision", Config.matmul_precision)


@struct.dataclass
class Shift:
    """Anchors at a fixed offset: enough to make observations decompositions."""

    def __call__(self, states):
        return 0.5 * states + 0.1


def make_observe(with_cocoa):
    zero, one = jnp.zeros(OBSERVATION_DIM), jnp.ones(OBSERVATION_DIM)
    return Observe(zero, one, Shift() if with_cocoa else None)


@struct.dataclass
class KnownModel:
    """Two members that agree on a bandit: the reward is higher the nearer the first action is to 0.5."""

    def distribution(self, state, action):
        mean = jnp.concatenate([0.5 * state, bandit_reward(action)[..., None]], axis=-1)
        return jnp.stack([mean, mean]), jnp.full((2, *mean.shape), 0.1)


@struct.dataclass
class Always:
    """Every step is the last."""

    def __call__(self, state, action, next_state):
        return jnp.ones(next_state.shape[:-1], bool)


def bandit_reward(action):
    return 1 - 2 * jnp.abs(action[..., 0] - 0.5)


def make_world(with_cocoa):
    return World(KnownModel(), make_observe(with_cocoa), Always(), jnp.float32(1), jnp.float32(0))


def make_networks(with_cocoa):
    if with_cocoa:
        return Networks(ACTION_DIM, (16,), Transduction((8,), 4))
    return Networks(ACTION_DIM, (16, 16))


def make_batch(with_cocoa, size=64, seed=0):
    rng = np.random.default_rng(seed)
    observe = make_observe(with_cocoa)

    def states():
        return observe(jnp.asarray(rng.normal(size=(size, OBSERVATION_DIM)), jnp.float32))

    return Batch(
        observation=states(),
        action=jnp.asarray(rng.uniform(-0.9, 0.9, (size, ACTION_DIM)), jnp.float32),
        reward=jnp.asarray(rng.normal(size=size), jnp.float32),
        terminal=jnp.asarray(rng.random(size) < 0.3, jnp.float32),
        next_observation=states(),
    )


def with_next_actions(batch):
    """The batch with random next actions, of which every other is known."""
    rng = np.random.default_rng(5)
    action = jnp.asarray(rng.uniform(-0.9, 0.9, batch.action.shape), jnp.float32)
    known = jnp.arange(len(action)) % 2.0
    return NextActionBatch(**vars(batch), next_action=action * known[:, None], next_action_known=known)


def scatter(state, models, targets=()):
    """Move all parameters of the named fields at random, so that none stays at a special value such as 0."""
    rng = np.random.default_rng(0)

    def move(tree):
        return jax.tree.map(lambda x: x + jnp.asarray(0.2 * rng.normal(size=x.shape), x.dtype), tree)

    fields = {name: getattr(state, name).replace(params=move(getattr(state, name).params)) for name in models}
    return state.replace(**fields, **{name: move(getattr(state, name)) for name in targets})


@pytest.fixture(params=[False, True], ids=["plain", "cocoa"])
def with_cocoa(request):
    return request.param


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Compile equal programs once per test session, in whichever process."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A D4RL-format file of 2000 random steps."""
    env = make_environment(ENV)
    rng = np.random.default_rng(0)
    rows = {key: [] for key in ("observations", "actions", "rewards", "terminals", "timeouts")}
    state, _ = env.reset(seed=0)
    for _ in range(2000):
        action = rng.uniform(-1, 1, 1).astype(np.float32)
        next_state, reward, terminal, timeout, _ = env.step(action)
        for key, value in zip(rows, (state, action, reward, terminal, timeout), strict=True):
            rows[key].append(value)
        state = env.reset()[0] if terminal or timeout else next_state
    path = tmp_path_factory.mktemp("data") / "pendulum.hdf5"
    with h5py.File(path, "w") as file:
        for key, values in rows.items():
            file[key] = np.asarray(values)
    return path


@pytest.fixture(scope="module")
def config(recording, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    return Config(
        algo=cocoa.IQL(hidden=(16,)),
        cocoa=COCOA,
        dataset=str(recording),
        env=ENV,
        seeds=(3, 7),
        updates=60,
        batch_size=32,
        log_every=10,
        eval_every=20,
        eval_episodes=2,
        dynamics=MODELS,
        wandb="off",
        runs_dir=str(folder / "runs"),
        cache_dir=str(folder / "cache"),
    )


@pytest.fixture(scope="module")
def finished(config):
    return launch.run(dataclasses.replace(config, name="whole"))


@pytest.fixture(scope="module")
def subprocess_env():
    return {**os.environ, "PYTHONPATH": str(ROOT)}
