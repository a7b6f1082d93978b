"""How the runs that share this machine divide its cores and GPUs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from cocoa.errors import ConfigError
from cocoa.studies.worker import Task

NO_PREALLOCATION = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Lets several runs share the memory of a GPU."""


@dataclass(frozen=True)
class Place:
    """What one of the runs that go on at once gets of this machine."""

    cores: int
    environment: Mapping[str, str]

    def take(self, task: Task) -> Task:
        """Return the task in this place."""
        return replace(task, cores=self.cores, environment={**task.environment, **self.environment})


@dataclass(frozen=True)
class SharedMachine:
    """What launchers on this machine have in common."""

    waits: ClassVar[bool] = True

    jobs: int | None = None
    """Runs at once; None takes as many as there are cores or, with GPUs, as these allow."""
    gpus: float | None = None
    """GPUs of each run; with 0.25, four runs share one. None takes one if there are any."""

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs={self.jobs} is not possible: it must be at least 1")
        check_gpus(self.gpus or 0)


def places(tasks: int, cores: int, jobs: int | None, gpus: float | None) -> list[Place]:
    """Return a place for each of the runs that go on at once, of which there are `tasks` in all.

    There are at most `jobs`, and no more than there are `cores`, nor than the GPUs allow if each gets `gpus`,
    which may be a fraction. `gpus` None is 1 if there are any, else 0. Raises ConfigError if there are fewer.
    """
    present = visible_gpus()
    each = check_gpus((1.0 if present else 0.0) if gpus is None else gpus)
    most = min(tasks, cores, jobs or tasks)
    if not each:
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if present else {}
        return [Place(cores // most, hidden)] * most
    if each > len(present):
        raise ConfigError(f"launcher.gpus={each:g} is not possible: this machine has {len(present)}.")
    if each < 1:
        shares = [[gpu] for _ in range(int(1 / each + 1e-6)) for gpu in present]
    else:
        count = int(each)
        shares = [present[first : first + count] for first in range(0, len(present) - count + 1, count)]
    shares = shares[:most]
    return [Place(max(1, cores // len(shares)), gpu_environment(share, each)) for share in shares]


def gpu_environment(gpus: list[str], each: float) -> dict[str, str]:
    """Return the variables for a run that gets these GPUs, or shares one if `each` is below 1."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), **(NO_PREALLOCATION if each < 1 else {})}


def check_gpus(each: float) -> float:
    """Return a number of GPUs for each run. Raises ValueError unless it is whole, or below 1."""
    if each < 0 or (each > 1 and each != int(each)):
        raise ValueError(f"gpus={each:g} is not possible: give a whole number, or a fraction below 1")
    return each


def visible_gpus() -> list[str]:
    """Return the NVIDIA GPUs of this machine that JAX may use, as $CUDA_VISIBLE_DEVICES names them."""
    platforms = os.environ.get("JAX_PLATFORMS", "cuda").split(",")
    if not {"cuda", "gpu"} & set(platforms):
        return []
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]
