"""`launcher=joblib`: several runs at once on this machine."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cocoa.studies.launchers.machine import SharedMachine, places
from cocoa.studies.worker import Stop, Task
from cocoa.training.devices import cores


@dataclass(frozen=True)
class Joblib(SharedMachine):
    """Several runs at once on this machine, which share its cores and GPUs evenly."""

    def run(self, tasks: Sequence[Task], study: Path, stop: Stop) -> Iterator[tuple[int, int]]:
        """Run the tasks by threads, each of which waits for the process of a run."""
        import joblib

        free: queue.SimpleQueue = queue.SimpleQueue()
        for place in (shared := places(len(tasks), cores(), self.jobs, self.gpus)):
            free.put(place)

        def work(number: int, task: Task) -> tuple[int, int]:
            place = free.get()
            try:
                return number, place.take(task)(stop)
            finally:
                free.put(place)

        parallel = joblib.Parallel(len(shared), backend="threading", return_as="generator_unordered")
        yield from parallel(joblib.delayed(work)(*numbered) for numbered in enumerate(tasks))  # type: ignore[union-attr]
