"""A trained policy: a function from observations to actions, loaded from a run's folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.base import Algorithm, Batch
from cocoa.anchors import Ingredients, SeekerFit, build_anchors
from cocoa.anchors.learned import NETWORK, Learned
from cocoa.compilation import Lean, single_precision
from cocoa.config import Config
from cocoa.data import Scaling
from cocoa.decomposition import Observe
from cocoa.errors import RunError
from cocoa.serialization import load_tree, read_metadata, save_tree
from cocoa.training.devices import start_backend
from cocoa.training.loop import Training
from cocoa.training.runs import checkpoint_path, find_run, read_config, resume_command
from cocoa.transduction import build_networks
from dynamics.fit import EnsembleFit
from dynamics.forward import ForwardModel


@struct.dataclass
class Senses:
    """What stands between the environment and the networks of a run; leaves as in `Prepared.observe`."""

    observe: Observe
    scaling: Scaling


class Policy:
    """`policy(observation) -> action`: the deterministic policy of one seed, in the environment's units."""

    def __init__(self, algorithm: Algorithm, state: Any, senses: Senses, folder: Path, seed: int):
        """`state` is the algorithm's, of one seed; `folder` is the run it comes from."""
        self.folder = folder
        self.seed = seed
        self._shape = senses.scaling.observation_mean.shape

        def act(given: tuple[Any, Senses], observation: jax.Array) -> jax.Array:
            state, senses = given
            action = algorithm.act(state, senses.observe(observation))
            return senses.scaling.to_environment(jnp.clip(action, -1, 1))  # as in evaluation

        self._act = Lean(act, (state, senses), np.zeros((1, *self._shape), np.float32))
        self._leaves = self._act.leaves((state, senses))

    def __call__(self, observation: Any) -> np.ndarray:
        """Return actions (..., A) for observations (..., O). Raises ValueError for another shape."""
        observation = np.asarray(observation, np.float32)
        if observation.shape[-1:] != self._shape:
            raise ValueError(
                f"the policy takes observations of shape (..., {self._shape[0]}), not {observation.shape}"
            )
        return np.asarray(self._act(self._leaves, observation))


def senses_are_whole(folder: Path) -> bool:
    """Tell whether the file of `save_senses` is there, and not cut."""
    try:
        return bool(read_metadata(_senses_path(folder)))
    except RunError:
        return False


def save_senses(folder: Path, senses: Senses) -> None:
    """Write what `load_policy` needs beside the training's state."""
    dims = {
        "observation_dim": len(senses.scaling.observation_mean),
        "action_dim": len(senses.scaling.action_center),
    }
    save_tree(_senses_path(folder), senses, {name: str(size) for name, size in dims.items()})


@single_precision
def load_policy(folder: str | Path, seed: int | None = None) -> Policy:
    """Return the policy that the run in `folder` saved last, of `seed` or else of the run's first seed.

    Raises RunError if the folder is no run, has no checkpoint yet, or does not train this seed.
    """
    run = find_run(folder)
    config = read_config(run)
    start_backend()
    seed = config.seeds[0] if seed is None else seed
    if seed not in config.seeds:
        raise RunError(f"{run} has the seeds {list(config.seeds)}, not {seed}.")
    if not checkpoint_path(run).exists():
        raise RunError(f"{run} has no checkpoint yet: resume it with {resume_command(run)}")
    try:
        dims = read_metadata(_senses_path(run))
    except RunError as error:
        raise RunError(f"{error} To have it written anew: {resume_command(run)}") from error
    observation_dim, action_dim = int(dims["observation_dim"]), int(dims["action_dim"])
    senses = load_tree(_senses_path(run), _senses_template(config, observation_dim, action_dim))
    per_seed = config.cocoa is not None and config.cocoa.per_seed
    position = config.seeds.index(seed)
    observe = _pick(senses.observe, position) if per_seed else senses.observe
    template = _training(config, observe, observation_dim, action_dim).template(len(config.seeds))
    state = load_tree(checkpoint_path(run), template, same_shapes=True)
    return Policy(config.algo, _pick(state.learner, position), Senses(observe, senses.scaling), run, seed)


def _senses_path(folder: Path) -> Path:
    return folder / "checkpoints" / "senses.safetensors"


def _pick(tree: Any, position: int) -> Any:
    return jax.tree.map(lambda x: x[position], tree)


def _training(config: Config, observe: Observe, observation_dim: int, action_dim: int) -> Training:
    """Return a training on a single transition, which has states of the right structure."""
    observation = observe(jnp.zeros((1, observation_dim)))
    data = Batch(observation, jnp.zeros((1, action_dim)), jnp.zeros(1), jnp.zeros(1), observation)
    networks = build_networks(config.algo, config.cocoa, action_dim)
    return Training(config.algo, networks, data, config.seeds, config.updates, config.batch_size)


def _senses_template(config: Config, observation_dim: int, action_dim: int) -> Senses:
    """Return senses of the right structure, made from random numbers."""
    rng = np.random.default_rng(0)
    rows = 4 + (config.cocoa.horizon if config.cocoa else 0)
    states = rng.normal(size=(rows, observation_dim)).astype(np.float32)
    actions = rng.uniform(-1, 1, (rows, action_dim)).astype(np.float32)
    key = jax.random.key(0)
    zeros = jnp.zeros(observation_dim)
    anchors = None
    if config.cocoa:
        inputs, targets = np.concatenate([states, actions], 1), np.column_stack([states, states[:, 0]])
        model = EnsembleFit(config.dynamics, inputs, targets, key)
        network_fit = EnsembleFit(NETWORK, states, states, key)
        network = jax.eval_shape(lambda: network_fit.result(network_fit.init()))
        seeker = SeekerFit(config.cocoa.seeker, states, actions, key)
        given = Ingredients(
            states,
            np.zeros(rows, np.int32),
            np.ones(observation_dim, np.float32),
            key,
            forward=ForwardModel(jax.eval_shape(lambda: model.result(model.init()))),
            seeker=jax.eval_shape(lambda: seeker.result(seeker.init())),
            network=network,
        )
        anchors = build_anchors(config.cocoa, given)
        if config.cocoa.amortised:
            anchors = Learned(network)
    scaling = Scaling(zeros, zeros, jnp.zeros(action_dim), jnp.zeros(action_dim))
    return Senses(Observe(zeros, zeros, anchors), scaling)  # type: ignore[arg-type]
