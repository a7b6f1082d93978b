"""Compare FQL and IFQL with their authors' code, update by update.

    python -m benchmarks.authors_fql <checkout of github.com/seohongpark/fql> <dataset.hdf5> [updates]

Both codes start from the authors' initial weights, see the same batches, and draw the same noise: normal and
uniform numbers are replaced by fixed ones of the same shape. It prints the largest difference between the
parameters of each network after the first update and after the last. FQL's differences are of the size of
rounding errors. IFQL's values and critics differ more: ours regresses the critics to the value after its
update, as IQL does, and the authors' code to the value before it. Needs `ml_collections`.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from cocoa.algos import REGISTRY
from cocoa.algos.base import Batch
from cocoa.algos.networks import Networks

HIDDEN, SIZE, UPDATES = (64, 64), 256, 20
SETTINGS = {"fql": {"alpha": 1.0, "normalize_q": True}, "ifql": {}}
THEIRS = {"fql": {"alpha": 1.0, "normalize_q_loss": True}, "ifql": {}}
POLICIES = {
    "fql": {"actor": "modules_actor_onestep_flow", "flow": "modules_actor_bc_flow"},
    "ifql": {"actor": "modules_actor_flow"},
}
"""Their names of our networks that are `ActorVectorField`s there."""


def batches(path: str, updates: int) -> Batch:
    """Return random transitions of a D4RL file, leaves (updates, SIZE, ...)."""
    names = "observations", "actions", "rewards", "terminals", "next_observations"
    with h5py.File(path) as file:
        columns = [np.asarray(file[name]) for name in names]
    rows = np.random.default_rng(0).permutation(len(columns[0]))[: updates * SIZE]
    return Batch(*(jnp.asarray(x[rows].reshape(updates, SIZE, *x.shape[1:]), jnp.float32) for x in columns))


def _agents(checkout: str, name: str) -> Any:
    """Import a module of the authors' `agents` without the packages that only their other agents need."""
    sys.path.append(checkout)
    package = types.ModuleType("agents")
    package.__path__ = [str(Path(checkout) / "agents")]
    distrax: Any = types.ModuleType("distrax")
    distrax.Transformed = object
    with patch.dict(sys.modules, agents=package, distrax=distrax):
        return importlib.import_module(f"agents.{name}")


def their_agent(checkout: str, name: str, batch: Batch) -> Any:
    """Return the authors' untrained agent."""
    module = _agents(checkout, name)
    config = module.get_config()
    config.update({"actor_hidden_dims": HIDDEN, "value_hidden_dims": HIDDEN, **THEIRS[name]})
    return getattr(module, f"{name.upper()}Agent").create(0, batch.observation, batch.action, config)


def _network(params: Any) -> Any:
    """Return the parameters of one of their MLPs under our names."""
    last = f"Dense_{len(HIDDEN)}"
    return {"MLP_0": {name: x for name, x in params.items() if name != last}, "Dense_0": params[last]}


def in_our_names(name: str, agent: Any) -> dict[str, Any]:
    """Return all parameters of the authors' agent under the names of ours."""
    params = agent.network.params

    def critics(module: str) -> Any:
        both = params[module]["value_net"]
        return {f"Value_{i}": _network(jax.tree.map(lambda x, i=i: jnp.array(x[i]), both)) for i in (0, 1)}

    named = {ours: _network(params[theirs]["mlp"]) for ours, theirs in POLICIES[name].items()}
    if name == "ifql":
        named["value"] = _network(params["modules_value"]["value_net"])
    return named | {"critics": critics("modules_critic"), "target_critics": critics("modules_target_critic")}


def our_parameters(state: Any, name: str) -> Any:
    """Return the parameters of a network of our state."""
    return state.target_critics if name == "target_critics" else getattr(state, name).params


def with_parameters(state: Any, named: dict[str, Any]) -> Any:
    """Return our state with other parameters."""
    copies = {name: jax.tree.map(jnp.array, params) for name, params in named.items()}
    targets = copies.pop("target_critics")
    models = {name: replace(getattr(state, name), params=params) for name, params in copies.items()}
    return replace(state, target_critics=targets, **models)


@contextmanager
def same_noise() -> Iterator[None]:
    """Let `jax.random` return the same numbers for the same number of elements, whatever the key."""

    def normal(key: Any, shape: Any = (), *_: Any) -> Any:
        return jnp.asarray(
            np.random.default_rng(np.prod(shape, dtype=int)).standard_normal(shape), jnp.float32
        )

    def uniform(key: Any, shape: Any = (), *_: Any) -> Any:
        return jnp.asarray(np.random.default_rng(np.prod(shape, dtype=int)).random(shape), jnp.float32)

    with patch.multiple(jax.random, normal=normal, uniform=uniform):
        yield


def largest_differences(state: Any, name: str, agent: Any) -> str:
    """Say by how much the parameters of each network differ at most."""
    parts = []
    for network, theirs in in_our_names(name, agent).items():
        gaps = jax.tree.map(lambda x, y: jnp.abs(x - y).max(), dict(our_parameters(state, network)), theirs)
        parts.append(f"{network} {max(map(float, jax.tree.leaves(gaps))):.1e}")
    return ", ".join(parts)


def compare(checkout: str, name: str, data: Batch) -> Iterator[str]:
    """Update both codes with all batches; yield the differences after the first and after the last."""
    first = jax.tree.map(lambda x: x[0], data)
    algorithm = REGISTRY[name](hidden=HIDDEN, **SETTINGS[name])
    networks = Networks(first.action.shape[-1], HIDDEN, activation=algorithm.activation)
    agent = their_agent(checkout, name, first)
    state = with_parameters(algorithm.init(jax.random.key(0), networks, first, 1), in_our_names(name, agent))
    update = jax.jit(algorithm.update)
    with same_noise():
        for done in range(1, len(data.reward) + 1):
            batch = jax.tree.map(lambda x, i=done - 1: x[i], data)
            state, _ = update(state, batch, jax.random.key(0))
            columns = dict(observations=batch.observation, actions=batch.action, rewards=batch.reward)
            columns |= dict(masks=1 - batch.terminal, next_observations=batch.next_observation)
            agent, _ = agent.update(columns)
            if done in (1, len(data.reward)):
                yield f"{name}, {done} updates: {largest_differences(state, name, agent)}"


if __name__ == "__main__":
    repository, dataset, *count = sys.argv[1:]
    for algo in SETTINGS:
        for line in compare(repository, algo, batches(dataset, int(count[0]) if count else UPDATES)):
            print(line, flush=True)
