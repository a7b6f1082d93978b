"""`launcher=ray`: the runs as tasks of a Ray cluster, which is started here unless one is named."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from cocoa.errors import RunError, shown
from cocoa.studies import worker
from cocoa.studies.launchers.machine import NO_PREALLOCATION, check_gpus, visible_gpus
from cocoa.studies.worker import INTERRUPTED, Stop, Task
from cocoa.training.devices import cores

_PASSED = ("COCOA_", "JAX_", "XLA_", "WANDB_", "MUJOCO_", "PYTHONPATH")
"""How the variables begin that runs on other machines get from here."""
_OBJECTS = 80 * 2**20
"""Bytes for Ray's store of objects, which runs do not use; it asks for 75 MiB at least."""


@dataclass(frozen=True)
class Ray:
    """Tasks of a Ray cluster; each asks it for cores and GPUs, and starts again if its worker dies."""

    waits: ClassVar[bool] = True

    address: str | None = None
    """Of a cluster, as in auto or 10.0.0.1:6379. None takes $RAY_ADDRESS, or starts one on this machine."""
    cpus: int = 1
    """Cores of each run."""
    gpus: float | None = None
    """GPUs of each run; with 0.25, four runs share one. None takes one if the cluster has any."""
    retries: int = 3
    """How often a run whose worker dies is started again; it goes on from its last checkpoint."""

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.retries < 0:
            raise ValueError(f"cpus={self.cpus} and retries={self.retries} must be at least 1 and 0")
        check_gpus(self.gpus or 0)

    def run(self, tasks: Sequence[Task], study: Path, stop: Stop) -> Iterator[tuple[int, int]]:
        """Submit all tasks; Ray starts as many at once as the cluster has room for."""
        with self._cluster() as ray:
            work = ray.remote(Task.__call__).options(
                num_cpus=self.cpus, num_gpus=self._gpus(ray), max_retries=self.retries
            )
            waiting = {work.remote(self._task(task)): number for number, task in enumerate(tasks)}
            cancelled = False
            while waiting:
                done, _ = ray.wait(list(waiting), timeout=0.5)
                for reference in done:
                    yield waiting.pop(reference), _status(ray, reference)
                if stop.is_set() and not cancelled:
                    cancelled = True
                    for reference in waiting:
                        ray.cancel(reference)

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        """Connect to the cluster and yield the module `ray`. Raises RunError if there is none."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray  # type: ignore[import-not-found]  # not among the packages for development

        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECTS}
        own |= {"num_cpus": cores(), "num_gpus": len(visible_gpus())}
        handler = signal.getsignal(signal.SIGTERM)
        try:
            settings = own if address == "local" else {}
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **settings)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise RunError(
                f"The Ray cluster at {address} cannot be used ({shown(error, 300)}). Name one with "
                "launcher.address=, or leave it out to start one on this machine."
            ) from error
        signal.signal(signal.SIGTERM, handler)  # Ray has put its own in place
        ray.cloudpickle.register_pickle_by_value(worker)  # type: ignore[attr-defined]
        try:
            yield ray
        finally:
            ray.cloudpickle.unregister_pickle_by_value(worker)  # type: ignore[attr-defined]
            ray.shutdown()

    def _gpus(self, ray: Any) -> float:
        if self.gpus is not None:
            return self.gpus
        return 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0

    def _task(self, task: Task) -> Task:
        passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
        shares = NO_PREALLOCATION if 0 < (self.gpus or 0) < 1 else {}
        return replace(task, cores=self.cpus, environment={**passed, **task.environment, **shares})


def _status(ray: Any, reference: Any) -> int:
    """Return the exit status of a task that has ended."""
    try:
        return ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return INTERRUPTED
    except ray.exceptions.RayError:  # its worker died once more than it may, and the state tells the rest
        return 1
