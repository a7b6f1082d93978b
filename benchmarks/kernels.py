"""Kernels of an update: what XLA makes of it for an H100, whether or not there is one.

A program of one seed on a GPU is bound by the launches of its kernels. XLA compiles for a GPU that is not
there, if the packages `jax-cuda12-plugin` and `jax-cuda12-pjrt` are installed, in JAX's version:

    JAX_PLATFORMS=cpu python -m benchmarks --only kernels

Without them the kernels are those that XLA makes of the same program for this CPU, several times as many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from benchmarks.flops import Sizes
from benchmarks.setting import ACTION, Line, make_data, observe
from benchmarks.updates import without_delay
from cocoa.algos import REGISTRY
from cocoa.algos.base import Algorithm, Batch
from cocoa.algos.networks import packed, unpacked
from cocoa.anchors import Seek
from cocoa.anchors.encoder import build_networks

COUNTED = ("bc", "iql", "td3_bc", "sac", "cql")
MOST = {"bc+cocoa": 110, "iql+cocoa": 450, "td3_bc+cocoa": 350, "sac+cocoa": 450}
NO_KERNEL = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
RUN_OTHERS = {
    "call": "to_apply",
    "while": "body",
    "conditional": "branch_computations|true_computation|false_computation",
}
"""Instructions that run other computations, and where these stand."""
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  device_memory_size: 84929347584
  clock_rate_ghz: 1.98
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
"""What XLA must know of the GPU."""


def kernels() -> Iterator[Line]:
    """Kernels of an update, compiled for an H100 where JAX's packages for CUDA are installed."""
    target = absent_gpu()
    device = "this CPU" if target is None else "an H100"
    for name in COUNTED:
        for cocoa in (None, Seek()):
            title = f"{name}{'+cocoa' if cocoa else ''}"
            count = count_kernels(compile_for(target, REGISTRY[name](), cocoa).as_text())
            yield Line(f"{title}: kernels on {device}", count, "", MOST.get(title), below=True)


def absent_gpu() -> Any:
    """Return an H100 to compile for, or None where JAX's packages for CUDA are not installed."""
    try:
        description = topologies.get_topology_desc(platform="cuda", topology="1x1x1", target_config=H100)
    except (NotImplementedError, RuntimeError):  # no plugin, or JAX knows no such platform
        return None
    return SingleDeviceSharding(description.devices[0])


def compile_for(target: Any, algorithm: Algorithm, cocoa: Seek | None) -> Any:
    """Return one update as XLA compiles it for `target`, in the form for accelerators; None is this CPU."""
    batch = make_data(observe(cocoa)[0], Sizes().batch)
    algorithm, key = without_delay(algorithm), jax.random.key(0)
    state = algorithm.init(key, build_networks(algorithm, cocoa, ACTION), batch, 1_000_000)

    def update(vectors: Any, batch: Batch, key: jax.Array) -> Any:  # as in the training loop
        moved, metrics = algorithm.update(unpacked(vectors, state), batch, key)
        return packed(moved), metrics

    def shapes(tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=target), tree)

    with (
        mock.patch.object(jax, "default_backend", return_value="gpu"),
        jax.default_matmul_precision("highest"),
    ):
        lowered = jax.jit(update).lower(*shapes((packed(state), batch, key)))
    # To choose among kernels, XLA would have to time them.
    options: Any = {} if target is None else {"xla_gpu_autotune_level": 0}
    return lowered.compile(compiler_options=options)


def count_kernels(hlo: str) -> int:
    """Return how many instructions of a module become kernels: of a loop's body once, of both branches."""
    parts = re.split(r"\n(?=%|ENTRY)", re.sub(r"/\*.*?\*/", "", hlo))
    names = [re.split(r"[ (]", part.removeprefix("%"), maxsplit=1)[0] for part in parts]
    return _count(dict(zip(names, parts, strict=True)), "ENTRY")


def _count(computations: dict[str, str], name: str) -> int:
    total = 0
    for line in computations[name].splitlines():
        opcode = re.match(r"\s+(?:ROOT )?%\S+ = (?:\([^=]*?\)|\S+) ([a-z0-9-]+)\(", line)
        if opcode and opcode[1] in RUN_OTHERS:
            called = " ".join(re.findall(rf"(?:{RUN_OTHERS[opcode[1]]})=({{[^}}]*}}|\S+)", line))
            total += sum(_count(computations, other) for other in re.findall(r"%([^,\s}]+)", called))
        elif opcode and opcode[1] not in NO_KERNEL:
            total += 1
    return total
