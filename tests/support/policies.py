"""Policies of every algorithm and anchor variant whose arrays are random: nothing is trained for them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from support.pendulum import MODELS, WIDTHS

from cocoa.algos import REGISTRY, Algorithm
from cocoa.anchors import ANCHORS, SeekerConfig
from cocoa.config.schema import Config
from cocoa.runs.interface import _template
from cocoa.runs.policy import Policy, _state_template
from cocoa.training.seeds import of_seed

OBSERVATION_DIM, ACTION_DIM = 3, 2


def configured(algo: str | type[Algorithm], anchors: str | None) -> Config:
    """Return a configuration with small networks."""
    kind = REGISTRY[algo] if isinstance(algo, str) else algo
    chosen = None
    if anchors:
        small = {"seeker": SeekerConfig(hidden=(16,))} if _has(ANCHORS[anchors], "seeker") else {}
        chosen = ANCHORS[anchors](**WIDTHS, **small)
    small = {"hidden": (16,)} if _has(kind, "hidden") else {}
    return Config(algo=kind(**small), cocoa=chosen, dynamics=MODELS, env="Any-v0")


def untrained(algo: str | type[Algorithm], anchors: str | None, rows: int = 20) -> Policy:
    """Return a policy of random arrays; those that depend on the number of the data's rows have `rows`."""
    config, rng = configured(algo, anchors), np.random.default_rng(0)

    def drawn(leaf):
        shape = tuple(size or rows for size in leaf.shape)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.asarray(rng.normal(size=shape) / 2, leaf.dtype)
        return jnp.zeros(shape, leaf.dtype)

    interface = jax.tree.map(drawn, _template(config, OBSERVATION_DIM, ACTION_DIM))
    state = jax.tree.map(drawn, _state_template(config, interface).learner)
    return Policy(config, of_seed(state, 0), interface, Path("runs/a/b/untrained"), 0, updates=5)


def _has(cls: type, name: str) -> bool:
    return name in {field.name for field in fields(cls)}
