"""`launcher=slurm`: the runs as jobs of Slurm; `launcher=submitit`: the same engine on this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cocoa.errors import ConfigError, RunError, shown
from cocoa.studies import worker
from cocoa.studies.launchers.machine import SharedMachine, places
from cocoa.studies.worker import INTERRUPTED, Stop, Task
from cocoa.training.devices import cores

_FOLDER = "submitit"
"""In the study's folder: scripts, pickled tasks and the engine's own logs."""
_FOREVER = 5_000_000
"""Minutes, for runs on this machine."""
_TIMEOUTS = 1000
"""How often a run that reaches its time limit is queued again."""


@dataclass(frozen=True)
class Submitit(SharedMachine):
    """Several runs at once on this machine, each in a job of submitit's, as Slurm would have it."""

    def run(self, tasks: Sequence[Task], study: Path, stop: Stop) -> Iterator[tuple[int, int]]:
        """Submit a task whenever a place is free."""
        free = places(len(tasks), cores(), self.jobs, self.gpus)
        left = list(enumerate(tasks))[::-1]
        running: dict[int, Any] = {}
        taken = {}
        with _submitit(study, "local") as executor:
            executor.update_parameters(timeout_min=_FOREVER)
            while left or running:
                while left and free and not stop.is_set():
                    number, task = left.pop()
                    taken[number] = free.pop()
                    running[number] = _without_interrupts(executor.submit, taken[number].take(task))
                for number, status in _ended(running, stop, _terminate):
                    free.append(taken.pop(number))
                    yield number, status
                if stop.is_set():
                    yield from ((number, INTERRUPTED) for number, _ in left)
                    left = []


@dataclass(frozen=True)
class Slurm:
    """An array of Slurm jobs, one for each run, which goes on when it was preempted or reached its limit."""

    jobs: int = 256
    """Runs at once, at most."""
    cpus: int = 2
    """Cores of each run."""
    gpus: int = 0
    """GPUs of each run."""
    memory: float | None = None
    """GiB of each run."""
    hours: float = 24.0
    """Time limit of a job. A run that reaches it saves its state and is queued again."""
    partition: str | None = None
    """Of the cluster."""
    account: str | None = None
    """To which the time is charged."""
    options: tuple[str, ...] = ()
    """More options of sbatch: [qos:high,constraint:a100]."""
    setup: tuple[str, ...] = ()
    """Shell commands before each run, such as ["module load cuda"]."""
    waits: bool = True
    """Whether to stay until all runs have ended; without, `cocoa status` shows how far they are."""

    def __post_init__(self) -> None:
        if min(self.jobs, self.cpus) < 1 or self.gpus < 0 or self.hours <= 0:
            raise ValueError("jobs, cpus and hours must be above 0, and gpus at least 0")
        if wrong := [option for option in self.options if not all(option.partition(":")[::2])]:
            raise ValueError(f"options=[{wrong[0]}] is not possible: write [name:value]")

    def run(self, tasks: Sequence[Task], study: Path, stop: Stop) -> Iterator[tuple[int, int]]:
        """Submit all tasks as one array."""
        with _submitit(study, "slurm") as executor:
            executor.update_parameters(**self.parameters(study))
            with executor.batch():
                jobs = [executor.submit(replace(task, cores=self.cpus)) for task in tasks]
            running = dict(enumerate(jobs))
            while running and self.waits:
                yield from _ended(running, stop, lambda job: job.cancel())

    def parameters(self, study: Path) -> dict[str, Any]:
        """Return what submitit's executor is told; of what is None, nothing."""
        options = dict(option.split(":", 1) for option in self.options)
        values = {
            "name": f"cocoa-{study.name}",
            "timeout_min": max(1, round(60 * self.hours)),
            "cpus_per_task": self.cpus,
            "mem_gb": self.memory,
            "slurm_array_parallelism": self.jobs,
            "slurm_gpus_per_node": self.gpus or None,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_setup": list(self.setup) or None,
            "slurm_additional_parameters": options or None,
        }
        return {name: value for name, value in values.items() if value is not None}


@contextmanager
def _submitit(study: Path, cluster: str) -> Iterator[Any]:
    """Yield an executor of submitit's. Raises ConfigError without Slurm, RunError if it refuses a job."""
    import cloudpickle
    import submitit

    cloudpickle.register_pickle_by_value(worker)
    timeouts = {f"{cluster}_max_num_timeout": _TIMEOUTS}
    try:
        yield submitit.AutoExecutor(study.absolute() / _FOLDER, cluster=cluster, **timeouts)
    except RuntimeError as error:
        if cluster == "slurm" and "srun" in str(error):
            raise ConfigError(
                "launcher=slurm needs Slurm's commands (sbatch, srun), which are not here. Launch from a "
                "login node of the cluster; launcher=submitit tries the same out on this machine."
            ) from error
        raise RunError(f"The jobs cannot be submitted ({shown(error, 300)}).") from error
    finally:
        cloudpickle.unregister_pickle_by_value(worker)


def _ended(running: dict[int, Any], stop: Stop, cancel: Callable[[Any], None]) -> Iterator[tuple[int, int]]:
    """Yield the number and status of jobs that have ended within a moment, which are then not in `running`.

    When `stop` is set, all are cancelled, and have ended when this returns.
    """
    if stop.wait(1.0):
        for job in running.values():
            cancel(job)
        while not all(job.done() for job in running.values()):
            time.sleep(0.5)
    for number in [number for number, job in running.items() if job.done()]:
        job = running.pop(number)
        yield number, INTERRUPTED if stop.is_set() else _status(job)


def _status(job: Any) -> int:
    with suppress(Exception):  # submitit raises whatever the job did; its log tells the rest
        return job.result()
    return 1


def _without_interrupts(submit: Callable[[Task], Any], task: Task) -> Any:
    """Submit a task to this machine so that Ctrl-C does not reach what watches it.

    That would kill the run before it has saved its state; the run's own process listens all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        return submit(task)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return submit(task)
    finally:
        signal.signal(signal.SIGINT, before)


def _terminate(job: Any) -> None:
    """Stop a job on this machine; what watches it passes the signal on and waits."""
    with suppress(ProcessLookupError):
        os.kill(int(job.job_id), signal.SIGTERM)
