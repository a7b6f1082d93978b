"""Fixtures that many tests share."""

import ctypes
import dataclasses
import os
from pathlib import Path

from support.paths import ROOT

# Most of the tests' time is XLA's compilation, which reads this as JAX is imported: it generates code without
# MLIR and LLVM's optimizations, in one piece. With XLA_FLAGS= pytest the tests run what users run.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    " --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1",
)

import h5py
import jax
import numpy as np
import pytest
from support.pendulum import COCOA, ENV, MODELS

import cocoa
from cocoa.config.schema import Config
from cocoa.environments.spaces import make_environment
from cocoa.runs import launch

# As in a run: on a GPU, JAX's own precision is far from that of the oracles.
jax.config.update("jax_default_matmul_precision", Config.matmul_precision)


@pytest.fixture(params=[False, True], ids=["plain", "cocoa"])
def with_cocoa(request):
    return request.param


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory):
    """Compile equal programs once per test session, in whichever process; keep off the user's own models."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["COCOA_CACHE"] = str(folder / "models")


@pytest.fixture(scope="module", autouse=True)
def room_for_programs():
    """Drop programs of former modules before they fill the memory, or its maps, 65,530 at most on Linux."""
    pages = Path("/proc/self/statm")
    if pages.exists() and int(pages.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") > 2e9:
        jax.clear_caches()
        ctypes.CDLL(None).malloc_trim(0)  # else what they held stays with the process


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A D4RL-format file of 2000 random steps."""
    env = make_environment(ENV)
    rng = np.random.default_rng(0)
    rows = {key: [] for key in ("observations", "actions", "rewards", "terminals", "timeouts")}
    state, _ = env.reset(seed=0)
    for _ in range(2000):
        action = rng.uniform(-1, 1, 1).astype(np.float32)
        next_state, reward, terminal, timeout, _ = env.step(action)
        for key, value in zip(rows, (state, action, reward, terminal, timeout), strict=True):
            rows[key].append(value)
        state = env.reset()[0] if terminal or timeout else next_state
    path = tmp_path_factory.mktemp("data") / "pendulum.hdf5"
    with h5py.File(path, "w") as file:
        for key, values in rows.items():
            file[key] = np.asarray(values)
    return path


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory):
    """The cache of models of this process's runs; modules that need an empty one override this fixture."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def config(recording, artifacts, tmp_path_factory):
    return Config(
        algo=cocoa.IQL(hidden=(16,)),
        cocoa=COCOA,
        dataset=str(recording),
        env=ENV,
        seeds=(3, 7),
        updates=60,
        batch_size=32,
        log_every=10,
        eval_every=20,
        eval_episodes=2,
        dynamics=MODELS,
        wandb="off",
        runs_dir=str(tmp_path_factory.mktemp("work") / "runs"),
        cache_dir=str(artifacts),
    )


@pytest.fixture(scope="module")
def finished(config):
    return launch.run(dataclasses.replace(config, name="whole"))


@pytest.fixture(scope="module")
def subprocess_env():
    return {**os.environ, "PYTHONPATH": str(ROOT)}
