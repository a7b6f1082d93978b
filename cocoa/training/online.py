"""Environment steps and updates in turns: blocks of steps, each made beside the updates before it."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import numpy as np

from cocoa.algos.base import Batch, Metrics
from cocoa.training.behaviour import Behaviour, Policies, Sampler
from cocoa.training.job import TrainState
from cocoa.training.loop import Training
from cocoa.training.replay import Collected, Replay
from cocoa.training.seeds import PerSeed
from cocoa.training.stepping import Stepper, Steps
from cocoa.training.streams import COLLECTED
from cocoa.training.turns import Turns


class Online:
    """A training whose transitions are collected by its own policies."""

    def __init__(
        self,
        training: Training,
        replay: Replay,
        sampler: Sampler,
        stepper: Stepper,
        turns: Turns,
        random: Behaviour | None = None,
        rewards: tuple[float, float] = (1.0, 0.0),
    ):
        """`stepper` has begun its episodes; `replay` is the feed of the training.

        Before the updates begin, `random` acts, or with None the policies. Updates get the rewards multiplied
        by the first of `rewards`, and the second added.
        """
        self.training, self.replay = training, replay
        self.sampler, self.stepper, self.turns = sampler, stepper, turns
        self.delayed: Policies | None = None
        """With overlap: the policies of the next block, which the last updates were not part of."""
        self._random, self._rewards = random, rewards

    def refill(self, parts: Iterable[Steps]) -> None:
        """Add the steps of a training that was cut, in the blocks in which they were made."""
        count = self.turns.every // self.stepper.instances
        for part in parts:
            for start in range(0, part.reward.shape[1], count):
                self._add(jax.tree.map(lambda x, start=start: x[:, start : start + count], part))

    def block(self, state: TrainState, step: int) -> tuple[TrainState, Steps, Metrics | None]:
        """Make the block that begins with the environment step `step`.

        Return the state, what was collected, and the metrics of the updates: None where there were none. The
        updates need not be done when this returns. `state` cannot be used again.
        """
        turns = self.turns
        behaviour = self._random if step < turns.warmup else None
        if behaviour is None:
            acting = self.delayed or self.sampler.policies(state.learner)
            behaviour = self.sampler.behaviour(acting, COLLECTED)
        count = turns.every // self.stepper.instances
        steps = self.stepper.advance(behaviour, step // self.stepper.instances, count)
        self._add(steps)
        self.delayed = self.sampler.policies(state.learner) if turns.overlap else None
        end = step + turns.every
        first = turns.done(step)
        metrics: Metrics | None = None
        if length := turns.done(end) - first:
            state, metrics = self.training.chunk(state, first, length)
        return state, steps, metrics

    def _add(self, steps: Steps) -> None:
        self.replay.add(PerSeed(transitions(steps, *self._rewards)))


def transitions(steps: Steps, scale: float, shift: float) -> Collected:
    """Return steps as transitions of states, leaves (seeds, T n, ...), with rewards on another scale."""

    def flat(x: np.ndarray) -> np.ndarray:
        return x.reshape(x.shape[0], -1, *x.shape[3:])

    reward = steps.reward * np.float32(scale) + np.float32(shift)
    columns = steps.state, steps.action, reward, steps.terminal, steps.next_state
    return Collected(Batch(*map(flat, columns)), flat(steps.ends))  # type: ignore[arg-type]
