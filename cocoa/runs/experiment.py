"""The composition root: the only place where data, models, algorithm and training are put together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from cocoa.algos.base import Batch
from cocoa.anchors.encoder import build_networks
from cocoa.config.schema import Config
from cocoa.data import (
    Dataset,
    Scaling,
    best_episodes,
    normalized_score,
    unnormalized_batch,
    with_next_actions,
)
from cocoa.dynamics.xla.program_cache import keep_compilations
from cocoa.errors import RunError
from cocoa.preparation.cache import Store
from cocoa.preparation.inputs import TrainingInputs, build_inputs
from cocoa.runs.checkpoint import load_state
from cocoa.runs.folder import how_to_resume
from cocoa.runs.policy import Interface
from cocoa.runs.progress import Interrupted, Progress, Stopper, TrainingBar
from cocoa.runs.record import Record
from cocoa.training import faults, processes
from cocoa.training.devices import describe, evaluates_beside, host_mesh, seeds_mesh
from cocoa.training.evaluation import Actor, Evaluator
from cocoa.training.feed import too_large
from cocoa.training.job import TrainingJob, TrainState
from cocoa.training.loop import Training
from cocoa.training.seeds import for_seeds, of_seed, place


class Experiment:
    """The stages of one run, in this process."""

    def __init__(self, config: Config, dataset: Dataset, record: Record, stopper: Stopper):
        """`record` tells where the run stands, and takes what it finds."""
        self.config = config
        self.dataset = dataset
        self.episodes = best_episodes(dataset, config.data.top_episodes)
        self.record = record
        self.stopper = stopper

    def train(self) -> None:
        """Run all stages to the end."""
        config, record = self.config, self.record
        record.say(f"Run folder: {record.folder}")
        with record.stage("data"):
            batch, scaling = unnormalized_batch(self.episodes, config.data)
            if config.algo.next_actions:
                batch = with_next_actions(batch, self.episodes)
        record.say(self._describe_data())
        if record.step == 0 and (objection := config.algo.objection(batch)):
            record.say(f"Warning: {objection}")
        record.summarize("running")
        with contextlib.ExitStack() as stack:
            # Before models are fitted: the environment may turn out to be unusable.
            evaluator = processes.all_or_none(lambda: self._evaluator(scaling))
            if evaluator:
                stack.enter_context(contextlib.closing(evaluator))
            self._train(*self._prepare(batch, scaling, evaluator), evaluator)
        record.close("finished")

    def _evaluator(self, scaling: Scaling) -> Evaluator | None:
        config, record = self.config, self.record
        if not (config.eval_episodes and config.env):
            return None
        seeds = config.seeds[processes.share(len(config.seeds))]
        with record.stage("evaluation"):
            evaluator = Evaluator(config.env, seeds, config.eval_episodes, scaling)
        for note in evaluator.notes:
            record.say(note)
        if evaluator.time_limit is None and record.step == 0:
            record.say(
                f"Warning: Gymnasium knows of no time limit of {config.env}. Should a policy not end an "
                "episode, its evaluation does not end either: register it with max_episode_steps."
            )
        return evaluator

    def _prepare(
        self, batch: Batch, scaling: Scaling, evaluator: Evaluator | None
    ) -> tuple[TrainingInputs, bool]:
        config, record = self.config, self.record
        store = Store(config.cache_dir, Progress(record.say, self.stopper))
        keep_compilations(store.root / "compiled")
        stream = too_large(batch, config) if config.stream is None else config.stream
        inputs = build_inputs(config, self.episodes, batch, scaling, store, record.timed, on_host=stream)
        if inputs.world:
            record.say(f"Rule by which model rollouts end: {of_seed(inputs.world, 0).terminated}")
        record.save_interface(Interface(inputs.observe, scaling), inputs.world)
        if record.step == 0:
            with record.stage("diagnostics"):
                env = evaluator.instances[0] if evaluator else config.env
                record.log_preparation(inputs.report, self.episodes.observations, env)
        self.stopper.check()
        return inputs, stream

    def _describe_data(self) -> str:
        data = self.dataset
        score = normalized_score(self.config.env or data.name, data.behaviour_return)
        told = "" if score is None else f" (score {score:.1f})"
        best, count = len(self.episodes.complete), len(data.complete)
        used = f" (used: the {best:,} best)" if best < count else ""
        return (
            f"Dataset {data.name}: {len(data.rewards):,} transitions, {count:,} episodes{used}, mean "
            f"return {data.behaviour_return:.1f}{told}, environment {self.config.env}"
        )

    def _train(self, inputs: TrainingInputs, stream: bool, evaluator: Evaluator | None) -> None:
        config, share = self.config, processes.share(len(self.config.seeds))
        seeds = config.seeds[share]
        data, observe, world = for_seeds((inputs.data, inputs.observe, inputs.world), share)
        mesh = seeds_mesh(len(seeds), config.devices)
        self.record.say(describe(mesh, len(seeds)) + (", batches streamed from the host" if stream else ""))
        networks = build_networks(config.algo, config.cocoa, data.action.shape[1])
        job = TrainingJob(config.algo, networks, data, seeds, config.updates, config.batch_size, world)
        training = Training(job, mesh, stream)
        state = training.init()
        if self.record.checkpoint.exists():
            state = training.restore(self._load(training, share), self.record.step)
            self.record.say(f"Going on after update {self.record.step:,} of {config.updates:,}")
        beside = evaluates_beside(mesh)
        actor = Actor(config.algo, observe, host_mesh() if beside else mesh)
        bar = TrainingBar(config.updates, self.record.step, hidden=not processes.leads())
        with contextlib.ExitStack() as stack:
            for used in (bar, training.feed):
                stack.enter_context(contextlib.closing(used))
            clock = ThreadPoolExecutor(1)
            stack.callback(clock.shutdown, wait=False, cancel_futures=True)
            self._loop(training, state, evaluator, actor, bar, clock, beside)

    def _loop(
        self,
        training: Training,
        state: TrainState,
        evaluator: Evaluator | None,
        actor: Actor,
        bar: TrainingBar,
        clock: ThreadPoolExecutor,
        beside: bool,
    ) -> None:
        """Train chunk by chunk, evaluate and save.

        With `beside`, that waits until all chunks up to the next evaluation are on their way to the device.
        The thread of `clock` notes when they arrive.
        """
        config, record = self.config, self.record

        def evaluate(saved: TrainState) -> None:
            if evaluator:
                self._evaluate(evaluator, actor, saved, bar)
            with record.stage("logging"):
                record.summarize("running")
            if evaluator and record.step == config.updates:  # nothing saves these rows of the metrics later
                self._save(saved)

        def finish(saved: TrainState) -> None:
            self._save(saved)  # first, as the environment may fail
            evaluate(saved)

        # The run ended between a checkpoint and its evaluation.
        pending = evaluator and record.step and self._pauses() and not record.evaluated()
        if processes.anywhere(bool(pending)):
            evaluate(state.saved)
        waiting: TrainState | None = None
        while record.step < config.updates:
            arrival, ends = time.monotonic(), self._chunk_ends()
            state, parts = self._send(training, state, ends if waiting else ends[:1], clock)
            if waiting:
                finish(waiting)
                waiting = None
            for end, (metrics, arrived) in zip(ends, parts, strict=False):
                with record.stage("training"):
                    metrics = processes.gather(metrics)
                began, arrival = arrival, arrived.result()
                record.speed.add(end - record.step, arrival - began)
                self._note(end, metrics, bar)
            if self._pauses():
                if beside and record.step < config.updates:
                    waiting = place(state.saved, actor.mesh, copy=True)
                else:
                    finish(state.saved)
            if processes.anywhere(self.stopper.requested):
                if waiting:
                    finish(waiting)
                self._save(state.saved)
                raise Interrupted

    def _send(
        self, training: Training, state: TrainState, ends: list[int], clock: ThreadPoolExecutor
    ) -> tuple[TrainState, list[tuple[Any, Future[float]]]]:
        """Send the chunks with these ends to the device.

        Return the last state, and the metrics of each chunk with the time at which they arrive. None of it
        need be there yet when this returns.
        """
        parts = []
        with self.record.stage("training"):
            for start, end in pairwise([self.record.step, *ends]):
                state, metrics = training.chunk(state, start, end - start)
                parts.append((metrics, clock.submit(_arrival, metrics)))
        return state, parts

    def _pauses(self) -> bool:
        """Tell whether the training is saved and evaluated after the last update."""
        return self.record.step % self.config.eval_every == 0 or self.record.step == self.config.updates

    def _chunk_ends(self) -> list[int]:
        """Return the ends of the chunks up to the next evaluation: multiples of `log_every`, and that."""
        config, step = self.config, self.record.step
        last = min(step // config.eval_every * config.eval_every + config.eval_every, config.updates)
        first = step // config.log_every * config.log_every + config.log_every
        return [*range(first, last, config.log_every), last]

    def _load(self, training: Training, share: slice) -> TrainState:
        """Return what the checkpoint holds of this process's seeds."""
        template = replace(training.job, seeds=self.config.seeds).template()
        return for_seeds(load_state(self.record.checkpoint, template), share)

    def _note(self, end: int, metrics: Mapping[str, Any], bar: TrainingBar) -> None:
        """Log what was seen up to the update `end`."""
        config, record, done = self.config, self.record, end - self.record.step
        metrics = {f"training/{name}": value for name, value in metrics.items()}
        record.step = end
        record.log(end, metrics, config.seeds)
        record.log_speed()
        for name, value in metrics.items():
            if not np.isfinite(value).all():
                bad = [seed for seed, x in zip(config.seeds, value, strict=True) if not np.isfinite(x)]
                record.say(f"Warning: {name} is not finite after update {end:,} in the seeds {bad}.")
        bar.advance(done, metrics)

    def _evaluate(self, evaluator: Evaluator, actor: Actor, saved: TrainState, bar: TrainingBar) -> None:
        step, folder = self.record.step, self.record.folder
        with self.record.stage("evaluation"):
            policies = actor.policies(saved.learner)
            try:
                returns = processes.all_or_none(lambda: evaluator.evaluate(policies, step)).mean(axis=1)
            except RunError as error:
                raise RunError(
                    f"{error} The {step:,} updates made are saved; cocoa.load_policy loads their policy. "
                    f"To repeat this evaluation and go on: {how_to_resume(folder, self.config.dataset)}"
                ) from error.__cause__
            returns, tally = processes.gather((returns, faults.tally(evaluator.faults, evaluator.seeds)))
        metrics = {"evaluation/return": returns}
        scores = [normalized_score(self.config.env or self.dataset.name, value) for value in returns]
        if None not in scores:
            metrics["evaluation/score"] = np.asarray(scores, np.float64)
        for kind, found in tally.items():
            if found.any():
                metrics[f"evaluation/nonfinite_{kind}s"] = found[:, 0]
                self.record.say(faults.describe(kind, found, self.config.seeds, step))
        self.record.log(step, metrics, self.config.seeds)
        bar.advance(0, metrics)

    def _save(self, saved: TrainState) -> None:
        with self.record.stage("checkpoints"):
            self.record.save(processes.gather(saved))


def _arrival(metrics: Mapping[str, Any]) -> float:
    """Return the time at which a chunk's metrics are there."""
    jax.block_until_ready(metrics)
    return time.monotonic()
