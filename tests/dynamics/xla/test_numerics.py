"""The precision of matrix products is set for a run, in all its threads."""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from cocoa.dynamics.xla.numerics import numerics


def test_the_precision_of_products_holds_in_all_threads_and_ends_with_the_run():
    def program(_):
        return jax.jit(lambda x: x @ x).lower(np.ones((2, 2), np.float32)).as_text()

    with numerics("default"), ThreadPoolExecutor(1) as pool:
        assert "HIGHEST" not in next(pool.map(program, [0]))
    assert "HIGHEST" in program(0)  # as the tests run, and a run if nothing else is asked for
