"""The precision of matrix products: a run's field governs its updates, and nothing else."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.lax import Precision
from support.ingredients import ACTION_DIM, OBSERVATION_DIM, Always, make_batch, make_networks, make_observe

import cocoa
from cocoa.algos import REGISTRY
from cocoa.algos.base import World
from cocoa.anchors.learned import NetworkMap
from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.ensemble import ensemble_template
from cocoa.dynamics.forward import ForwardModel
from cocoa.training.devices import seeds_mesh
from cocoa.training.evaluation import Actor
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training

MODEL, ANCHORS = 21, 23
"""Widths of layers, by which products are told apart."""


def products(jaxpr):
    """Return the precision of each matrix product in a program, with the sizes that it has to do with."""
    found = set()

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                sizes = {size for variable in equation.invars for size in variable.aval.shape}
                found.add((equation.params["precision"] or (None,), frozenset(sizes)))
            for inner in jax.core.jaxprs_in_params(equation.params):
                visit(inner)

    visit(jaxpr.jaxpr)
    return found


def network(width, inputs, targets):
    config = EnsembleConfig(members=2, elites=2, hidden=(width,), weight_decay=(0.0, 0.0))
    return jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), ensemble_template(config, inputs, targets))


def make_training(name, precision, **settings):
    anchors = NetworkMap(network(ANCHORS, OBSERVATION_DIM, OBSERVATION_DIM))
    observe = make_observe(True).replace(anchors=anchors)
    model = ForwardModel(network(MODEL, OBSERVATION_DIM + ACTION_DIM, OBSERVATION_DIM + 1))
    world = World(model, observe, Always(), jnp.float32(1), jnp.float32(0))
    job = TrainingJob(
        REGISTRY[name](**settings), make_networks(True), make_batch(True, 32), (0,), 10, 16, world, precision
    )
    return Training(job), observe


@pytest.mark.parametrize("precision", [Precision.DEFAULT, Precision.HIGH, Precision.HIGHEST])
def test_networks_in_updates_have_the_precision_and_models_and_anchors_the_highest(precision):
    settings = {"return_length": 2, "rollout_length": 2, "rollout_starts": 8}
    training, observe = make_training("leq", precision.name.lower(), **settings)
    state = training.init()
    inputs = training.feed.at(0), training.world, training.keys
    chunk = training._chunk.trace(state.learner, state.buffer, *inputs, *training._numbers(0, 0, 2))
    renewal = training._refresh.trace(state.buffer, state.snapshots, *inputs, *training._numbers(0))
    # LEQ's updates imagine, and so call models and anchors.
    found = products(chunk.jaxpr)
    of_models = {precision[0] for precision, sizes in found if sizes & {MODEL, ANCHORS}}
    of_networks = {precision[0] for precision, sizes in found if not sizes & {MODEL, ANCHORS}}
    assert of_models == {Precision.HIGHEST}
    assert of_networks == {precision}
    (policy,) = Actor(training.algorithm, observe, seeds_mesh(1)).policies(state.learner)
    evaluation = jax.make_jaxpr(policy)(np.zeros((4, OBSERVATION_DIM), np.float32))
    for program in (renewal.jaxpr, evaluation):
        assert {precision[0] for precision, _ in products(program)} == {Precision.HIGHEST}


@dataclass(frozen=True)
class Listening(cocoa.BC):
    """Notes the precision with which its parts are traced."""

    heard: ClassVar[set] = set()

    def update(self, state, batch, key):
        self.heard.add(("update", jax.config.jax_default_matmul_precision))
        return super().update(state, batch, key)

    def act(self, state, observation, key=None):
        self.heard.add(("act", jax.config.jax_default_matmul_precision))
        return super().act(state, observation, key)


def test_a_run_keeps_the_precision_of_its_updates_when_it_is_resumed(tmp_path):
    def heard():
        found = set(Listening.heard)
        Listening.heard.clear()
        return found

    settings = {"updates": 2, "log_every": 2, "eval_every": 2, "eval_episodes": 1, "runs_dir": str(tmp_path)}
    policy = cocoa.fit(Listening(hidden=(4,)), "hopper-demo", matmul_precision="high", **settings)
    assert heard() == {("update", "high"), ("act", "highest")}
    cocoa.resume(policy.folder, updates=4)
    assert heard() == {("update", "high"), ("act", "highest")}
    assert "matmul_precision: high\n" in (policy.folder / "config.yaml").read_text()
