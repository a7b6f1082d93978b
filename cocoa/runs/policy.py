"""A trained policy: a function from observations to actions, loaded from a run's folder alone."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cocoa.algos.base import Batch
from cocoa.anchors.decomposition import Observe
from cocoa.anchors.encoder import build_networks
from cocoa.config.schema import Config, names_modules
from cocoa.data.behaviour import extended
from cocoa.data.sources.names import label
from cocoa.dynamics.xla.numerics import HIGHEST, standard_numerics
from cocoa.dynamics.xla.pruning import PrunedFunction
from cocoa.errors import RunError
from cocoa.export.files import write
from cocoa.export.function import PolicyFunction
from cocoa.runs.checkpoint import load_state, read_identified
from cocoa.runs.folder import checkpoint_path, find_run, read_config, resume_command
from cocoa.runs.interface import Interface, read_interface
from cocoa.runs.places import method
from cocoa.runs.provenance import provenance
from cocoa.storage.files import expanded
from cocoa.training.devices import start_backend
from cocoa.training.job import TrainingJob, TrainState
from cocoa.training.seeds import PerSeed, of_seed

_VERSIONS = ("cocoa-rl", "jax")
"""The packages whose versions are stored in an exported file."""


class Policy:
    """`policy(observation) -> action`: the deterministic policy of one seed, in the environment's units.

    The policy of an algorithm that is `sampled` has no such action: its calls draw, as `sample` does.
    It pickles as the run's folder and its seed: to unpickle it is to load what the folder then holds.
    """

    def __init__(
        self,
        config: Config,
        state: Any,
        interface: Interface,
        folder: Path,
        seed: int,
        updates: int = 0,
        dataset_sha256: str = "",
    ):
        """`state` is the algorithm's, of one seed; `folder` is the run it comes from.

        `updates` are those that were done, and `dataset_sha256` is of the data that it was trained on.
        """
        self.folder = folder
        self.seed = seed
        algorithm = config.algo
        self._scaling = interface.scaling
        observation_dim, action_dim = interface.dims
        self._metadata = {
            "inputs": "observation, draw" if algorithm.sampled else "observation",
            "observation_dim": str(observation_dim),
            "action_dim": str(action_dim),
            "algorithm": method(config),
            "run": folder.absolute().name,
            "seed": str(seed),
            "updates": str(updates),
            "dataset": label(config.dataset),
            "dataset_sha256": dataset_sha256,
            "environment": config.env or "",
        }
        self._classes = type(algorithm), type(config.cocoa)
        self._shape = interface.scaling.observation_mean.shape
        self._draws = itertools.count()
        example = np.zeros((1, *self._shape), np.float32)

        def act(parts: tuple[Any, Interface], inputs: tuple[jax.Array, ...]) -> jax.Array:
            (state, interface), (observation, *draw) = parts, inputs
            key = jax.random.key(seed, impl="threefry2x32")
            keys = [jax.random.fold_in(key, number) for number in draw]
            with jax.default_matmul_precision(HIGHEST):  # as in evaluation
                action = algorithm.act(state, interface.observe(observation), *keys)
                return interface.scaling.to_environment(jnp.clip(action, -1, 1))  # as in evaluation

        parts = state, interface
        self._sample = PrunedFunction(act, parts, (example, np.int32(0)))
        self._sample_leaves = self._sample.leaves(parts)
        self._sampled = algorithm.sampled
        self._act = self._sample if algorithm.sampled else PrunedFunction(act, parts, (example,))
        self._leaves = self._act.leaves(parts)

    def __repr__(self) -> str:
        about = self._metadata
        sizes = f"{about['observation_dim']} -> {about['action_dim']}"
        trained = f"{about['algorithm']}, {about['dataset']}, seed {self.seed}, {about['updates']} updates"
        return f"<Policy {sizes}: {trained}, {str(self.folder)!r}>"

    def __call__(self, observation: Any) -> np.ndarray:
        """Return actions (..., A) for observations (..., O). Raises ValueError for another shape."""
        if self._sampled:
            return self.sample(observation)
        return np.asarray(self._act(self._leaves, (self._checked(observation),)))

    def sample(self, observation: Any) -> np.ndarray:
        """Return actions (..., A) drawn from the stochastic policy, other ones with each call.

        The policy's seed and the number of draws since it was loaded decide the noise. A policy without
        noise, such as that of behaviour cloning, returns its action. Raises ValueError for observations that
        are not (..., O).
        """
        inputs = self._checked(observation), np.int32(next(self._draws))
        return np.asarray(self._sample(self._sample_leaves, inputs))

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """Return actions (..., A) and `state`, as the models of Stable-Baselines3 do.

        The policy has no memory: `state` is returned as it is, and `episode_start` is not used. That of an
        algorithm that is `sampled` draws its actions in any case.
        """
        return (self if deterministic else self.sample)(observation), state

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the policy, as it is called, to one file that needs neither this project nor the run.

        The file maps `observation` (batch, O) to `action` (batch, A), float32, in the environment's units,
        for any number of rows. Normalisation, anchors, bounds of actions and the precision of matrix products
        are inside. If the policy draws its actions, there is a second input, `draw`, an int32, which decides
        the noise: with 0, 1, 2 ... the actions are those of the policy's calls after it was loaded. The
        name's ending is the format:

        - `.stablehlo`: `jax.export.deserialize(file.read()).call(observation)`, on CPU, CUDA and TPU.
          It needs the extra "stablehlo", which is the package flatbuffers;
        - `.onnx`: for onnxruntime and others. It needs the extra "onnx"; the actions are compared with the
          policy's, to 1e-5, before anything is written. A policy that draws its actions is refused.

        What the policy is goes to <path>.json, and into an ONNX file too: the inputs, the sizes of
        observations and actions, algorithm, run, seed, updates, dataset and its SHA-256, environment,
        versions.

        Raises ConfigError for another ending or a missing folder, DataError if the extra is missing, and
        RunError if the policy cannot be exported to this format or the file cannot be written.
        """
        versions = provenance()["versions"]
        metadata = {**self._metadata, **{f"version_{name}": versions[name] or "" for name in _VERSIONS}}
        scaling = self._scaling
        examples = scaling.observation_mean, scaling.observation_std
        function = PolicyFunction(self._act, self._leaves, self._sampled, *examples, metadata)
        write(function, expanded(path, "path"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the call that loads this policy; the algorithm's class lets its module be imported."""
        return _restore, (str(self.folder.absolute()), self.seed, self._classes)

    def _checked(self, observation: Any) -> np.ndarray:
        observation = np.asarray(observation, np.float32)
        if observation.shape[-1:] != self._shape:
            raise ValueError(
                f"the policy takes observations of shape (..., {self._shape[0]}), not {observation.shape}"
            )
        return observation


def _restore(folder: str, seed: int, classes: tuple[type, type]) -> Policy:
    """Load a pickled policy; the classes of its algorithm and anchor variant have been imported by now."""
    return load_policy(folder, seed)


@standard_numerics
def load_policy(folder: str | os.PathLike[str], seed: int | None = None, trust: bool = False) -> Policy:
    """Return the policy that the run in `folder` saved last, of `seed` or else of the run's first seed.

    A run of a class from a module that is not imported yet is loaded only with `trust`, since importing it
    runs its code; nothing else in a run's folder is ever executed. Raises RunError if the folder is no
    run, has no checkpoint yet, or does not train this seed.
    """
    run = find_run(folder)
    config = read_config(run, trust)
    start_backend()
    seed = config.seeds[0] if seed is None else seed
    position = position_of(seed, config, run)
    learners = load_learners(run, config)
    interface = of_seed(learners.interface, position)
    learner = of_seed(learners.learner, position)
    return Policy(config, learner, interface, run, seed, learners.step, learners.dataset_sha256)


@dataclass(frozen=True)
class Learners:
    """What a run saved last, of all its seeds."""

    step: int
    """Updates that were done."""
    dataset_sha256: str
    """Of the data that it was trained on."""
    learner: PerSeed
    """The algorithm's state."""
    interface: Interface
    """Between the environment and the networks; its `observe` is `PerSeed` where each seed has its own."""


def load_learners(run: Path, config: Config) -> Learners:
    """Return what the run in the folder `run`, with this configuration, saved last.

    Raises RunError if the run has no checkpoint yet, or one of its files is missing or damaged.
    """
    command = resume_command(run, names_modules(config))
    if not checkpoint_path(run).exists():
        raise RunError(f"{run} has no checkpoint yet: resume it with {command}")
    saved = read_identified(checkpoint_path(run), config)
    try:
        interface = read_interface(run, config, saved["dataset_sha256"])
    except RunError as error:
        raise RunError(f"{error} To have it written again: {command}") from error
    state = load_state(checkpoint_path(run), _state_template(config, of_seed(interface, 0)))
    return Learners(int(saved["step"]), saved["dataset_sha256"], state.learner, interface)


def position_of(seed: int, config: Config, run: Path) -> int:
    """Return the position of a seed among those of a run. Raises RunError if the run does not train it."""
    if seed not in config.seeds:
        raise RunError(f"{run} has the seeds {list(config.seeds)}, not {seed}.")
    return config.seeds.index(seed)


def _state_template(config: Config, interface: Interface) -> TrainState:
    """Return shapes and types of a run's state; the interface is one seed's."""
    observation_dim, action_dim = interface.dims

    def numbers(*shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    observation = jax.eval_shape(Observe.__call__, interface.observe, numbers(1, observation_dim))
    action, number = numbers(1, action_dim), numbers(1)
    data = Batch(observation, action, number, number, observation)
    if config.algo.next_actions:
        data = extended(data, next_action=action, next_action_known=number)
    if config.algo.returns:
        data = extended(data, return_to_go=number)
    networks = build_networks(config.algo, config.cocoa, action_dim)
    job = TrainingJob(config.algo, networks, data, config.seeds, config.all_updates, config.batch_size)
    return job.template()
