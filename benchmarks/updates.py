"""Updates per second of every algorithm: beside the machine's peak, and plain beside `+cocoa`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import jax

from algos import REGISTRY, cql
from algos.base import Algorithm
from benchmarks.flops import Sizes, needed
from benchmarks.setting import ACTION, Line, make_data, make_training, observe, peak_flops, rates, updates
from cocoa.config import CocoaConfig
from cocoa.training.loop import compiler_options
from cocoa.transduction import build_networks

FLOOR = {"bc": 2000, "iql": 400, "td3_bc": 500, "cql": 20, "mopo": 1000}
"""Updates per measurement; MOPO's hold one round of rollouts."""
AUTHORS = {"iql": (29, 6), "mopo": (25, 4), "mobile": (0.5, 8)}
"""Updates/s of the authors' PyTorch code with COCOA (the better of two runs), and how many times that is the
goal."""


def floor() -> Iterator[Line]:
    """Each plain update beside the matrix products that it needs and the peak of the machine."""
    works: dict[str, Any] = {
        name: updates(make_training(REGISTRY[name](), None), n) for name, n in FLOOR.items()
    }
    measured = rates({"peak": peak_flops(), **works})
    peak = measured.pop("peak")
    yield Line("sgemm peak", peak / 1e9, "GFLOP/s")
    for name, rate in measured.items():
        flops = needed(REGISTRY[name](), None, Sizes())
        yield Line(f"{name}: rate", rate, "updates/s")
        yield Line(f"{name}: needed FLOPs over peak", rate * flops / peak, "", 0.8)


def compiled() -> Iterator[Line]:
    """What XLA's cost analysis counts, over the matrix products that the mathematics needs."""
    for name in ("bc", "iql", "td3_bc", "sac", "cql"):
        for cocoa in (None, CocoaConfig()):
            # XLA counts both branches of a condition: TD3+BC without its delay needs both.
            algorithm = _without_delay(REGISTRY[name]())
            flops = compile_update(algorithm, cocoa).cost_analysis()["flops"]
            ratio = flops / needed(algorithm, cocoa, Sizes())
            yield Line(
                f"{name}{'+cocoa' if cocoa else ''}: XLA's FLOPs over needed", ratio, "", 1.1, below=True
            )


def compile_update(algorithm: Algorithm, cocoa: CocoaConfig | None) -> Any:
    """Return one update as XLA compiles it."""
    batch = make_data(observe(cocoa)[0], Sizes().batch)
    state = algorithm.init(jax.random.key(0), build_networks(algorithm, cocoa, ACTION), batch, 1_000_000)
    update = jax.jit(algorithm.update, compiler_options=dict(compiler_options()))
    with mock.patch.object(cql, "_ROWS_AT_ONCE", 10**9):  # XLA counts the body of a loop once
        return update.lower(state, batch, jax.random.key(0)).compile()


def _without_delay(algorithm: Algorithm) -> Algorithm:
    return replace(algorithm, policy_delay=1) if hasattr(algorithm, "policy_delay") else algorithm


def cocoa_cost() -> Iterator[Line]:
    """Time of an update with COCOA over that of an encoder of equal cost whose anchors cost nothing."""
    goals = {"iql": (400, 1.05), "td3_bc": (400, 1.05), "cql": (20, 1.05), "mopo": (1000, 1.15)}
    for name, (length, goal) in goals.items():
        yield from _cost(REGISTRY[name](), CocoaConfig(), length, goal, name)
    yield from _cost(REGISTRY["mopo"](), CocoaConfig(amortised=True), 1000, 1.15, "mopo amortised")
    mobile = REGISTRY["mobile"]()
    yield from _cost(mobile, CocoaConfig(), 10, 4.5, "mobile")
    yield from _cost(mobile, CocoaConfig(amortised=True), 10, 1.5, "mobile amortised")


def _cost(algorithm: Algorithm, cocoa: CocoaConfig, length: int, goal: float, name: str) -> Iterator[Line]:
    works = {
        "cocoa": updates(make_training(algorithm, cocoa), length),
        "encoder": updates(make_training(algorithm, cocoa, anchored=False), length),
    }
    measured = rates(works)
    yield Line(f"{name}+cocoa: rate", measured["cocoa"], "updates/s")
    ratio = measured["encoder"] / measured["cocoa"]
    yield Line(f"{name}+cocoa: time over encoder without anchors", ratio, "", goal, below=True)
    if name in AUTHORS:
        authors, times = AUTHORS[name]
        yield Line(
            f"{name}+cocoa: rate over the authors' {authors:g}", measured["cocoa"] / authors, "", times
        )


def cql_sizes() -> Iterator[Line]:
    """CQL+COCOA at the authors' sizes, small and full."""
    yield Line("sgemm peak", rates({"peak": peak_flops()})["peak"] / 1e9, "GFLOP/s")
    for name, cocoa, length, authors, times in (
        ("small", CocoaConfig(), 20, 1.7, 10),
        ("full", CocoaConfig(encoder_hidden=(256,) * 3, embedding=32, hidden=(256,) * 3), 2, 0.12, 2.5),
    ):
        work = updates(make_training(REGISTRY["cql"](), cocoa), length)
        rate = rates({"cql": work})["cql"]
        yield Line(f"cql+cocoa, {name}: rate over the authors' {authors:g}", rate / authors, "", times)
