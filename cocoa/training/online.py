"""Environment steps and updates in turns: blocks of steps, each made beside the updates before it."""

from __future__ import annotations

from dataclasses import dataclass

from cocoa.algos.base import Batch, Metrics
from cocoa.training.behaviour import Policies, Sampler, uniform
from cocoa.training.job import TrainState
from cocoa.training.loop import Training
from cocoa.training.replay import Replay
from cocoa.training.seeds import PerSeed
from cocoa.training.stepping import Stepper, Steps

STREAM = 3
"""The stream of random numbers of the steps that a training collects."""


@dataclass(frozen=True)
class Turns:
    """How environment steps and updates alternate; all numbers are per seed."""

    every: int
    """Environment steps of a block, over all instances."""
    updates: int
    """Updates after each block."""
    warmup: int
    """Steps with uniform actions, after which updates begin; a multiple of `every`."""
    overlap: bool
    """Whether the steps of a block are made by the policy before the last updates, while these are made."""

    def done(self, step: int) -> int:
        """Return how many updates belong to the first `step` environment steps."""
        return max(0, step - self.warmup) // self.every * self.updates


class Online:
    """A training whose transitions are collected by its own policies."""

    def __init__(self, training: Training, replay: Replay, sampler: Sampler, stepper: Stepper, turns: Turns):
        """`stepper` has begun its episodes; `replay` is the feed of the training."""
        self.training, self.replay = training, replay
        self.sampler, self.stepper, self.turns = sampler, stepper, turns
        self.delayed: Policies | None = None
        """With overlap: the policies of the next block, which the last updates were not part of."""
        self._random = uniform(stepper.seeds, STREAM, stepper.sizes[1])

    def block(self, state: TrainState, step: int) -> tuple[TrainState, Steps, Metrics | None]:
        """Make the block that begins with the environment step `step`.

        Return the state, what was collected, and the metrics of the updates: None where there were none. The
        updates need not be done when this returns. `state` cannot be used again.
        """
        turns = self.turns
        acting = self.delayed or self.sampler.policies(state.learner)
        behaviour = self._random if step < turns.warmup else self.sampler.behaviour(acting, STREAM)
        count = turns.every // self.stepper.instances
        steps = self.stepper.advance(behaviour, step // self.stepper.instances, count)
        self.replay.add(PerSeed(transitions(steps)))
        self.delayed = self.sampler.policies(state.learner) if turns.overlap else None
        end = step + turns.every
        first = turns.done(step)
        metrics: Metrics | None = None
        if length := turns.done(end) - first:
            state, metrics = self.training.chunk(state, first, length)
        return state, steps, metrics


def transitions(steps: Steps) -> Batch:
    """Return steps as transitions of states, leaves (seeds, T n, ...)."""

    def flat(x: object) -> object:
        return x.reshape(x.shape[0], -1, *x.shape[3:])  # type: ignore[attr-defined]

    columns = steps.state, steps.action, steps.reward, steps.terminal, steps.next_state
    return Batch(*map(flat, columns))  # type: ignore[arg-type]
