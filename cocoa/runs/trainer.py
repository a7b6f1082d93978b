"""Trains chunk by chunk; logs, saves and evaluates in between."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cocoa.runs.evaluations import Evaluations
from cocoa.runs.online import OnlineStage
from cocoa.runs.progress import Interrupted, Stopper, TrainingBar
from cocoa.runs.record import Record
from cocoa.training import processes
from cocoa.training.held_out import HeldOut
from cocoa.training.job import TrainState
from cocoa.training.loop import Training
from cocoa.training.seeds import place


class Trainer:
    """The loop of a run over chunks of updates, with what happens between two chunks."""

    def __init__(
        self,
        training: Training,
        record: Record,
        stopper: Stopper,
        evaluations: Evaluations | None,
        held_out: HeldOut | None,
        host: Mesh | None,
        online: OnlineStage | None = None,
    ):
        """With `evaluations` None no policy is evaluated, with `held_out` None no held-out losses are logged.
        `online` makes what comes after the updates.

        `host` is where states are copied to, so that they are saved and evaluated while the devices go on
        with the training; with None the training waits.
        """
        self.training = training
        self.config = record.config
        self.record = record
        self.stopper = stopper
        self.evaluations = evaluations
        self.held_out = held_out
        self.host = host
        self.online = online
        unit = " steps" if online else " updates"
        self.bar = TrainingBar(self.config.length, record.step, not processes.leads(), unit)
        self._clock = ThreadPoolExecutor(1)  # notes when chunks are done

    def run(self, state: TrainState) -> None:
        """Train from this state to the end. Raises Interrupted after Ctrl-C, when everything is saved."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.closing(self.bar))
            stack.enter_context(contextlib.closing(self.training.feed))
            stack.callback(self._clock.shutdown, wait=False, cancel_futures=True)
            self._evaluate_if_missing(state)
            self._loop(state)

    def _loop(self, state: TrainState) -> None:
        config, record = self.config, self.record
        waiting: TrainState | None = None
        while record.step < config.length:
            # A waiting state is evaluated when all chunks up to the next evaluation are on their way.
            start, ends = time.monotonic(), self._chunk_ends()
            state, chunks = self._send(state, ends if waiting else ends[:1])
            if waiting:
                self._finish(waiting)
                waiting = None
            for end, (metrics, arrival) in zip(ends, chunks, strict=False):
                start = self._receive(end, metrics, arrival, start)
            if self._pauses():
                self._log_held_out(state)
                if self.host and record.step < config.updates:
                    waiting = place(state.saved, self.host, copy=True)
                else:
                    self._finish(state.saved)
            if record.step < config.length and processes.anywhere(self.stopper.requested):
                if waiting:
                    self._finish(waiting)
                self._save(state.saved)
                raise Interrupted

    def _send(self, state: TrainState, ends: list[int]) -> tuple[TrainState, list[tuple[Any, Future[float]]]]:
        """Send the chunks with these ends to the device.

        Return the last state, and the metrics of each chunk with the time at which they arrive. None of it
        need be there yet when this returns.
        """
        chunks = []
        with self.record.stage("training"):
            for start, end in pairwise([self.record.step, *ends]):
                state, metrics = self._chunk(state, start, end)
                chunks.append((metrics, self._clock.submit(_arrival, metrics)))
        return state, chunks

    def _chunk(self, state: TrainState, start: int, end: int) -> tuple[TrainState, Any]:
        """Send what is between two ends of chunks: updates or, after all of these, environment steps."""
        before = self.config.updates
        if self.online and start >= before:
            return self.online.chunk(state, start - before, end - before)
        return self.training.chunk(state, start, end - start)

    def _receive(self, end: int, metrics: Any, arrival: Future[float], start: float) -> float:
        """Log the chunk that ends at `end`, and began at the time `start`; return when it was done."""
        record = self.record
        with record.stage("training"):
            metrics = processes.gather(metrics)
        done, updates = arrival.result(), end - record.step
        if end <= self.config.updates:
            record.speed.add(updates, done - start)
        metrics = {f"training/{name}": value for name, value in metrics.items()}
        record.step = end
        record.log_chunk(metrics)
        self._warn_of_divergence(metrics)
        self.bar.advance(updates, metrics)
        return done

    def _warn_of_divergence(self, metrics: Mapping[str, Any]) -> None:
        for name, values in metrics.items():
            if not np.isfinite(values).all():
                bad = [seed for seed, x in zip(self.config.seeds, values, strict=True) if not np.isfinite(x)]
                after = self.config.position(self.record.step)
                self.record.say(f"Warning: {name} is not finite after {after} in the seeds {bad}.")

    def _log_held_out(self, state: TrainState) -> None:
        """Log the held-out losses of the state after the last update; its checkpoint then covers them."""
        if self.held_out:
            record = self.record
            with record.stage("held_out"):
                metrics = processes.gather(self.held_out.metrics(state.learner))
            metrics = {f"held_out/{name}": value for name, value in metrics.items()}
            record.log(record.step, metrics)

    def _finish(self, saved: TrainState) -> None:
        """Save and evaluate the state after the last update."""
        self._save(saved)  # first, as the environment may fail
        self._evaluate(saved)

    def _evaluate(self, saved: TrainState) -> None:
        config, record = self.config, self.record
        if self.evaluations:
            with record.stage("evaluation"):
                evaluation = self.evaluations.run(saved.learner, record.step)
            for warning in evaluation.warnings:
                record.say(warning)
            record.log_evaluation(evaluation.episodes, evaluation.metrics)
            self.bar.advance(0, evaluation.metrics)
        with record.stage("logging"):
            record.summarize("running")
        if self.evaluations and record.step == config.length:
            self._save(saved)  # no later checkpoint covers these rows of the metrics

    def _evaluate_if_missing(self, state: TrainState) -> None:
        """Evaluate the state if the run ended between a checkpoint and its evaluation."""
        missing = self.evaluations and self.record.step and self._pauses() and not self.record.evaluated()
        if processes.anywhere(bool(missing)):
            self._evaluate(state.saved)

    def _save(self, saved: TrainState) -> None:
        with self.record.stage("checkpoints"):
            if self.online:
                self.online.save(self.record.step - self.config.updates)
            self.record.save(processes.gather(saved))

    def _pauses(self) -> bool:
        """Return whether the training is saved and evaluated after the last update or step."""
        config, step = self.config, self.record.step
        in_stage = step - config.updates if step > config.updates else step
        return in_stage % config.eval_every == 0 or step in (config.updates, config.length)

    def _chunk_ends(self) -> list[int]:
        """Return the ends of the chunks up to the next evaluation: multiples of `log_every`, and that.

        Both are counted from the beginning of the stage, offline or online.
        """
        config, step = self.config, self.record.step
        offline = step < config.updates
        first, end = (0, config.updates) if offline else (config.updates, config.length)

        def after(every: int) -> int:
            return first + ((step - first) // every + 1) * every

        last = min(after(config.eval_every), end)
        return [*range(after(config.log_every), last, config.log_every), last]


def _arrival(metrics: Mapping[str, Any]) -> float:
    """Return the time at which a chunk's metrics are there."""
    jax.block_until_ready(metrics)
    return time.monotonic()
