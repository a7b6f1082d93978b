"""The losses of a training on transitions that it does not learn from."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

from cocoa.algos.base import Array, Batch, Metrics, World
from cocoa.algos.networks import frozen
from cocoa.training.loop import Training
from cocoa.training.seeds import PerSeed, over_seeds, place, spread
from cocoa.training.streams import HELD_OUT


class HeldOut:
    """Computes what a training's algorithm logs on held-out transitions, for all its seeds at once.

    The transitions and, for each seed, the random numbers are the same in each call, so that two calls differ
    by the parameters alone. The buffer of a model-based algorithm is empty: batches are held-out transitions.
    """

    def __init__(self, training: Training, data: Batch):
        """`data` has leaves (batches, rows, ...), of which the observations may be `PerSeed`."""
        self._algorithm, self._source = training.algorithm, training.source
        self._arguments = place(data, training.mesh), training.world, training.keys
        self._compute = spread(partial(over_seeds, self._of_one_seed), training.mesh)

    def metrics(self, learner: PerSeed) -> Metrics:
        """Return the means over all batches, each (seeds,), of a `TrainState.learner` of the training."""
        return self._compute(learner, *self._arguments).values

    def _of_one_seed(self, learner: Any, data: Batch, world: World | None, key: Array) -> Metrics:
        learner = frozen(learner)  # what updates would learn is not even computed

        def of_batch(batch: Batch, key: Array) -> Metrics:
            draw_key, update_key = jax.random.split(key)
            empty = self._source.init(batch)
            batch = self._source.draw(empty, batch, world, draw_key, len(batch.reward))
            return self._algorithm.held_out(learner, batch, update_key)

        keys = jax.random.split(jax.random.fold_in(key, HELD_OUT), len(data.reward))
        metrics = jax.lax.map(lambda pair: of_batch(*pair), (data, keys))
        return jax.tree.map(lambda values: values.mean(axis=0), metrics)
