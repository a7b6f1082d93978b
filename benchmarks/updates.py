"""Updates per second of every algorithm: beside the machine's peak, and plain beside `+cocoa`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import jax

from benchmarks.alone import optimizer_work, product_works, seconds
from benchmarks.flops import Products, Sizes, needed
from benchmarks.setting import ACTION, Line, make_data, make_training, observe, peak_flops, rates, updates
from cocoa.algos import REGISTRY, cql
from cocoa.algos.base import Algorithm
from cocoa.anchors import Seek
from cocoa.anchors.encoder import build_networks
from cocoa.dynamics.xla.compiler import compiler_options

FLOOR = {"bc": 500, "iql": 100, "xql": 100, "awac": 60, "td3_bc": 120, "cql": 5, "mopo": 1000}
"""Updates per turn; MOPO's hold one round of rollouts."""
AUTHORS = {
    "iql": (39.4, 6),
    "mopo": (34.0, 4),
    "mobile": (0.605, 8),
    "cql+cocoa, small": (2.51, 10),
    "cql+cocoa, full": (0.116, 2.5),
}
"""Updates/s of the authors' PyTorch code with COCOA, and the goal as a multiple of it.

The rates are of the machine of benchmarks/README.md: the better of one thread and two, without rounds of
model rollouts, which ours have.
"""


def floor() -> Iterator[Line]:
    """Each plain update beside the matrix products that it needs and the peak of the machine."""
    algorithms = {name: REGISTRY[name]() for name in FLOOR}
    products = {name: needed(algorithm, None, Sizes()) for name, algorithm in algorithms.items()}
    works: dict[str, Any] = {"peak": peak_flops()}
    for name, algorithm in algorithms.items():
        works[name] = updates(make_training(algorithm, None), FLOOR[name])
        works[f"{name}: optimizer"] = optimizer_work(algorithm)
    rate = rates(works)
    each = rates(
        {key: work for one in products.values() for key, work in product_works(one).items()}, seconds=0.3
    )
    peak = rate["peak"]
    yield Line("sgemm peak", peak / 1e9, "GFLOP/s")
    for name in algorithms:
        yield Line(f"{name}: rate", rate[name], "updates/s")
        yield Line(f"{name}: needed FLOPs over peak", rate[name] * products[name].flops / peak, "", 0.8)
        yield _one_by_one(name, products[name], each, peak)
        yield Line(f"{name}: Adam and averages, of its time", rate[name] / rate[f"{name}: optimizer"])


def _one_by_one(name: str, products: Products, each: dict[str, float], peak: float) -> Line:
    """Return the share of the peak that the products would reach, at the rates that `each` has alone."""
    return Line(
        f"{name}: its products one by one, over peak", products.flops / seconds(products, each) / peak
    )


def compiled() -> Iterator[Line]:
    """What XLA's cost analysis counts, over the matrix products that the mathematics needs."""
    for name in ("bc", "iql", "td3_bc", "sac", "cql"):
        for cocoa in (None, Seek()):
            # XLA counts both branches of a condition: TD3+BC without its delay needs both.
            algorithm = without_delay(REGISTRY[name]())
            flops = compile_update(algorithm, cocoa).cost_analysis()["flops"]
            ratio = flops / needed(algorithm, cocoa, Sizes()).flops
            yield Line(
                f"{name}{'+cocoa' if cocoa else ''}: XLA's FLOPs over needed", ratio, "", 1.1, below=True
            )


def compile_update(algorithm: Algorithm, cocoa: Seek | None) -> Any:
    """Return one update as XLA compiles it."""
    batch = make_data(observe(cocoa)[0], Sizes().batch)
    state = algorithm.init(jax.random.key(0), build_networks(algorithm, cocoa, ACTION), batch, 1_000_000)
    update = jax.jit(algorithm.update, compiler_options=compiler_options())
    with mock.patch.object(cql, "_ROWS_AT_ONCE", 10**9):  # XLA counts the body of a loop once
        return update.lower(state, batch, jax.random.key(0)).compile()


def without_delay(algorithm: Algorithm) -> Algorithm:
    """Return the algorithm with a policy that every update moves."""
    return replace(algorithm, policy_delay=1) if hasattr(algorithm, "policy_delay") else algorithm


def cocoa_cost() -> Iterator[Line]:
    """Time of an update with COCOA over that of an encoder of equal cost whose anchors cost nothing."""
    goals = {"iql": (80, 1.05), "td3_bc": (80, 1.05), "cql": (5, 1.05), "mopo": (1000, 1.15)}
    for name, (length, goal) in goals.items():
        yield from _cost(REGISTRY[name](), Seek(), length, goal, name)
    yield from _cost(REGISTRY["mopo"](), Seek(amortised=True), 1000, 1.15, "mopo amortised")
    mobile = REGISTRY["mobile"]()
    yield from _cost(mobile, Seek(), 5, 4.5, "mobile")
    yield from _cost(mobile, Seek(amortised=True), 5, 1.5, "mobile amortised")


def _cost(algorithm: Algorithm, cocoa: Seek, length: int, goal: float, name: str) -> Iterator[Line]:
    works = {
        "peak": peak_flops(),
        "cocoa": updates(make_training(algorithm, cocoa), length),
        "encoder": updates(make_training(algorithm, cocoa, anchored=False), length),
    }
    measured = rates(works)
    yield Line(f"{name}+cocoa: sgemm peak", measured["peak"] / 1e9, "GFLOP/s")
    yield Line(f"{name}+cocoa: rate", measured["cocoa"], "updates/s")
    ratio = measured["encoder"] / measured["cocoa"]
    yield Line(f"{name}+cocoa: time over encoder without anchors", ratio, "", goal, below=True)
    if name in AUTHORS:
        yield _beside_authors(f"{name}+cocoa", measured["cocoa"], *AUTHORS[name])


def _beside_authors(name: str, rate: float, authors: float, times: float) -> Line:
    return Line(f"{name}: rate over the authors' {authors:g}", rate / authors, "", times)


def cql_sizes() -> Iterator[Line]:
    """CQL+COCOA at the authors' sizes, small and full."""
    algorithm = REGISTRY["cql"]()
    full = Seek(encoder_hidden=(256,) * 3, embedding=32, hidden=(256,) * 3)
    for name, cocoa, length in (("cql+cocoa, small", Seek(), 5), ("cql+cocoa, full", full, 1)):
        products = needed(algorithm, cocoa, Sizes())
        rate = rates({"peak": peak_flops(), "cql": updates(make_training(algorithm, cocoa), length)})
        each = rates(product_works(products), seconds=0.3)
        yield Line(f"{name}: sgemm peak", rate["peak"] / 1e9, "GFLOP/s")
        yield _beside_authors(name, rate["cql"], *AUTHORS[name])
        yield Line(f"{name}: needed FLOPs over peak", rate["cql"] * products.flops / rate["peak"])
        yield _one_by_one(name, products, each, rate["peak"])
