"""The composition root: the only place where data, models, algorithm and training are put together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from cocoa.algos.base import Batch
from cocoa.anchors.decomposition import Observe
from cocoa.anchors.encoder import build_networks
from cocoa.config.schema import Config
from cocoa.data import (
    Dataset,
    Scaling,
    action_bounds,
    batch_for,
    normalized_score,
    split,
    unnormalized_batch,
    whose_references,
)
from cocoa.data.held_out import batches
from cocoa.data.preprocessing import reward_map
from cocoa.dynamics.xla.program_cache import keep_compilations
from cocoa.preparation.cache import Store
from cocoa.preparation.inputs import TrainingInputs, build_inputs, observed
from cocoa.runs.checkpoint import load_state
from cocoa.runs.evaluations import Evaluations
from cocoa.runs.interface import Interface
from cocoa.runs.online import OnlineStage, check_memory, check_possible
from cocoa.runs.progress import Progress, Stopper
from cocoa.runs.record import Record
from cocoa.runs.trainer import Trainer
from cocoa.runs.video import film
from cocoa.training import processes
from cocoa.training.devices import describe, evaluates_beside, host_mesh, seeds_mesh
from cocoa.training.evaluation import Actor, Evaluator
from cocoa.training.feed import check_batch, too_large
from cocoa.training.held_out import HeldOut
from cocoa.training.job import TrainingJob, TrainState
from cocoa.training.loop import Training
from cocoa.training.seeds import PerSeed, for_seeds, of_seed


class Experiment:
    """The stages of one run, in this process."""

    def __init__(self, config: Config, dataset: Dataset, record: Record, stopper: Stopper):
        """`record` holds where the run stands, and what it writes."""
        self.config = config
        self.dataset = dataset
        self.episodes, self.held_out = split(dataset, config.data)
        self.record = record
        self.stopper = stopper
        self.share = processes.share(len(config.seeds))

    def train(self) -> None:
        """Run all stages to the end."""
        config, record = self.config, self.record
        record.say(f"Run folder: {record.folder}")
        batch, scaling = self._transitions()
        record.summarize("running")
        check_batch(batch, config)
        # Before models are fitted: the environment may turn out to be unusable.
        evaluator = processes.all_or_none(lambda: self._evaluator(scaling))
        with _closing(evaluator):
            stream = too_large(batch, config) if config.stream is None else config.stream
            with _closing(online := self._online(batch, scaling, stream, evaluator)):
                inputs = self._inputs(batch, scaling, stream, evaluator)
                self.stopper.check()
                self._train(inputs, stream, evaluator, online)
        if config.video and processes.leads():
            with record.stage("video"):
                record.loggers.videos(record.step, film(record.folder, config, record.say))
        record.close("finished")

    def _transitions(self) -> tuple[Batch, Scaling]:
        """Return all transitions, states in the environment's units, and how they are to be scaled."""
        config, record = self.config, self.record
        with record.stage("data"):
            batch, scaling = self._batch(self.episodes)
        record.say(self._describe_data())
        for note in self._describe_unknown() if record.step == 0 else ():
            record.say(note)
        if record.step == 0 and (objection := config.algo.objection(batch)):
            record.say(f"Warning: {objection}")
        return batch, scaling

    def _batch(self, part: Dataset) -> tuple[Batch, Scaling]:
        """Return all transitions of a part of the dataset, scaled as those that are trained on."""
        batch, scaling = unnormalized_batch(part, self.config.data, self.episodes)
        return batch_for(self.config.algo, batch, part), scaling

    def _describe_data(self) -> str:
        data = self.dataset
        task, references = self.config.env or data.name, data.reference_returns
        score = normalized_score(task, data.behaviour_return, references)
        scored = "" if score is None else f" (score {score:.1f} on {whose_references(task, references)})"
        best, count = len(self.episodes.complete), len(data.complete)
        used = f" (trained on: {best:,})" if best < count else ""
        held_out = f", held out: {_size(self.held_out)}" if self.held_out else ""
        return (
            f"Dataset {data.name}: {len(data.rewards):,} transitions, {count:,} episodes{used}, mean "
            f"return {data.behaviour_return:.1f}{data.counted}{scored}, "
            f"environment {self.config.env}{held_out}"
        )

    def _describe_unknown(self) -> Iterator[str]:
        """Yield what it means that the environment is not known, if it is not."""
        if self.config.env:
            return
        if self.config.eval_episodes:
            losses = "held-out losses instead" if self.held_out else "nothing is held out either"
            yield f"Not evaluated: no environment is known; {losses}. Name one with env=."
        if (largest := action_bounds(self.episodes)[1].max()) > 1:
            yield (
                f"Actions are scaled by the largest in the data, up to {largest:g}, as no environment is "
                "known whose bounds could be taken."
            )

    def _evaluator(self, scaling: Scaling) -> Evaluator | None:
        config, record = self.config, self.record
        if not (config.eval_episodes and config.env):
            return None
        with record.stage("evaluation"):
            evaluator = Evaluator(config.env, config.seeds[self.share], config.eval_episodes, scaling)
        for note in evaluator.notes:
            record.say(note)
        if evaluator.time_limit is None and record.step == 0:
            record.say(
                f"Warning: Gymnasium knows of no time limit of {config.env}. Should a policy not end an "
                "episode, its evaluation does not end either: register it with max_episode_steps."
            )
        return evaluator

    def _online(
        self, batch: Batch, scaling: Scaling, stream: bool, evaluator: Evaluator | None
    ) -> OnlineStage | None:
        config, record = self.config, self.record
        if not config.online.steps:
            return None
        check_possible(config, stream, evaluator)
        check_memory(config, batch)
        if config.algo.deterministic and record.step <= config.updates:
            record.say(f"Warning: the policy of {config.algo.name} has no noise: its steps explore nothing.")
        done = max(0, record.step - config.updates)
        with record.stage("online"):
            rewards = reward_map(self.episodes, config.data)
            return OnlineStage(config, scaling, rewards, record.folder, done, record.say)

    def _inputs(
        self, batch: Batch, scaling: Scaling, stream: bool, evaluator: Evaluator | None
    ) -> TrainingInputs:
        """Return what the training needs; with `stream` the transitions stay on the host."""
        config, record = self.config, self.record
        store = Store(config.cache_dir, Progress(record.say, self.stopper))
        keep_compilations(store.root / "compiled")
        inputs = build_inputs(config, self.episodes, batch, scaling, store, record.timed, on_host=stream)
        if inputs.world:
            record.say(f"Rule by which model rollouts end: {of_seed(inputs.world, 0).terminated}")
        record.save_interface(Interface(inputs.observe, scaling), inputs.world)
        if record.step == 0:
            with record.stage("diagnostics"):
                env = evaluator.instances[0] if evaluator else config.env
                record.log_preparation(inputs.report, self.episodes.observations, env)
        return inputs

    def _train(
        self,
        inputs: TrainingInputs,
        stream: bool,
        evaluator: Evaluator | None,
        online: OnlineStage | None,
    ) -> None:
        """Train this process's seeds."""
        config, record, seeds = self.config, self.record, self.config.seeds[self.share]
        mesh = seeds_mesh(len(seeds), config.devices)
        record.say(describe(mesh, len(seeds)) + (", batches streamed from the host" if stream else ""))
        data, observe, world = for_seeds((inputs.data, inputs.observe, inputs.world), self.share)
        networks = build_networks(config.algo, config.cocoa, data.action.shape[1])
        sizes = config.all_updates, config.batch_size
        job = TrainingJob(config.algo, networks, data, seeds, *sizes, world, config.matmul_precision)
        training = online.training(job, observe, mesh) if online else Training(job, mesh, stream)
        host = host_mesh() if evaluates_beside(mesh) else None
        evaluations = None
        if evaluator:
            actor = Actor(config.algo, observe, host or mesh)
            evaluations = Evaluations(evaluator, actor, config, record.folder, self.dataset.reference_returns)
        held_out = self._held_out(training, observe)
        state = self._state(training, online)
        Trainer(training, record, self.stopper, evaluations, held_out, host, online).run(state)

    def _held_out(self, training: Training, observe: Observe | PerSeed) -> HeldOut | None:
        if self.held_out is None:
            return None
        rows = batches(len(self.held_out), self.config.batch_size)
        batch = jax.tree.map(lambda column: column[rows], self._batch(self.held_out)[0])
        return HeldOut(training, observed(batch, observe))

    def _state(self, training: Training, online: OnlineStage | None) -> TrainState:
        """Return the state of the checkpoint, if there is one, or that before the first update."""
        config, record = self.config, self.record
        if not record.checkpoint.exists():
            return training.init()
        template = replace(training.job, seeds=config.seeds).template()
        saved = for_seeds(load_state(record.checkpoint, template), self.share)
        done = min(record.step, config.updates)
        if online:
            done = online.turns.done(record.step - config.updates) if record.step > done else done
        state = training.restore(saved, done)
        if online:
            online.restore(state)
        end = config.position(config.length)
        record.say(f"Going on after {config.position(record.step)}; the run ends after {end}")
        return state


def _closing(resource: Any) -> contextlib.AbstractContextManager[Any]:
    """Return a context that closes a resource, if there is one."""
    return contextlib.closing(resource) if resource else contextlib.nullcontext()


def _size(part: Dataset) -> str:
    """Return how many transitions and episodes a part of the data has, in words."""
    count = len(np.unique(part.episodes))
    return f"{len(part):,} transitions of {count:,} episode{'s' if count > 1 else ''}"
