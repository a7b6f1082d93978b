"""What the stages of a collection share: its folder, and the parts of its training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cocoa.algos.base import Batch
from cocoa.anchors.decomposition import Observe
from cocoa.anchors.encoder import build_networks
from cocoa.collection.settings import Collection
from cocoa.data import Scaling
from cocoa.environments.spaces import spaces
from cocoa.runs.progress import Stopper
from cocoa.storage.serialization import load_tree
from cocoa.training.behaviour import Policies, Sampler, placed_like
from cocoa.training.devices import evaluates_beside, host_mesh, seeds_mesh
from cocoa.training.job import TrainingJob
from cocoa.training.step_log import StepLog, begin
from cocoa.training.stepping import Stepper


class Setup:
    """The parts of a collection that do not change."""

    def __init__(self, settings: Collection, folder: Path, say: Callable[[str], None], stopper: Stopper):
        """Raises DataError if the environment has no vectors of continuous observations and actions."""
        self.settings, self.folder, self.say, self.stopper = settings, folder, say, stopper
        bounds = spaces(settings.env)
        self.time_limit = bounds.time_limit
        observation_dim, action_dim = bounds.observation_dim, len(bounds.action_low)
        zeros, ones = np.zeros(observation_dim, np.float32), np.ones(observation_dim, np.float32)
        center = (bounds.action_high + bounds.action_low) / 2
        half_range = (bounds.action_high - bounds.action_low) / 2
        self.scaling = Scaling(zeros, ones, center, half_range)
        self.observe = Observe(zeros, ones)  # type: ignore[arg-type]
        self.mesh = seeds_mesh(len(settings.seeds), settings.devices)
        self.job = self._job(observation_dim, action_dim)
        self.acting = host_mesh() if evaluates_beside(self.mesh) else self.mesh
        """Where actions are computed."""
        template = self.job.template().learner
        self.sampler = Sampler(_sample, template, self.observe, settings.seeds, self.acting)

    @property
    def action_dim(self) -> int:
        """The size of actions."""
        return len(self.scaling.action_center)

    @property
    def checkpoint(self) -> Path:
        """Where the state of the training is kept."""
        return self.folder / "checkpoints" / "latest.safetensors"

    def log(self, name: str) -> StepLog:
        """Return the steps of the training, or of a policy."""
        return StepLog(self.folder / "checkpoints" / name)

    def snapshot(self, step: int) -> Path:
        """Return where the policies after an environment step are kept."""
        return self.folder / "checkpoints" / "policies" / f"{step:010}.safetensors"

    def policies(self, step: int) -> Policies:
        """Return the policies that were kept after an environment step."""
        template = self.policy_template()
        return placed_like(load_tree(self.snapshot(step), template), template)

    def policy_template(self) -> Policies:
        """Return arrays of the sizes of the policies of all seeds, where they belong."""
        shapes = self.job.template().learner
        return self.sampler.policies(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes))

    def stepper(self, stream: int, log: StepLog) -> Stepper:
        """Return the environments of all seeds, where a log ends; `stream` is as in `Stepper`."""
        settings = self.settings
        stepper = Stepper(settings.env, settings.seeds, settings.envs, self.scaling, stream)
        begin(stepper, log, self.say)
        return stepper

    def _job(self, observation_dim: int, action_dim: int) -> TrainingJob:
        settings = self.settings

        def rows(*shape: int) -> Any:
            return jax.ShapeDtypeStruct((settings.steps, *shape), np.float32)

        states = rows(observation_dim)
        data = Batch(states, rows(action_dim), rows(), rows(), states)
        networks = build_networks(settings.algo, None, action_dim)
        updates = settings.steps * settings.updates_per_step
        return TrainingJob(settings.algo, networks, data, settings.seeds, updates, settings.batch_size)


def _sample(learner: Any, observation: Any, key: Any) -> tuple[Any, Any]:
    """Return SAC's stochastic actions and their log-densities."""
    return learner.actor(observation).sample_and_log_prob(key)
