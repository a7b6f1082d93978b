"""The precision of matrix products is set for a run, in all its threads."""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from cocoa.dynamics.xla.numerics import exact, numerics


def program(_):
    return jax.jit(lambda x: x @ x).lower(np.ones((2, 2), np.float32)).as_text()


def test_the_precision_of_products_is_the_highest_in_all_threads_and_ends_with_the_run():
    before = jax.config.jax_default_matmul_precision
    jax.config.update("jax_default_matmul_precision", "default")
    try:
        with numerics(), ThreadPoolExecutor(1) as pool:
            assert "HIGHEST" in next(pool.map(program, [0]))
        assert "HIGHEST" not in program(0)
    finally:
        jax.config.update("jax_default_matmul_precision", before)


def test_an_exact_function_has_the_highest_precision_whatever_is_set_around_it():
    with jax.default_matmul_precision("default"):
        assert "HIGHEST" in exact(program)(0)
        assert "HIGHEST" not in program(0)
