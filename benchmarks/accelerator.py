"""Updates on an accelerator, of one seed and of several at once; and what was forecast of an H100."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax

from benchmarks.flops import Sizes, needed
from benchmarks.kernels import count_kernels
from benchmarks.setting import Line, make_training, peak_flops, rates, updates
from benchmarks.updates import compile_update
from cocoa.algos import REGISTRY
from cocoa.anchors import Seek

FORECAST = ("bc", "iql", "td3_bc", "cql", "sac")
LENGTHS = {"bc": 3000, "iql": 1000, "td3_bc": 1000, "cql": 200, "mopo": 1000, "mobile": 1000}
"""Updates per measurement; MOPO's and MOBILE's hold one round of rollouts."""
SEEDS = 8
IN_BOTH = ("iql", "cql")
"""Measured at both precisions: one whose products have 256 rows, one of thousands."""


@dataclass(frozen=True)
class Device:
    """What bounds a program of many small kernels. The figures of an H100 SXM are its data sheet's."""

    flops: float = 67e12
    """Per second, float32 without tensor cores (`precision=highest`); TF32 has 495e12."""
    bytes: float = 3.35e12
    """Per second, to and from memory."""
    launch: float = 2e-6
    """Seconds between the starts of two kernels in one stream, of a captured graph."""

    def seconds(self, flops: float, moved: float, launches: int) -> float:
        """Return the least time: a launch for each kernel, or the operations, or the bytes."""
        return max(launches * self.launch, flops / self.flops, moved / self.bytes)


def accelerator() -> Iterator[Line]:
    """Updates on JAX's accelerator, of one seed and of eight together; nothing where there is none."""
    return iter(()) if jax.default_backend() == "cpu" else measured()


def measured() -> Iterator[Line]:
    """Updates of one seed and of several together, which count for all of them, on JAX's first device.

    Matrix products are float32, as in a run; of IN_BOTH also at JAX's own precision, TF32 on recent GPUs.
    """
    for precision in ("highest", "default"):
        with jax.default_matmul_precision(precision):
            peak = rates({"": peak_flops()}, seconds=1)[""]
        yield Line(f"sgemm peak, precision {precision}", peak / 1e12, "TFLOP/s")
    for name, length in LENGTHS.items():
        for cocoa in (None, Seek()):
            rate = _rates(name, cocoa, length, "highest", (1, SEEDS))
            title = f"{name}{'+cocoa' if cocoa else ''}"
            yield Line(f"{title}, 1 seed: rate", rate[1], "updates/s")
            yield Line(f"{title}, {SEEDS} seeds: rate of all", SEEDS * rate[SEEDS], "updates/s")
            if name in IN_BOTH:
                ratio = _rates(name, cocoa, length, "default", (SEEDS,))[SEEDS] / rate[SEEDS]
                yield Line(f"{title}, {SEEDS} seeds: rate at precision default over highest", ratio)


def _rates(
    name: str, cocoa: Seek | None, length: int, precision: str, counts: tuple[int, ...]
) -> dict[int, float]:
    """Return updates/s of one seed where `count` seeds train together, for each count in `counts`."""
    with jax.default_matmul_precision(precision):
        works = {
            str(count): updates(make_training(REGISTRY[name](), cocoa, seeds=count), length)
            for count in counts
        }
        return {int(count): rate for count, rate in rates(works, seconds=1).items()}


def forecast() -> Iterator[Line]:
    """Kernels, bytes and time of an update on an H100, by the HLO that XLA makes here."""
    for name in FORECAST:
        for cocoa in (None, Seek()):
            algorithm, title = REGISTRY[name](), f"{name}{'+cocoa' if cocoa else ''}"
            compiled = compile_update(algorithm, cocoa)
            launches = count_kernels(compiled.as_text() or "")
            moved = compiled.cost_analysis()["bytes accessed"]  # type: ignore[index]
            seconds = Device().seconds(needed(algorithm, cocoa, Sizes()).flops, moved, launches)
            yield Line(f"{title}: kernels in an update", launches)
            yield Line(f"{title}: bytes accessed", moved / 1e6, "MB")
            yield Line(f"{title}: forecast for an H100", 1 / seconds, "updates/s")
