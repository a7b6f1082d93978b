"""Updates on an accelerator, one seed and several at once; without one, what an H100 should give at most."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax

from algos import REGISTRY
from benchmarks.flops import Sizes, needed
from benchmarks.setting import Line, make_training, peak_flops, rates, updates
from benchmarks.updates import compile_update
from cocoa.config import CocoaConfig

EXPECTED = ("bc", "iql", "td3_bc", "cql", "sac")
LENGTHS = {"bc": 3000, "iql": 1000, "td3_bc": 1000, "cql": 200, "mopo": 1000, "mobile": 50}
"""Updates per measurement; MOPO's hold one round of rollouts."""
SEEDS = 8
NO_KERNEL = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}


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
    """Updates on the accelerator, of one seed and of eight together; without one, what is expected."""
    return expected() if jax.default_backend() == "cpu" else measured()


def measured() -> Iterator[Line]:
    """Rates on JAX's first device; those of several seeds count the updates of all."""
    works = {"peak": peak_flops()}
    for name, length in LENGTHS.items():
        for cocoa in (None, CocoaConfig()):
            for seeds in (1, SEEDS):
                title = f"{name}{'+cocoa' if cocoa else ''}, {seeds} seed{'s' if seeds > 1 else ''}"
                works[title] = _of_all(
                    seeds, updates(make_training(REGISTRY[name](), cocoa, seeds=seeds), length)
                )
    rate = rates(works)
    yield Line("sgemm peak, at the default precision", rate.pop("peak") / 1e12, "TFLOP/s")
    for title, one in rate.items():
        yield Line(f"{title}: rate", one, "updates/s")


def _of_all(seeds: int, work: Callable[[], float]) -> Callable[[], float]:
    return lambda: seeds * work()


def expected() -> Iterator[Line]:
    """Kernels, bytes and the expected time of an update on an H100, by the HLO that XLA makes here."""
    for name in EXPECTED:
        for cocoa in (None, CocoaConfig()):
            algorithm, title = REGISTRY[name](), f"{name}{'+cocoa' if cocoa else ''}"
            compiled = compile_update(algorithm, cocoa)
            launches = count_kernels(compiled.as_text() or "")
            moved = compiled.cost_analysis()["bytes accessed"]  # type: ignore[index]
            seconds = Device().seconds(needed(algorithm, cocoa, Sizes()), moved, launches)
            yield Line(f"{title}: kernels in an update", launches)
            yield Line(f"{title}: bytes accessed", moved / 1e6, "MB")
            yield Line(f"{title}: expected on an H100, at most", 1 / seconds, "updates/s")


def count_kernels(hlo: str) -> int:
    """Return how many instructions of a module's entry become kernels."""
    entry = next(part for part in re.split(r"\n(?=%|ENTRY)", hlo) if part.startswith("ENTRY"))
    opcodes = re.findall(r"^\s+(?:ROOT )?%\S+ = (?:\([^=]*?\)|\S+) ([a-z-]+)\(", entry, re.MULTILINE)
    return sum(opcode not in NO_KERNEL for opcode in opcodes)
