"""The stage of a run after its offline updates: environment steps, the updates beside them, what is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from cocoa.algos.base import Batch, Metrics
from cocoa.anchors.decomposition import Observe
from cocoa.config.schema import Config
from cocoa.data import Scaling
from cocoa.data.memory import available_memory
from cocoa.errors import ConfigError
from cocoa.storage.serialization import load_tree, save_tree
from cocoa.training.behaviour import Sampler, placed_like, stochastic
from cocoa.training.devices import evaluates_beside, host_mesh, seeds_mesh
from cocoa.training.evaluation import Evaluator
from cocoa.training.feed import data_bytes, device_memory, seen_bytes
from cocoa.training.job import TrainingJob, TrainState
from cocoa.training.loop import Training, mean
from cocoa.training.online import Online
from cocoa.training.replay import Replay
from cocoa.training.seeds import PerSeed
from cocoa.training.step_log import StepLog, begin
from cocoa.training.stepping import Stepper, Steps
from cocoa.training.streams import COLLECTED
from cocoa.training.turns import Turns


def check_possible(config: Config, stream: bool, evaluator: Evaluator | None) -> None:
    """Raise ConfigError if this run cannot go on in an environment; called before models are fitted."""
    steps = f"online.steps={config.online.steps}"
    if not config.env:
        raise ConfigError(f"{steps} needs an environment, and none is known: name one with env=.")
    if jax.process_count() > 1:
        raise ConfigError(
            f"{steps} is not possible in several processes: leave out distributed.*, so that one process "
            "trains all seeds."
        )
    if stream:
        raise ConfigError(
            f"{steps} is not possible with batches that are streamed from the host: set stream=false, and "
            "take a smaller dataset or a device with more memory if the data do not fit."
        )
    if evaluator and len(evaluator.instances) < len(config.seeds) * config.eval_episodes:
        raise ConfigError(
            f"{steps} is not possible in {config.env}, of which only one instance can exist at a time."
        )


def check_memory(config: Config, batch: Batch) -> None:
    """Raise ConfigError if a device has no room for what its seeds collect beside the transitions `batch`.

    Devices that do not tell their memory are cores of a CPU, which share the machine's.
    """
    steps, seeds = config.online.steps, len(config.seeds)
    memory = device_memory()
    if memory is None:
        memory = available_memory()
    else:
        seeds //= seeds_mesh(seeds, config.devices).size
    needed = steps * seeds * seen_bytes(batch, config, 1) / len(batch.reward)
    free = None if memory is None else memory - data_bytes(batch, config)
    if free is not None and needed > free:
        raise ConfigError(
            f"online.steps={steps} needs {needed / 1e9:.1f} GB for what {seeds} seeds collect on a device, "
            f"and {max(free, 0) / 1e9:.1f} GB are left beside the data. Take fewer steps, fewer seeds at a "
            "time, or more devices."
        )


class OnlineStage:
    """The environments of all seeds, and the alternation of their steps with updates."""

    def __init__(
        self,
        config: Config,
        scaling: Scaling,
        rewards: tuple[float, float],
        folder: Path,
        done: int,
        say: Callable[[str], None],
    ):
        """Make the environments, where the `done` steps in the run's `folder` ended.

        `rewards` are by what the environment's are multiplied and what is then added, as for the dataset's.
        Raises a UserError if the environments cannot be made, or steps are missing in the folder.
        """
        self.config, online = config, config.online
        self.turns = turns_of(config)
        self.log = StepLog(folder / "checkpoints" / "online")
        self.log.cut(done // online.envs)
        self._acting = folder / "checkpoints" / "acting"
        self._rewards, self._saved = rewards, done
        self._unsaved: list[Steps] = []
        self.stepper = Stepper(config.env or "", config.seeds, online.envs, scaling, COLLECTED)
        begin(self.stepper, self.log, say)

    def training(self, job: TrainingJob, observe: Observe | PerSeed, mesh: jax.sharding.Mesh) -> Training:
        """Return the training of a job whose updates draw from what is collected, too."""
        config, online = self.config, self.config.online
        replay = Replay(
            job.example,
            online.steps,
            len(job.seeds),
            observe,
            mesh,
            self.turns,
            online.envs,
            job.data,
            online.balanced,
            config.algo.discount if config.algo.returns else None,
        )
        training = Training(job, mesh, feed=replay)
        acting = host_mesh() if evaluates_beside(mesh) else mesh
        sampler = Sampler(stochastic(config.algo), job.template().learner, observe, job.seeds, acting)
        self._online = Online(training, replay, sampler, self.stepper, self.turns, rewards=self._rewards)
        self._online.refill(self.log.parts())
        return training

    def restore(self, state: TrainState) -> None:
        """Let the policy act next that was to act when the state was saved."""
        if self._saved:
            template = self._online.sampler.policies(state.learner)
            self._online.delayed = placed_like(load_tree(self._acting_path(self._saved), template), template)

    def chunk(self, state: TrainState, start: int, end: int) -> tuple[TrainState, Metrics]:
        """Make the environment steps from `start` to `end` and their updates.

        Return the state, which need not be there yet, and the means of the updates' metrics; none without
        updates. `state` cannot be used again.
        """
        parts: list[tuple[int, Metrics]] = []
        for step in range(start, end, self.turns.every):
            state, steps, metrics = self._online.block(state, step)
            self._unsaved.append(steps)
            parts += [(1, metrics)] if metrics else []
        return state, mean(parts) if parts else {}

    def save(self, done: int) -> None:
        """Write what a resumed run needs beside the state after `done` steps, which is saved next.

        What was written for the checkpoint before stays.
        """
        if not self._unsaved:
            return
        self.log.append(jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *self._unsaved))
        self._unsaved = []
        save_tree(self._acting_path(done), self._online.delayed)
        for path in self._acting.glob("*.safetensors"):
            if path not in (self._acting_path(done), self._acting_path(self._saved)):
                path.unlink()
        self._saved = done

    def close(self) -> None:
        """Close the environments."""
        self.stepper.close()

    def _acting_path(self, done: int) -> Path:
        """Return where the policies are kept that act after `done` steps."""
        return self._acting / f"{done:010}.safetensors"


def turns_of(config: Config) -> Turns:
    """Return how the steps and updates of a run alternate."""
    online = config.online
    updates = online.every * online.updates_per_step
    return Turns(online.every, updates, online.warmup, overlap=True, before=config.updates)
