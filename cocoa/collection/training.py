"""The training of the policies that collect: blocks of steps and updates, evaluations, and what is kept."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cocoa.collection.settings import decisive
from cocoa.collection.setup import Setup
from cocoa.errors import RunError
from cocoa.runs.metrics import MetricsFile
from cocoa.runs.progress import TrainingBar
from cocoa.storage.serialization import load_tree, read_metadata, save_tree
from cocoa.training.behaviour import placed_like, uniform
from cocoa.training.evaluation import Actor, Evaluator
from cocoa.training.job import TrainState
from cocoa.training.loop import Training
from cocoa.training.online import Online
from cocoa.training.replay import Replay
from cocoa.training.stepping import Steps
from cocoa.training.streams import COLLECTED
from cocoa.training.turns import Turns


class PolicyTraining:
    """Trains the policies of all seeds online, from where the last checkpoint left them."""

    def __init__(self, setup: Setup):
        """Make the environments. Raises a UserError if they, or the files of before, cannot be used."""
        settings = self.settings = setup.settings
        self.setup = setup
        self.evaluator = Evaluator(settings.env, settings.seeds, settings.eval_episodes, setup.scaling)
        for note in self.evaluator.notes:
            setup.say(note)
        self.actor = Actor(settings.algo, setup.observe, setup.acting)
        updates = settings.every * settings.updates_per_step
        self.turns = Turns(settings.every, updates, settings.warmup, settings.overlap)
        self.step, metrics, self._sums = _position(setup.checkpoint)
        """Environment steps of each seed that are done."""
        self.metrics = MetricsFile(setup.folder / "metrics.csv", *metrics)
        self.log = setup.log("training")
        self.log.cut(self.step // settings.envs)
        self.online, self.start = self._restored()
        """The alternation of steps and updates, and the state that it goes on from."""
        self._unsaved: list[Steps] = []
        self._updates: list[Any] = []
        self._clock = time.monotonic(), self.step

    def run(self) -> None:
        """Train to the end. Raises Interrupted after Ctrl-C, when everything is saved."""
        settings, state = self.settings, self.start
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            bar = stack.enter_context(
                contextlib.closing(TrainingBar(settings.steps, self.step, unit=" steps"))
            )
            while self.step < settings.steps:
                state, steps, metrics = self.online.block(state, self.step)
                self.step += settings.every
                self._unsaved.append(steps)
                self._updates += [metrics] if metrics else []
                bar.advance(settings.every, {})
                pauses = self.step % settings.eval_every == 0 or self.step == settings.steps
                if pauses:
                    bar.advance(0, self._evaluate(state))
                if pauses or self.setup.stopper.requested:
                    self._save(state)
                self.setup.stopper.check()

    def close(self) -> None:
        """Close files and environments."""
        self.metrics.close()
        self.evaluator.close()
        self.online.stepper.close()

    def _restored(self) -> tuple[Online, TrainState]:
        """Return the training and its state, where the last checkpoint left them."""
        setup, settings = self.setup, self.settings
        job, seeds = setup.job, settings.seeds
        replay = Replay(
            job.example, settings.steps, len(seeds), setup.observe, setup.mesh, self.turns, settings.envs
        )
        training = Training(job, setup.mesh, feed=replay)
        random = uniform(seeds, COLLECTED, setup.action_dim)
        online = Online(
            training, replay, setup.sampler, setup.stepper(COLLECTED, self.log), self.turns, random
        )
        if not self.step:
            return online, training.init()
        online.refill(self.log.parts())
        policies = setup.policy_template() if settings.overlap else None
        learner, delayed = load_tree(setup.checkpoint, (setup.job.template(), policies))
        online.delayed = placed_like(delayed, policies) if policies and delayed else None
        setup.say(f"Going on after step {self.step:,} of {settings.steps:,}")
        return online, training.restore(learner, self.turns.done(self.step))

    def _evaluate(self, state: TrainState) -> dict[str, np.ndarray]:
        """Log the losses since the last evaluation and the policies' returns, and keep the policies."""
        self._add_up()
        sums, self._sums = self._sums, {}
        count = sums.pop("blocks", np.ones(()))
        rate = (self.step - self._clock[1]) / (time.monotonic() - self._clock[0])
        returns = self.evaluator.evaluate(self.actor.policies(state.learner), self.step).returns.mean(axis=1)
        logged = {f"training/{name}": total / count for name, total in sums.items()}
        logged["evaluation/return"] = returns
        self.metrics.write(self.step, logged, self.settings.seeds)
        save_tree(self.setup.snapshot(self.step), self.setup.sampler.policies(state.learner))
        numbers = ", ".join(f"{value:.1f}" for value in returns)
        self.setup.say(f"Step {self.step:,}: return {numbers}; {rate:,.0f} steps and updates per second")
        self._clock = time.monotonic(), self.step
        return logged

    def _add_up(self) -> None:
        """Add the losses of the last blocks, one after the other, to those since the last evaluation."""
        for metrics in jax.device_get(self._updates):
            for name, value in {**metrics, "blocks": np.ones(())}.items():
                self._sums[name] = self._sums.get(name, 0.0) + np.asarray(value, np.float64)
        self._updates = []

    def _save(self, state: TrainState) -> None:
        """Write what is needed to go on as if nothing had happened."""
        if self._unsaved:
            self.log.append(jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *self._unsaved))
            self._unsaved = []
        self._add_up()
        metadata = {
            "step": str(self.step),
            "metrics": json.dumps([self.metrics.position(), self.metrics.crc32]),
            "sums": json.dumps({name: value.tolist() for name, value in self._sums.items()}),
            "settings": json.dumps(decisive(self.settings)),
        }
        save_tree(self.setup.checkpoint, (state.saved, self.online.delayed), metadata)


def trained(setup: Setup) -> int:
    """Return how many environment steps the training has done."""
    return _position(setup.checkpoint)[0]


def _position(checkpoint: Path) -> tuple[int, tuple[int, int | None], dict[str, Any]]:
    """Return the steps, the size and checksum of the metrics, and the sums of losses that a checkpoint notes.

    Raises RunError if it is damaged.
    """
    if not checkpoint.exists():
        return 0, (0, None), {}
    saved = read_metadata(checkpoint, verified=True)
    try:
        size, crc32 = json.loads(saved["metrics"])
        sums = {name: np.array(values) for name, values in json.loads(saved["sums"]).items()}
        return int(saved["step"]), (int(size), int(crc32)), sums
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(f"{checkpoint} is not the checkpoint of a collection.") from error
