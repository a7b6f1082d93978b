"""Synthetic data and models for the benchmarks, and the measurement of rates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.tree_util import Partial

from cocoa.algos.base import Algorithm, Batch, NextActionBatch, World
from cocoa.anchors import Seek
from cocoa.anchors.decomposition import Observe, in_chunks
from cocoa.anchors.encoder import build_networks
from cocoa.anchors.learned import NETWORK, NetworkMap
from cocoa.anchors.seek import SeekMap
from cocoa.anchors.seeker import Seeker, SeekerNetwork
from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.ensemble import Ensemble, init_params
from cocoa.dynamics.forward import ForwardModel
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training

STATE, ACTION, ROWS = 17, 6, 100_000
DYNAMICS = EnsembleConfig()


@dataclass(frozen=True)
class Line:
    """A measured value, and its goal if it has one."""

    name: str
    value: float
    unit: str = ""
    goal: float | None = None
    below: bool = False
    """Whether the goal is an upper bound."""

    @property
    def reached(self) -> bool:
        """Whether the goal, if there is one, is met."""
        return self.goal is None or (self.value <= self.goal if self.below else self.value >= self.goal)

    def __str__(self) -> str:
        """One line of the output."""
        sign = "at most" if self.below else "at least"
        goal = "" if self.goal is None else f"   {sign} {self.goal:g}: {'yes' if self.reached else 'NO'}"
        return f"{self.name:<46} {_short(self.value):>10} {self.unit:<16}{goal}".rstrip()

    @property
    def row(self) -> str:
        """A row of a Markdown table."""
        sign = "≤" if self.below else "≥"
        goal = "" if self.goal is None else f"{sign} {self.goal:g}"
        met = "" if self.goal is None else "yes" if self.reached else "no"
        return f"| {self.name} | {f'{_short(self.value)} {self.unit}'.strip()} | {goal} | {met} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def rates(
    works: dict[str, Callable[[], float]],
    turns: int = 3,
    seconds: float = 4.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the best rate of each function in `works`, in units per second of `clock`.

    A work does something and returns how many units it did. The works take turns, so that a busy moment of
    the machine hits all of them: at least `turns` turns each, and until each has run for `seconds`. The best
    turn counts, because other programs on the machine only slow a work down.
    """
    best, spent = dict.fromkeys(works, 0.0), {name: [] for name in works}
    while waiting := [name for name in works if len(spent[name]) < turns or sum(spent[name]) < seconds]:
        for name in waiting:
            start = clock()
            amount = works[name]()
            spent[name].append(clock() - start)
            best[name] = max(best[name], amount / spent[name][-1])
    return best


def peak_flops(rounds: int = 5) -> Callable[[], float]:
    """Return a work that multiplies large matrices; its rate is the machine's peak in FLOP/s."""
    size = 2048
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), jnp.float32)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(matrix, matrix))

    def work() -> float:
        jax.block_until_ready([product(matrix, matrix) for _ in range(rounds)])
        return rounds * 2.0 * size**3

    return work


def ensemble(inputs: int, targets: int, config: EnsembleConfig = DYNAMICS) -> Ensemble:
    """Return an untrained ensemble of `config.elites` members."""
    keys = jax.random.split(jax.random.key(1), config.elites)
    params = jax.vmap(lambda key: init_params(key, inputs, config.hidden, targets))(keys)
    moments = jnp.zeros(inputs), jnp.ones(inputs), jnp.zeros(targets), 0.1 * jnp.ones(targets)
    return Ensemble(params, *moments)


def observe(cocoa: Seek | None, dynamics: EnsembleConfig = DYNAMICS) -> tuple[Observe, ForwardModel]:
    """Return the map from states to observations, and the model that it and imagination use."""
    model = ForwardModel(ensemble(STATE + ACTION, STATE + 1, dynamics))
    anchors: Any = None
    if cocoa is not None and cocoa.amortised:
        anchors = NetworkMap(ensemble(STATE, STATE, NETWORK))
    elif cocoa is not None:
        network = SeekerNetwork(cocoa.seeker.hidden, ACTION)
        params = network.init(jax.random.key(2), jnp.zeros((1, STATE)))["params"]
        anchors = SeekMap(model, Seeker(params, jnp.zeros(STATE), jnp.ones(STATE), network), cocoa.horizon)
    return Observe(jnp.zeros(STATE), jnp.ones(STATE), anchors), model


def make_data(see: Observe, rows: int) -> Batch:
    """Return `rows` transitions of normal random numbers, whose states went through `see`."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    def observed() -> Any:
        return jax.tree.map(jnp.asarray, in_chunks(see, normal(rows, STATE)))

    return Batch(
        observation=observed(),
        action=jnp.clip(normal(rows, ACTION), -1, 1),
        reward=jnp.asarray(normal(rows)),
        terminal=jnp.zeros(rows),
        next_observation=observed(),
    )


def make_training(
    algorithm: Algorithm,
    cocoa: Seek | None,
    *,
    rows: int = ROWS,
    seeds: int = 1,
    batch_size: int = 256,
    anchored: bool = True,
    mesh: Mesh | None = None,
    stream: bool = False,
) -> Training:
    """Return a training on normal transitions.

    With `anchored` false the encoder is COCOA's, but anchors cost nothing: every state is its own.
    """
    see, model = observe(cocoa)
    if cocoa is not None and not anchored:
        see = replace(see, anchors=Partial(_itself))
    world = World(model, see, Partial(_never), jnp.float32(1), jnp.float32(0)) if algorithm.members else None
    networks = build_networks(algorithm, cocoa, ACTION)
    data = make_data(see, rows)
    if algorithm.next_actions:
        data = NextActionBatch(**vars(data), next_action=data.action, next_action_known=jnp.ones(rows))
    data = jax.device_get(data) if stream else data
    job = TrainingJob(algorithm, networks, data, tuple(range(seeds)), 1_000_000, batch_size, world)
    return Training(job, mesh, stream)


def _never(state: Any, action: Any, next_state: Any) -> Any:
    return jnp.zeros(state.shape[:-1], bool)


def _itself(states: jax.Array) -> jax.Array:
    return states


def updates(training: Training, length: int) -> Callable[[], float]:
    """Return a work that does `length` updates; two are done here, so that it is compiled."""
    state = training.init()
    done = 0

    def work(length: int = length) -> float:
        nonlocal state, done
        state, _ = training.chunk(state, done, length)
        jax.block_until_ready(state)
        done += length
        return length

    work(2)
    return work
