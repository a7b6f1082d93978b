"""Penalties of model-based algorithms by `dynamics=`: `python -m benchmarks.penalties <dataset>`.

With --rows and --members a model of fewer random transitions and members, which takes less time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from cocoa.data import load, unnormalized_batch
from cocoa.data.preprocessing import DataConfig
from cocoa.dynamics.config import ENSEMBLES, EnsembleConfig
from cocoa.dynamics.fit import EnsembleFit, held_out_rows
from cocoa.dynamics.forward import ForwardModel, forward_data
from cocoa.dynamics.penalties import PENALTIES

STEPS = 5
"""Of random actions in the model, which lead off the data."""
Pairs = dict[str, tuple[np.ndarray, np.ndarray]]
"""States (N, O) and actions (N, A), by where they are from."""


def penalties(dataset: str, rows: int | None = None, members: int | None = None) -> Iterator[str]:
    """Fit a forward model with each `dynamics=`, and yield the rows of a table of its penalties."""
    data = load(dataset)
    actions = np.asarray(unnormalized_batch(data, DataConfig())[0].action)
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(data.next_observed))[:rows]
    columns = [x[chosen] for x in (data.observations, actions, data.rewards, data.next_observations)]
    yield "| `dynamics=` | states and actions | penalty | median | mean | 90 % quantile |"
    yield "|---|---|---|---|---|---|"
    for name, config in ENSEMBLES.items():
        if members:
            config = replace(config, members=members, elites=members)
        model = fitted(config, columns)
        held_out = held_out_rows(config, len(chosen))
        for place, pairs in places(model, columns[0][held_out], columns[1][held_out]).items():
            mean, std = model.distribution(*map(jnp.asarray, pairs))
            for penalty in ("aleatoric", "pairwise", "deviation"):
                values = np.asarray(PENALTIES[penalty](mean, std))
                numbers = np.median(values), values.mean(), np.quantile(values, 0.9)
                yield f"| `{name}` | {place} | {penalty} | {' | '.join(f'{x:.3g}' for x in numbers)} |"


def fitted(config: EnsembleConfig, columns: list[np.ndarray]) -> ForwardModel:
    """Return a model fitted to states, actions, rewards and next states."""
    fit = EnsembleFit(config, *forward_data(*columns), jax.random.key(0))
    state = fit.init()
    while not fit.finished(state):
        state, _ = fit.epoch(state)
    return ForwardModel(fit.result(state))


def places(model: ForwardModel, states: np.ndarray, actions: np.ndarray) -> Pairs:
    """Return held-out data, the same states with random actions, and states that those lead to."""
    rng = np.random.default_rng(1)
    draws = rng.uniform(-1, 1, (STEPS + 1, *actions.shape)).astype(np.float32)
    walked = jnp.asarray(states)
    for step in range(STEPS):
        walked, _ = model.sample(walked, jnp.asarray(draws[step]), jax.random.key(step))
    return {
        "held-out data": (states, actions),
        "its states, random actions": (states, draws[0]),
        f"{STEPS} random steps on": (np.asarray(walked), draws[-1]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.penalties", description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--members", type=int)
    options = parser.parse_args()
    for line in penalties(options.dataset, options.rows, options.members):
        print(line, flush=True)
