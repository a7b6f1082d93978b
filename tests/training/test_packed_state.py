"""Training on an accelerator, whose loop keeps parameters as vectors: the state is that of a CPU's."""

import jax
import numpy as np
from support.ingredients import make_batch, make_networks

from cocoa.algos import REGISTRY
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training


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
