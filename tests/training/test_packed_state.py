"""Training on an accelerator, whose loop keeps parameters as vectors: the state is that of a CPU's."""

import jax
import numpy as np
from support.ingredients import OBSERVATION_DIM, make_batch, make_networks, make_observe

import cocoa
from cocoa.algos import REGISTRY
from cocoa.training.devices import host_mesh
from cocoa.training.evaluation import Actor
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.seeds import PerSeed


def test_a_state_is_the_same_up_to_rounding_where_the_loop_keeps_vectors(monkeypatch):
    job = TrainingJob(REGISTRY["bc"](), make_networks(True), make_batch(True, size=64), (3, 7), 100, 16)

    def trained():
        training = Training(job)
        return training.chunk(training.init(), 0, 5)

    on_leaves = trained()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    on_vectors = trained()
    assert jax.tree.structure(on_vectors) == jax.tree.structure(on_leaves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), on_vectors, on_leaves)


def test_policies_on_the_host_have_the_form_for_the_host_beside_an_accelerator(monkeypatch):
    algorithm = REGISTRY["bc"]()
    learner = algorithm.init(jax.random.key(0), make_networks(True), make_batch(True), 100)

    def program():
        (policy,) = Actor(algorithm, make_observe(True), host_mesh()).policies(PerSeed.stack([learner]))
        return jax.jit(policy).lower(np.ones((4, OBSERVATION_DIM), np.float32)).as_text()

    alone = program()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert program() == alone
    batched = jax.jit(algorithm.act).lower(learner, make_batch(True).observation).as_text()
    assert batched.count("dot_general") < alone.count("dot_general")


def test_a_loop_of_ones_own_is_a_scan_up_to_rounding_and_keeps_vectors_on_accelerators(monkeypatch):
    algorithm, batch = REGISTRY["bc"](), make_batch(True)
    state = algorithm.init(jax.random.key(0), make_networks(True), batch, 100)
    keys = jax.random.split(jax.random.key(1), 3)

    def program(scan):
        return jax.jit(lambda state, keys: scan(lambda s, key: algorithm.update(s, batch, key), state, keys))

    plain = program(jax.lax.scan)
    assert program(cocoa.scan).lower(state, keys).as_text() == plain.lower(state, keys).as_text()
    expected = plain(state, keys)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    carried = jax.make_jaxpr(lambda: program(cocoa.scan)(state, keys))()
    assert len(carried_leaves(carried.jaxpr)) < len(jax.tree.leaves(state)) / 3
    found = program(cocoa.scan)(state, keys)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), found, expected)


def carried_leaves(jaxpr):
    """Return the arrays that the first loop in a program carries from step to step."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            first = equation.params["num_consts"]
            return equation.invars[first : first + equation.params["num_carry"]]
        for inner in jax.core.jaxprs_in_params(equation.params):
            if found := carried_leaves(inner):
                return found
    return []
