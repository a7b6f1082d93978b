"""Small batches, networks and worlds that many tests share."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cocoa.algos import Batch
from cocoa.algos.base import World
from cocoa.algos.networks import Networks
from cocoa.anchors.decomposition import Observe
from cocoa.anchors.encoder import Transduction
from cocoa.data.behaviour import extended

OBSERVATION_DIM, ACTION_DIM = 3, 2


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

    def sample(self, state, action, key):
        (mean, _), (std, _) = self.distribution(state, action)
        drawn = mean + std * jax.random.normal(key, mean.shape)
        return drawn[:, :-1], drawn[:, -1]


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
    return extended(batch, next_action=action * known[:, None], next_action_known=known)


def scatter(state, models, targets=()):
    """Move all parameters of the named fields at random, so that none stays at a special value such as 0."""
    rng, state = np.random.default_rng(0), jax.device_get(state)

    def move(tree):  # by NumPy, which compiles nothing
        return jax.tree.map(lambda x: x + (0.2 * rng.normal(size=x.shape)).astype(x.dtype), tree)

    fields = {name: getattr(state, name).replace(params=move(getattr(state, name).params)) for name in models}
    moved = state.replace(**fields, **{name: move(getattr(state, name)) for name in targets})
    return jax.tree.map(jnp.asarray, moved)


class Quiet:
    """A watcher that shows nothing."""

    def say(self, text):
        pass

    def epoch(self, *progress):
        pass

    def check(self):
        pass
