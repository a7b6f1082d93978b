"""Programs called with the leaves that they read alone, and what XLA is told when it compiles."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cocoa.dynamics.xla import compiler
from cocoa.dynamics.xla.compiler import compiled, compiler_options
from cocoa.dynamics.xla.numerics import numerics, standard_numerics
from cocoa.dynamics.xla.program_cache import keep_compilations
from cocoa.dynamics.xla.pruning import PrunedFunction


@pytest.fixture
def no_cache():
    """JAX keeps nothing, and what is set is undone."""
    names = "compilation_cache_dir", "compilation_cache_max_size", "persistent_cache_min_compile_time_secs"
    before = {f"jax_{name}": getattr(jax.config, f"jax_{name}") for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_compiled_programs_are_kept_in_a_folder_of_ones_own(no_cache, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    keep_compilations(tmp_path / "file")
    assert jax.config.jax_compilation_cache_dir is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 12345)
        keep_compilations(tmp_path)  # another user's
    assert jax.config.jax_compilation_cache_dir is None
    keep_compilations(tmp_path)
    assert Path(jax.config.jax_compilation_cache_dir).parent == tmp_path
    assert jax.config.jax_compilation_cache_max_size == 2 * 1024**3


def test_numerics_hold_in_all_threads_and_until_the_end():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # the thread is older than the settings
        before = jax.config.jax_default_matmul_precision
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_default_matmul_precision", "bfloat16")
        try:
            with numerics():
                seen = pool.submit(lambda: (jnp.zeros(1).dtype, jax.config.jax_default_matmul_precision))
                assert seen.result() == (jnp.float32, "highest")
            assert pool.submit(lambda: jnp.zeros(1).dtype).result() == jnp.float64
            assert standard_numerics(lambda: jnp.zeros(1).dtype)() == jnp.float32
            assert jax.config.jax_default_matmul_precision == "bfloat16"
        finally:
            jax.config.update("jax_enable_x64", False)
            jax.config.update("jax_default_matmul_precision", before)


def scaled(tree, x):
    used, passed_on = tree["inner"]
    return used * x + tree["shift"] + tree["unread"].shape[0], passed_on


def tree_of(rng):
    return {
        "inner": (rng.normal(size=3), rng.normal(size=2)),
        "shift": rng.normal(size=3),
        "unread": np.ones(4),
    }


def test_only_what_is_read_is_handed_over():
    rng = np.random.default_rng(0)
    program = PrunedFunction(scaled, tree_of(rng), jax.ShapeDtypeStruct((1, 3), np.float32))
    for rows in (1, 5):  # other numbers of rows than that of the example, and other trees
        tree, x = tree_of(rng), rng.normal(size=(rows, 3))
        leaves = program.leaves(tree)
        assert [leaf.shape for leaf in leaves] == [(3,), (2,), (3,)]
        for got, expected in zip(program(leaves, x), scaled(tree, x), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_what_is_read_inside_of_another_program_counts():
    inner = jax.jit(lambda tree, x: tree["a"] @ x)
    tree = {"a": jnp.arange(3.0), "b": jnp.ones(2)}
    program = PrunedFunction(
        lambda tree, x: jax.lax.cond(x[0] > 0, lambda: inner(tree, x), lambda: -1.0), tree, tree["a"]
    )
    assert float(program(program.leaves(tree), jnp.ones(3))) == 3.0
    assert float(program(program.leaves(tree), -jnp.ones(3))) == -1.0


def test_options_that_xla_does_not_know_are_left_out():
    options = {"xla_no_such_option": "1", "xla_cpu_multi_thread_eigen": False}
    known = {"xla_cpu_multi_thread_eigen": False} if jax.default_backend() == "cpu" else {}
    assert compiler_options(options) == known


def test_a_function_is_compiled_with_the_options(monkeypatch):
    monkeypatch.setattr(compiler, "compiler_options", lambda: {"xla_no_such_option": "1"})
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        compiled(subtract)(1.0, 2.0)


def test_a_function_is_compiled_once_however_often_it_is_asked_for():
    assert compiled(add, donate_argnums=0) is compiled(add, donate_argnums=0)
    assert compiled(add) is not compiled(add, donate_argnums=0)
    assert compiled(add)(1.0, 2.0) == 3.0


def add(x, y):
    return x + y


def subtract(x, y):
    return x - y
